//! The conversation with a client: one request after the other, each refused, answered from here,
//! fetched, or turned into a tunnel.

use std::net::IpAddr;

use bytes::Bytes;

use super::{
    Proxy, forward, gateway,
    origin::{Origin, Scheme, Unfetchable},
    pages::Page,
    policy::{self, is_here},
    reply::{self, Ending},
    request::Request,
    rules::Why,
    status,
};
use crate::{
    http::{
        Fault, Form, Method, RequestHead, Version,
        framing::{self, Framing},
        parse::{self, LineEnds},
    },
    net::{Conn, Ended, Entry, Exit, Farewell, Phase, Protocol, Received, suffer::FaultReply},
};

/// What follows a response.
pub(crate) enum Next {
    Persist,
    Close,
    Tunnel(Box<Conn>),
}

impl Next {
    pub(crate) fn after(ending: Ending) -> Next {
        if ending.persists { Next::Persist } else { Next::Close }
    }
}

impl Protocol for Proxy {
    fn name(&self) -> &str {
        "proxy"
    }

    async fn converse(&self, conn: &mut Conn, _entry: Entry) -> Result<Exit, Ended> {
        loop {
            let next = match conn.head(self.head_octets, parse::head_end).await {
                Ok(Received::Whole(octets)) => self.answer(conn, &octets).await?,
                Ok(Received::TooLong) => self.refuse(conn, &Fault::new(431, "the request head is too long", "RFC 6585, 5")),
                Err(Ended::Closed) => Next::Close,
                Err(ended) => return Err(ended),
            };
            match next {
                Next::Persist => {}
                Next::Close => return Ok(Exit::Done),
                Next::Tunnel(origin) => return Ok(Exit::Tunnel(origin)),
            }
        }
    }

    fn fault_reply(&self) -> fn(&str) -> FaultReply {
        FaultReply::response
    }

