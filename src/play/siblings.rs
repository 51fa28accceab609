//! Puts the recordings of one session together, so that it can be played again: the data
//! connections of FTP into the script of their control connection.
//!
//! A data connection is opened where the recording shows that it was offered: after the reply to
//! PASV or EPSV the script connects to the port that it hears this time, for PORT and EPRT it
//! listens and says so. What went over it comes after the reply that announces it (125, 150).

use std::{io::Write as _, path::Path};

use flate2::{Compression, write::ZlibEncoder};

use crate::transcript::{
    record::Side,
    script::{Check, Content, Destination, Handshake, Heading, Item, Script, Step},
    text::{Part, Text},
};

/// How many data connections of a session are looked for.
const MOST: usize = 1000;
/// How many files beside a recording are looked at.
const FILES: usize = 10_000;

/// The session of `control`, a recording: with its data connections, which lie beside it.
pub(super) fn join(control: Script, file: &Path) -> Script {
    let is_session = control.recorded().is_some_and(|heading| heading.service.starts_with("ftp") && heading.parent.is_none());
    match control.recorded() {
        Some(heading) if is_session => {
            let data = beside(file, heading);
            if data.is_empty() { control } else { Joiner::default().join(control, &data) }
        }
        _ => control,
    }
}

/// The recordings of data connections that name this one as theirs, in the order of their numbers.
fn beside(file: &Path, control: &Heading) -> Vec<Script> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let is_data = |name: &str| name.starts_with("ftp-data-") && name.ends_with(".txt");
    let paths = entries.take(FILES).filter_map(|entry| Some(entry.ok()?.path()));
    let paths = paths.filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_data));
    let scripts = paths.filter_map(|path| Script::parse(&std::fs::read_to_string(path).ok()?).ok());
    let mut found: Vec<_> = scripts.filter(|script| script.recorded().is_some_and(|data| belongs(data, control))).collect();
    found.sort_by_key(|script| script.recorded().map(|heading| heading.id));
    found.truncate(MOST);
    found
}

/// Numbers begin anew with each process: the hosts must fit too.
fn belongs(data: &Heading, control: &Heading) -> bool {
    let hosts = [control.client.ip(), control.server.ip()];
    data.parent == Some(control.id) && hosts.contains(&data.client.ip()) && hosts.contains(&data.server.ip())
}

#[derive(Default)]
struct Joiner {
    items: Vec<Item>,
    /// Data connections that have been offered so far.
    offered: usize,
    /// The one that is open, or will be, and is not used yet.
    open: Option<Offer>,
    /// MODE Z: what the script sends must be deflated.
    deflates: bool,
}

struct Offer {
    name: String,
    /// The steps of the data connection, as it went.
    steps: Vec<Step>,
    /// Whether the server opens it.
    is_active: bool,
}

impl Joiner {
    fn join(mut self, control: Script, data: &[Script]) -> Script {
        let mut said = Vec::new();
        for item in control.items {
            if let Step::Said { side, text } = &item.step {
                said = text.as_plain().unwrap_or_default().to_ascii_uppercase();
                if *side == Side::Client {
                    self.deflates = if said.starts_with(b"MODE ") { said == b"MODE Z" } else { self.deflates };
                    self.active(&item, &said, data);
                    continue;
                }
            }
            let is_reply = matches!(item.step, Step::Said { side: Side::Server, .. });
            if is_reply && (said.starts_with(b"227 ") || said.starts_with(b"229 ")) {
                self.passive(&item, &said, data);
                continue;
            }
            self.items.push(item);
            if is_reply && (said.starts_with(b"150 ") || said.starts_with(b"125 ")) {
                self.transfer();
            }
        }
        Script { items: self.items }
    }

