//! `ftp://` addresses: an HTTP origin inside the process that fetches over FTP (RFC 959, 2428, 3659).
//!
//! The proxy talks HTTP to a pipe; at its other end a [`Gateway`] reads the one request, holds the
//! conversation with the FTP server ([`client`]), and answers as an origin would. So caching,
//! collapsing, ranges and conditions are the ordinary ones, and know nothing of FTP. [`path`] reads
//! the URL, [`reply`] the server's replies, [`listing`] what it says of a folder: all pure.

mod client;
pub(crate) mod listing;
pub(crate) mod path;
pub(crate) mod reply;

use std::net::SocketAddr;

use client::{Client, Trouble};
use path::{FtpPath, Kind};
use reply::Reply;

use super::{origin::Origin, pages::Page};
use crate::{
    clock::Clock,
    http::{
        Fields, Method, RequestHead, ResponseHead, basic, body, lists,
        parse::{self, LineEnds},
        validators::{Validators, Verdict, format_date, weigh},
    },
    net::{
        Conn, Ended, Received,
        dial::{Dialer, Gate},
    },
};

/// The longest head of the request, in octets: it was read and bounded before, by the conversation.
const HEAD_OCTETS: usize = 1024 * 1024;
/// The longest listing that is shown, in octets: it is held in memory.
const LISTING_OCTETS: usize = 4 * 1024 * 1024;

/// Answers one request out of an FTP server.
pub(crate) struct Gateway {
    pub dialer: Dialer,
    pub clock: Clock,
    pub origin: Origin,
    pub addresses: Vec<SocketAddr>,
    pub gate: Gate,
    /// The client connection that all this is done for.
    pub asker: u64,
}

/// Why no answer could be given, or given to its end.
enum Halt {
    /// Nothing has been said yet: this is the answer.
    Say(Page),
    /// The answer breaks off, and so must look broken.
    Cut,
}

impl From<Ended> for Halt {
    fn from(_: Ended) -> Halt {
        Halt::Cut
    }
}

impl Gateway {
    /// Answers the one request that comes on `conn`.
    pub(crate) async fn run(self, mut conn: Conn) {
        let Ok(Received::Whole(octets)) = conn.head(HEAD_OCTETS, parse::head_end).await else { return };
        let Ok(head) = parse::request(&octets, LineEnds::CrLf) else { return };
        let said = match self.answer(&mut conn, &head).await {
            Err(Halt::Say(page)) => self.say_page(&mut conn, &head, page),
            said => said,
        };
        if said.is_ok() {
            // The other end has what it wants, or has gone.
            let _closed = conn.finish().await;
        }
    }

    async fn answer(&self, conn: &mut Conn, head: &RequestHead) -> Result<(), Halt> {
        let path = FtpPath::parse(&head.target.origin_form()).map_err(|fault| Halt::Say(Page::fault(&fault)))?;
        let mut ftp = self.log_in(head).await.map_err(|trouble| self.halt(trouble))?;
        let done = match path.kind {
            Kind::Folder => self.folder(conn, head, &path, &mut ftp).await,
            Kind::Image | Kind::Text => self.file(conn, head, &path, &mut ftp).await,
        };
        ftp.quit();
        done
    }

    async fn log_in(&self, head: &RequestHead) -> Result<Client, Trouble> {
        let given = head.fields.only("authorization").and_then(basic::credentials);
        // The customary password of a visitor who leaves no address (RFC 1635, 4).
        let (name, password) = given.unwrap_or_else(|| ("anonymous".into(), "guest@".into()));
        let connected = self.dialer.connect_any(self.addresses.clone(), self.gate, "proxy-ftp", Some(self.asker)).await;
        let mut ftp = Client::greet(connected?, self.dialer.clone(), self.gate).await?;
        ftp.log_in(&name, &password).await?;
        Ok(ftp)
    }