    fn farewell(&self, ended: &Ended) -> Option<Farewell> {
        match ended {
            // Only while a request comes in: once a response goes out, nothing may be mixed in.
            Ended::Slow(Phase::Line | Phase::Body) => {
                Some(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".into())
            }
            _ => None,
        }
    }

    fn busy(&self, _peer: IpAddr) -> Option<Farewell> {
        Some(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".into())
    }
}

impl Proxy {
    /// Answers one request.
    async fn answer(&self, conn: &mut Conn, octets: &Bytes) -> Result<Next, Ended> {
        reply::note_head(conn.tap(), octets);
        let read = parse::request(octets, LineEnds::CrLf).and_then(|head| framing::of_request(&head).map(|framing| (head, framing)));
        let (head, framing) = match read {
            Ok(read) => read,
            Err(fault) => return Ok(self.refuse(conn, &fault)),
        };
        let persists = framing::persists(head.version, &head.fields) && !conn.stop().is_draining();
        let ending = Ending { version: head.version, persists };
        if let Err(page) = self.admit(conn, &head).await {
            return Ok(self.say_page(conn, &head, framing, &page, ending));
        }
        match head.target.form() {
            Form::Absolute => self.absolute(conn, head, framing, ending).await,
            // Rare, and large: kept out of what every idle connection holds.
            Form::Authority => Box::pin(self.connect(conn, &head, framing, ending)).await,
            Form::Origin | Form::Asterisk => Ok(self.local(conn, &head, framing, ending)),
        }
    }

    /// A message that can't be understood: nobody knows where the next one begins, so the
    /// connection ends (request smuggling).
    pub(super) fn refuse(&self, conn: &mut Conn, fault: &Fault) -> Next {
        let ending = Ending { version: Version::Http11, persists: false };
        reply::say_page(conn, &Method::Get, &Page::fault(fault), self.clock.now(), ending);
        Next::Close
    }

    /// Says a page of our own. Where the request has a body, which nobody has read, the
    /// connection ends.
    pub(super) fn say_page(&self, conn: &mut Conn, asked: &RequestHead, framing: Framing, page: &Page, ending: Ending) -> Next {
        let ending = Ending { persists: ending.persists && framing == Framing::Empty, ..ending };
        reply::say_page(conn, &asked.method, page, self.clock.now(), ending);
        Next::after(ending)
    }

    /// `GET http://host/path`: what a proxy is for.
    async fn absolute(&self, conn: &mut Conn, mut head: RequestHead, framing: Framing, ending: Ending) -> Result<Next, Ended> {
        let mut origin = match Origin::of(&head.target) {
            Ok(origin) => origin,
            Err(Unfetchable(scheme)) => {
                let sentence = match scheme.as_str() {
                    "https" => "An https:// address goes through CONNECT, so that nobody reads along on the way.".to_owned(),
                    _ => format!("This proxy fetches http:// and ftp:// addresses, not {scheme}://."),
                };
                return Ok(self.say_page(conn, &head, framing, &Page::new(501, &sentence), ending));
            }
        };
        if self.policy.refuses(&origin) {
            return Ok(self.say_page(conn, &head, framing, &Page::never_forwarded(&origin), ending));
        }
        if origin.scheme == Scheme::Http && policy::is_no_web_port(origin.port) {
            let page = Page::new(403, &format!("Port {} is for something else than the web.", origin.port));
            return Ok(self.say_page(conn, &head, framing, &page, ending));
        }
        if forward::is_loop(&head.fields, &self.pseudonym) {
            let page = Page::new(508, "This request has passed through this proxy before.");
            return Ok(self.say_page(conn, &head, framing, &page.with("Cache-Status", status::refused(LOOP)), ending));
        }
        if forward::max_forwards(&head) == Some(0) {
            return Ok(self.last_hop(conn, &head, framing, ending));
        }
        if forward::has_unmet_expectation(&head) {
            let page = Page::new(417, "Nothing but `Expect: 100-continue` can be met.");
            return Ok(self.say_page(conn, &head, framing, &page, ending));
        }
        if origin.scheme == Scheme::Ftp
            && let Err(page) = gateway::prepare(&mut head, &mut origin)
        {
            return Ok(self.say_page(conn, &head, framing, &page, ending));
        }
        let way = self.way(conn, &origin);
        let mut request = Request::new(head, framing, origin, way);
        request.asked = self.cache.forgotten.moment();
        request.is_uncached = self.policy.keeps_nothing_of(&request.origin);
        match request.head.method.as_str() {
            "PURGE" if is_here(conn.peer().ip()) => Ok(self.purge(conn, &request, ending)),
            _ => self.serve(conn, request, ending).await,
        }
    }

    /// A request to the proxy itself.
    fn local(&self, conn: &mut Conn, head: &RequestHead, framing: Framing, ending: Ending) -> Next {
        let page = match (&head.method, head.target.path()) {
            (Method::Get | Method::Head, "/cache") if is_here(conn.peer().ip()) && policy::is_own_name(&head.fields, &self.pseudonym) => {
                Page::listing(&self.cache)
            }
            (Method::Get | Method::Head, "/proxy.pac") => Page::auto_configuration(conn.local()),
            (Method::Options, _) if head.target.form() == Form::Asterisk => Page::empty(204),
            _ => Page::new(
                400,
                "This is a proxy: it wants a whole address, such as `GET http://example.org/ HTTP/1.1`. \
                 Set it as the proxy of your client; curl takes it with -x.",
            ),
        };
        self.say_page(conn, head, framing, &page, ending)
    }

    /// TRACE or OPTIONS whose Max-Forwards is used up ends here (RFC 9110, 7.6.2).
    fn last_hop(&self, conn: &mut Conn, head: &RequestHead, framing: Framing, ending: Ending) -> Next {
        let page = match head.method {
            Method::Trace => Page::trace(head),
            _ => Page::empty(204).with("Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS, TRACE, CONNECT"),
        };
        self.say_page(conn, head, framing, &page, ending)
    }

    /// `PURGE http://host/path` from this machine forgets what is stored.
    fn purge(&self, conn: &mut Conn, request: &Request, ending: Ending) -> Next {
        let page = match self.change(&request.key) {
            true => Page::new(200, "What was stored for this address is forgotten."),
            false => Page::new(404, "Nothing was stored for this address."),
        };
        self.say_page(conn, &request.head, request.framing, &page, ending)
    }
}

const LOOP: Why = Why { fwd: "bypass", detail: "loop" };