    /// A reply with a port: the script connects to it.
    fn passive(&mut self, item: &Item, said: &[u8], data: &[Script]) {
        let Some((name, script)) = self.next(data, |heading| is_offered(said, heading.server.port())) else {
            return self.items.push(item.clone());
        };
        let (reply, address) = if said.starts_with(b"227") {
            let octets = [1, 2, 3, 4].map(|number| format!("{name}-h{number}"));
            let ports = [format!("{name}-p1"), format!("{name}-p2")];
            let mut reply = vec![Part::Literal(b"227 ".to_vec()), Part::Any, Part::Literal(b"(".to_vec())];
            for (index, part) in octets.iter().chain(&ports).enumerate() {
                if index > 0 {
                    reply.push(Part::Literal(b",".to_vec()));
                }
                reply.push(Part::Name(part.clone()));
            }
            reply.extend([Part::Literal(b")".to_vec()), Part::Any]);
            let host = joined(&octets, b".");
            let port = [
                Part::Literal(b":".to_vec()),
                Part::Name(ports[0].clone()),
                Part::Literal(b"*256+".to_vec()),
                Part::Name(ports[1].clone()),
            ];
            (reply, [host, port.to_vec()].concat())
        } else {
            let port = format!("{name}-port");
            let literal = |text: &[u8]| Part::Literal(text.to_vec());
            let reply = vec![literal(b"229 "), Part::Any, literal(b"(|||"), Part::Name(port.clone()), literal(b"|)"), Part::Any];
            (reply, vec![Part::Name("ftp.host".into()), literal(b":"), Part::Name(port)])
        };
        self.push(item, Step::Said { side: Side::Server, text: Text(reply) });
        let connect = Step::Connect { to: Destination::Address(Text(address)), name: name.clone(), handshake: Handshake::Plain };
        self.push(item, connect);
        self.push(item, Step::On("main".into()));
        self.open = Some(Offer { name, steps: steps_of(script), is_active: false });
    }

    /// PORT or EPRT: the script listens, and says where.
    fn active(&mut self, item: &Item, said: &[u8], data: &[Script]) {
        let is_port = said.starts_with(b"PORT ");
        let next = (is_port || said.starts_with(b"EPRT ")).then(|| self.next(data, |heading| is_offered(said, heading.server.port())));
        let Some((name, script)) = next.flatten() else { return self.items.push(item.clone()) };
        // Listeners come before the first connection, so that they can be named everywhere.
        self.items.insert(1.min(self.items.len()), Item { step: Step::Listen { name: name.clone(), host: None }, ..item.clone() });
        let literal = |text: &[u8]| Part::Literal(text.to_vec());
        let part = |what: &str| Part::Name(format!("{name}.{what}"));
        let command = match is_port {
            true => vec![literal(b"PORT 127,0,0,1,"), part("p1"), literal(b","), part("p2")],
            false => vec![literal(b"EPRT |1|127.0.0.1|"), part("port"), literal(b"|")],
        };
        self.push(item, Step::Said { side: Side::Client, text: Text(command) });
        self.open = Some(Offer { name, steps: steps_of(script), is_active: true });
    }

    /// The transfer begins: what went over the data connection.
    fn transfer(&mut self) {
        let (Some(offer), Some(last)) = (self.open.take(), self.items.last().cloned()) else { return };
        let first = match offer.is_active {
            true => Step::Accept { listener: offer.name.clone(), name: format!("{}-connection", offer.name), tls: false },
            false => Step::On(offer.name.clone()),
        };
        let client_sends = offer.steps.iter().any(|step| matches!(step, Step::Octets { side, .. } if *side == sender(offer.is_active)));
        self.push(&last, first);
        for step in offer.steps {
            // Who reads does so up to the end of the file, which is the end of the connection.
            let step = match step {
                Step::Octets { octets, .. } if client_sends && self.deflates => Step::Send(deflated(octets)),
                // A date more or less, and the deflated listing is longer or shorter.
                Step::Octets { .. } if !client_sends && self.deflates => Step::Body(Check::Contains(nothing())),
                Step::Octets { octets, .. } if !client_sends => {
                    Step::Body(Check::Octets { octets: Text::plain(octets.to_string()), sha256: None })
                }
                step => step,
            };
            self.push(&last, step);
        }
        self.push(&last, if client_sends { Step::Close } else { Step::Closed });
        self.push(&last, Step::On("main".into()));
    }