    async fn file(&self, conn: &mut Conn, head: &RequestHead, path: &FtpPath, ftp: &mut Client) -> Result<(), Halt> {
        let name = path.name();
        ftp.set_type(path.kind).await.map_err(|trouble| self.halt(trouble))?;
        let size = match path.kind {
            Kind::Image => ftp.size(&name).await,
            // SIZE and what is sent differ where line ends are converted.
            _ => Ok(None),
        };
        let size = match size {
            Err(Trouble::Refused(reply)) if reply.code == 550 => return Err(self.no_file(path, ftp, reply).await),
            size => size.map_err(|trouble| self.halt(trouble))?,
        };
        let modified = ftp.modified(&name).await.map_err(|trouble| self.halt(trouble))?;
        let validators = Validators { tag: None, modified };
        let is_current =
            modified.is_some() && weigh(&head.method, &head.fields, Some(&validators), self.clock.now()) == Verdict::NotModified;
        let mut answer = ResponseHead::new(if is_current { 304 } else { 200 });
        modified.into_iter().for_each(|modified| answer.fields.push("Last-Modified", format_date(modified)));
        if is_current {
            return self.say_head(conn, answer);
        }
        answer.fields.push("Content-Type", path.media_type());
        match size {
            Some(octets) => answer.fields.push("Content-Length", octets.to_string()),
            None if head.method == Method::Get => answer.fields.push("Transfer-Encoding", "chunked"),
            None => {}
        }
        if head.method == Method::Head {
            return self.say_head(conn, answer);
        }
        let data = match ftp.transfer(&[b"RETR ".as_slice(), &name].concat()).await {
            Err(Trouble::Refused(reply)) if reply.code == 550 => return Err(self.no_file(path, ftp, reply).await),
            data => data.map_err(|trouble| self.halt(trouble))?,
        };
        self.say_head(conn, answer)?;
        carry(conn, data, size, ftp).await
    }

    /// What a server has no file for may be a folder: then the address lacks its slash.
    async fn no_file(&self, path: &FtpPath, ftp: &mut Client, refusal: Reply) -> Halt {
        match ftp.enter(&path.name()).await {
            Ok(()) => {
                let page = Page::new(301, "This is a folder: its address ends in a slash.");
                Halt::Say(page.with("Location", path.with_slash()))
            }
            Err(_) => self.halt(Trouble::Refused(refusal)),
        }
    }

    async fn folder(&self, conn: &mut Conn, head: &RequestHead, path: &FtpPath, ftp: &mut Client) -> Result<(), Halt> {
        let text = self.list(path, ftp).await.map_err(|trouble| self.halt(trouble))?;
        let entries = listing::read(&String::from_utf8_lossy(&text));
        let wants_json = lists::weighted(head.fields.get_all("accept")).iter().any(|one| one.name == "application/json" && one.quality > 0);
        let (kind, body) = match wants_json {
            true => ("application/json", listing::json(&entries)),
            false => {
                ("text/html; charset=utf-8", listing::html(&format!("{}{}", self.origin.base(), path.shown()), !path.is_root(), &entries))
            }
        };
        let mut answer = ResponseHead::new(200);
        answer.fields.push("Content-Type", kind);
        answer.fields.push("Vary", "Accept");
        answer.fields.push("Content-Length", body.len().to_string());
        self.say_head(conn, answer)?;
        if head.method == Method::Get {
            conn.push(body.as_bytes());
        }
        Ok(conn.flush().await?)
    }

    /// The facts by MLSD (RFC 3659, 7), or by LIST where the server is older than that. The folder
    /// is entered first: many servers take an argument of LIST for options.
    async fn list(&self, path: &FtpPath, ftp: &mut Client) -> Result<Vec<u8>, Trouble> {
        if !path.is_root() {
            ftp.enter(&path.name()).await?;
        }
        ftp.set_type(Kind::Text).await?;
        let mut data = match ftp.transfer(b"MLSD").await {
            Err(Trouble::Refused(reply)) if matches!(reply.code, 500..=504) => ftp.transfer(b"LIST").await?,
            data => data?,
        };
        let mut text = Vec::new();
        while let Some(piece) = data.bytes().await? {
            text.extend_from_slice(&piece);
            if text.len() > LISTING_OCTETS {
                return Err(Trouble::Broken("its listing is too long"));
            }
        }
        drop(data);
        ftp.finished().await?;
        Ok(text)
    }