    fn push(&mut self, like: &Item, step: Step) {
        self.items.push(Item { step, ..like.clone() });
    }

    /// The next data connection, if this offer is its.
    fn next<'d>(&mut self, data: &'d [Script], is_its: impl Fn(&Heading) -> bool) -> Option<(String, &'d Script)> {
        let script = data.iter().find(|script| script.recorded().is_some_and(&is_its))?;
        self.offered += 1;
        Some((format!("data{}", self.offered), script))
    }
}

/// Who sends in an upload: the side of the script on that connection.
fn sender(is_active: bool) -> Side {
    if is_active { Side::Server } else { Side::Client }
}

fn nothing() -> Content {
    Content::Text { text: Text::default(), times: 1 }
}

/// Lines that are deflated, in place of so many deflated octets that nobody kept.
fn deflated(octets: u64) -> Content {
    let lines = b"x\r\n".repeat(usize::try_from(octets.min(1 << 20)).unwrap_or(0));
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing to a vector cannot fail.
    let deflated = encoder.write_all(&lines).and_then(|()| encoder.finish());
    Content::Base64(deflated.unwrap_or_default())
}

fn joined(names: &[String], between: &[u8]) -> Vec<Part> {
    let mut parts = Vec::new();
    for name in names {
        if !parts.is_empty() {
            parts.push(Part::Literal(between.to_vec()));
        }
        parts.push(Part::Name(name.clone()));
    }
    parts
}

/// Whether a line with a port offers this one.
fn is_offered(said: &[u8], port: u16) -> bool {
    let [high, low] = port.to_be_bytes();
    let text = String::from_utf8_lossy(said);
    text.contains(&format!(",{high},{low}")) || text.contains(&format!("|{port}|"))
}

/// What happened on a data connection, but for its heading and notes.
fn steps_of(script: &Script) -> Vec<Step> {
    let steps = script.items.iter().map(|item| item.step.clone());
    steps.filter(|step| matches!(step, Step::Octets { .. } | Step::Tls { .. })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined_with(control: &str, data: &str) -> String {
        let data = Script::parse(data).unwrap();
        let script = Joiner::default().join(Script::parse(control).unwrap(), &[data]);
        script.to_string()
    }

    #[test]
    fn a_download_is_fetched_from_the_port_of_this_time() {
        let control = "# ftp 127.0.0.1:1 -> 127.0.0.1:21 (1)\nC: EPSV\nS: 229 x (|||1025|)\nC: RETR a\nS: 150 go\nS: 226 done\n";
        let data = "# ftp-data 127.0.0.1:2 -> 127.0.0.1:1025 (2 of 1)\n-- octets S 7\n-- note ended: done\n";
        let expected = "# ftp 127.0.0.1:1 -> 127.0.0.1:21 (1)\nC: EPSV\nS: 229 {any}(|||{data1-port}|){any}\n\
                        -- connect {ftp.host}:{data1-port} as data1\n-- on main\nC: RETR a\nS: 150 go\n-- on data1\n\
                        -- body 7 octets\n-- closed\n-- on main\nS: 226 done\n";
        assert_eq!(joined_with(control, data).replace(" plain", ""), expected);
    }

    #[test]
    fn an_upload_in_active_mode_is_sent_where_the_server_connects_from() {
        let control = "# ftp 127.0.0.1:1 -> 127.0.0.1:21 (1)\nC: PORT 127,0,0,1,4,1\nS: 200 ok\nC: STOR a\nS: 150 go\nS: 226 done\n";
        let data = "# ftp-data 127.0.0.1:20 -> 127.0.0.1:1025 (2 of 1)\n-- octets S 7\n";
        let text = joined_with(control, data);
        assert!(text.contains("-- listen data1\n"), "{text}");
        assert!(text.contains("C: PORT 127,0,0,1,{data1.p1},{data1.p2}\n"), "{text}");
        assert!(text.contains("-- accept data1 as data1-connection\n-- octets S 7\n-- close\n-- on main\n"), "{text}");
    }
}