    /// The answer that fits a trouble.
    fn halt(&self, trouble: Trouble) -> Halt {
        let page = Page::new(trouble.status(), &format!("{}: {trouble}.", self.origin.authority()));
        Halt::Say(match trouble.status() {
            401 => page.with("WWW-Authenticate", format!("Basic realm=\"{}\", charset=\"UTF-8\"", self.origin.base())),
            _ => page,
        })
    }

    fn say_page(&self, conn: &mut Conn, head: &RequestHead, page: Page) -> Result<(), Halt> {
        let mut answer = page.head(self.clock.now());
        answer.fields.push("Cache-Control", "no-store");
        self.say_head(conn, answer)?;
        if head.method != Method::Head {
            conn.push(page.body.as_bytes());
        }
        Ok(())
    }

    fn say_head(&self, conn: &mut Conn, mut head: ResponseHead) -> Result<(), Halt> {
        head.fields.push("Connection", "close");
        let mut out = Vec::new();
        head.write_to(&mut out);
        conn.say(out);
        Ok(())
    }
}

/// The file from the data connection to the proxy. What the server does not confirm, or what is
/// not as long as it said, ends without its end.
async fn carry(conn: &mut Conn, mut data: Conn, size: Option<u64>, ftp: &mut Client) -> Result<(), Halt> {
    let mut octets = 0;
    while let Some(piece) = data.bytes().await? {
        octets += piece.len() as u64;
        match size {
            Some(size) if octets > size => return Err(Halt::Cut),
            Some(_) => conn.push(&piece),
            None => conn.push(&[body::chunk_line(piece.len()).as_bytes(), &piece, b"\r\n"].concat()),
        }
        conn.flush().await?;
        data.grant_time();
    }
    drop(data);
    match size {
        Some(size) if octets < size => return Err(Halt::Cut),
        Some(_) => {}
        None => {
            ftp.finished().await.map_err(|_| Halt::Cut)?;
            conn.push(body::LAST_CHUNK);
        }
    }
    Ok(conn.flush().await?)
}

/// Makes a request for an `ftp://` address one that the gateway takes, and the cache too: name and
/// password leave the address for Authorization, where all rules about credentials find them, and
/// the name becomes a part of the origin, since every user has files of their own.
pub(crate) fn prepare(head: &mut RequestHead, origin: &mut Origin) -> Result<(), Page> {
    if !matches!(head.method, Method::Get | Method::Head) {
        return Err(Page::new(405, "Of ftp:// addresses this proxy can only read.").with("Allow", "GET, HEAD"));
    }
    FtpPath::parse(&head.target.origin_form()).map_err(|fault| Page::fault(&fault))?;
    if let Some(userinfo) = head.target.userinfo() {
        let (name, password) = path::credentials(userinfo).map_err(|fault| Page::fault(&fault))?;
        head.fields.set("Authorization", basic::field(&name, &password));
    }
    let given = head.fields.only("authorization").and_then(basic::credentials);
    if let Some((name, password)) = given {
        path::check_line(name.as_bytes()).and(path::check_line(password.as_bytes())).map_err(|fault| Page::fault(&fault))?;
        origin.user = name;
    }
    drop_unmeant(&mut head.fields);
    Ok(())
}

/// Fields that an FTP server can't act on; kept, they would only hinder the cache.
fn drop_unmeant(fields: &mut Fields) {
    for name in ["if-match", "if-unmodified-since", "expect"] {
        fields.remove(name);
    }
}
