//! Whole conversations: a fresh server in memory is sent arbitrary octets, and its answers are
//! judged. Call these in a runtime whose clock is paused, so that waiting costs nothing.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{bounded, parts, reference};
use crate::{
    config::{self, Settings},
    http::{
        Method,
        body::{Decoder, Step},
        framing,
        parse::{self, LineEnds},
    },
    net::network::Network,
    play::Fixture,
    services::{self, House},
    testing::{house_in_memory, put_file, put_message},
    transcript::record::{Event, Noted},
};

/// What no conversation may take, however slow the clients that it plays: a day.
const HANGING: Duration = Duration::from_secs(24 * 60 * 60);
/// Between the two pieces of an input that is sent in two, and for a server to go on with it.
const PAUSE: Duration = Duration::from_secs(1);

/// The origin server: every answer is HTTP, there are no more of them than requests, none is
/// forgotten, and it makes no difference where the input is cut.
pub async fn web_conversation(data: &[u8]) {
    let data = bounded(data);
    let asked = reference::requests(data, true);
    let whole = answers(&talk("http", &[data]).await, &asked, false);
    let (first, second) = data.split_at(data.iter().map(|octet| usize::from(*octet)).sum::<usize>() % (data.len() + 1));
    let cut = answers(&talk("http", &[first, second]).await, &asked, false);
    assert_eq!(whole, cut, "cut after {} octets", first.len());
}

/// The proxy between a client and an origin, whose octets follow the client's: what goes up reads
/// as requests without doubt, and what comes down as answers to those that were made.
pub async fn proxy_conversation(data: &[u8]) {
    let [client, origin] = parts(bounded(data));
    let asked = reference::requests(client, false);
    let network = Network::memory();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let mut playing = JoinSet::new();
    playing.spawn(play_origin(network.clone(), origin.to_vec(), heard.clone()));
    let said = talk_within(network, "proxy", &[client]).await;
    answers(&said, &asked, true);
    let heard = std::mem::take(&mut *heard.lock().expect("no code panics while it holds this"));
    let sent_up: usize = heard.iter().map(|stream| check_sent_up(stream)).sum();
    assert!(sent_up <= 3 * asked.len(), "one request became {sent_up}");
}

/// SMTP: the greeting, then one well-formed reply for each command at most.
pub async fn smtp_conversation(data: &[u8]) {
    check_replies(bounded(data), &talk("smtp", &[bounded(data)]).await);
}

/// A message in chunks (BDAT): whatever is in them, each gets one reply, and not an octet of them is
/// taken for a command.
pub async fn smtp_chunks(data: &[u8]) {
    let data = bounded(data);
    let [sizes, mut content] = parts(data);
    let mut wire = b"EHLO lab\r\nMAIL FROM:<a@b.example> SMTPUTF8\r\nRCPT TO:<eve@portico.test>\r\n".to_vec();
    for size in sizes.iter().take(8) {
        let (chunk, rest) = content.split_at(usize::from(*size).min(content.len()));
        wire.extend_from_slice(format!("BDAT {}\r\n", chunk.len()).as_bytes());
        wire.extend_from_slice(chunk);
        content = rest;
    }
    wire.extend_from_slice(format!("BDAT {} LAST\r\n", content.len()).as_bytes());
    wire.extend_from_slice(content);
    wire.extend_from_slice(b"NOOP\r\n");
    let said = talk("smtp", &[&wire]).await;
    let lines = whole_lines(&said);
    let replies = lines.iter().filter(|line| line.get(3) == Some(&b' ')).count();
    assert_eq!(replies, 4 + sizes.len().min(8) + 2, "{}", said.escape_ascii());
    assert_eq!(lines.last().copied(), Some(&b"250 2.0.0 OK"[..]), "{}", said.escape_ascii());
}

/// FTP's control connection, likewise.
pub async fn ftp_conversation(data: &[u8]) {
    check_replies(bounded(data), &talk("ftp", &[bounded(data)]).await);
}

/// POP3: lines that end in CR LF, and no more answers than commands.
pub async fn pop3_conversation(data: &[u8]) {
    let data = bounded(data);
    let said = talk("pop3", &[data]).await;
    let lines = whole_lines(&said);
    let answers = lines.iter().filter(|line| line.starts_with(b"+") || line.starts_with(b"-ERR"));
    assert!(answers.count() <= lines_in(data) + 2, "more answers than commands");
    assert!(lines.first().is_none_or(|line| line.starts_with(b"+OK")), "it greets");
}

/// What a fresh server says to a client that sends these pieces and then no more.
async fn talk(service: &str, pieces: &[&[u8]]) -> Vec<u8> {
    talk_within(Network::memory(), service, pieces).await
}

async fn talk_within(network: Network, service: &str, pieces: &[&[u8]]) -> Vec<u8> {
    let (house, _stopper) = house_in_memory(settings().clone(), network).expect("the samples are in order");
    let house = Arc::new(house);
    furnish(&house);
    let mut noted = house.recorder.listen();
    let mut serving = JoinSet::new();
    let at = serve(&house, service, &mut serving);
    let (stream, _) = house.network.dial(at, None).await.expect("the server listens");
    let (mut from_server, mut to_server) = tokio::io::split(stream);
    let mut said = Vec::new();
    let send = async {
        for (index, piece) in pieces.iter().enumerate() {
            if index > 0 {
                sleep(PAUSE).await;
            }
            // A server that has hung up need not hear the rest.
            let _heard = to_server.write_all(piece).await;
        }
        let _heard = to_server.shutdown().await;
    };
    let listen = from_server.read_to_end(&mut said);
    let (_, read) = timeout(HANGING, async { tokio::join!(send, listen) }).await.expect("every conversation ends");
    read.expect("a pipe in memory can be read");
    while let Ok(Noted { event, .. }) = noted.try_recv() {
        assert!(!matches!(&event, Event::Closed(why) if why.contains("fault of the server")), "the conversation panicked");
    }
    said
}

fn serve(house: &Arc<House>, service: &str, serving: &mut JoinSet<()>) -> SocketAddr {
    let row = services::row(service).expect("the registry has it");
    let at = SocketAddr::from(([127, 0, 0, 1], 9));
    let bound = row.bind(&house.network, at).expect("nobody else listens there");
    let door = row.door(house, row.tls_server(house).expect("the key fits its certificate"));
    let house = house.clone();
    serving.spawn(async move { row.serve(bound, door, &house).await });
    at
}

fn settings() -> &'static Settings {
    static READ: OnceLock<Settings> = OnceLock::new();
    READ.get_or_init(|| {
        let text = "[hosts]\n\"a.test\" = \"127.0.0.1\"\n[accounts.eve]\npassword = \"x\"\nwrite = [\"/\"]\n";
        let nobody = std::iter::empty();
        config::read::merge(("portico.toml", text), nobody, &[]).expect("these settings are right").settings
    })
}

fn furnish(house: &House) {
    for (place, content) in [
        ("/index.html", "<title>whole</title>"),
        ("/page.html", "page"),
        ("/page.fr.html", "la page"),
        ("/a.txt", "0123456789"),
        ("/folder/b.txt", "b"),
    ] {
        let file = Fixture { place: place.into(), content: content.as_bytes().to_vec() };
        put_file(&*house.tree, &file).expect("a tree in memory takes it");
    }
    let message = Fixture { place: "eve".into(), content: b"Subject: dots\r\n\r\n.one\r\n..two\r\n".to_vec() };
    put_message(&*house.mail, &message).expect("a maildrop in memory takes it");
}

/// The final statuses of the answers in `said`, each of them a whole response to its request.
/// `breaks_off` is for a server that can't help ending in the middle of a body.
fn answers(said: &[u8], asked: &[Option<reference::Asked>], breaks_off: bool) -> Vec<u16> {
    let (mut rest, mut questions, mut statuses, mut persists) = (said, asked.iter(), Vec::new(), true);
    while !rest.is_empty() {
        assert!(rest.starts_with(b"HTTP/1.1 "), "an answer begins with its version");
        let end = parse::head_end(rest, 0).expect("a head is never cut");
        let head = parse::response(&rest[..end], LineEnds::CrLf).expect("every answer is HTTP");
        agrees_with_httparse(&rest[..end], head.status);
        rest = &rest[end..];
        if head.status < 200 {
            continue;
        }
        assert!(persists, "nothing follows the last answer of a connection");
        let question = questions.next().expect("no more answers than requests");
        persists = framing::persists(head.version, &head.fields);
        // What is no request may be found out at its first line or at its end, and for two reasons.
        statuses.push(if question.is_some() { head.status } else { 400 });
        let method = question.as_ref().map_or(Method::Get, |asked| Method::from_token(&asked.method));
        if method == Method::Connect && matches!(head.status, 200..=299) {
            return statuses;
        }
        let framing = framing::of_response(&method, &head).expect("an answer is delimited without doubt");
        match body(framing, rest) {
            Some(octets) => rest = &rest[octets..],
            None if breaks_off => return statuses,
            // To a HEAD that was refused before anybody knew that it was one.
            None => assert!(question.is_none() && rest.is_empty(), "the body of an answer is whole"),
        }
    }
    let whole = asked.iter().flatten().count();
    assert!(!persists || statuses.len() >= whole, "{} answers to {whole} requests", statuses.len());
    statuses
}

/// How many octets the body at the start of `input` takes.
fn body(framing: framing::Framing, input: &[u8]) -> Option<usize> {
    let (mut decoder, mut at) = (Decoder::new(framing), 0);
    while !decoder.is_over() {
        let step = decoder.step(&input[at..]).expect("our own framing is right");
        at += step.octets();
        if step == Step::More {
            break;
        }
    }
    decoder.ends_with_stream().then_some(at)
}

fn agrees_with_httparse(head: &[u8], status: u16) {
    let mut rows = [httparse::EMPTY_HEADER; 128];
    let mut other = httparse::Response::new(&mut rows);
    assert_eq!(other.parse(head), Ok(httparse::Status::Complete(head.len())));
    assert_eq!(other.code, Some(status));
}

/// An origin that says its octets to whoever says something to it, and listens to the end.
async fn play_origin(network: Network, says: Vec<u8>, heard: Arc<Mutex<Vec<Vec<u8>>>>) {
    let mut listener = network.listen(SocketAddr::from(([127, 0, 0, 1], 80))).expect("nobody else listens there");
    let mut talking = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let (says, heard) = (says.clone(), heard.clone());
        let index = {
            let mut heard = heard.lock().expect("no code panics while it holds this");
            heard.push(Vec::new());
            heard.len() - 1
        };
        talking.spawn(async move {
            let (mut chunk, mut has_spoken) = ([0; 4096], false);
            while let Ok(octets @ 1..) = stream.read(&mut chunk).await {
                heard.lock().expect("no code panics while it holds this")[index].extend_from_slice(&chunk[..octets]);
                if !std::mem::replace(&mut has_spoken, true) {
                    let _heard = stream.write_all(&says).await;
                    let _heard = stream.shutdown().await;
                }
            }
        });
    }
}

/// Counts the requests that the proxy sent on one connection, and checks that nobody can read
/// them in two ways.
fn check_sent_up(mut stream: &[u8]) -> usize {
    let mut count = 0;
    while !stream.is_empty() {
        count += 1;
        match reference::read_request(stream, false) {
            reference::Read::Refused => panic!("what goes up is ambiguous: {}", stream.escape_ascii()),
            // The client went away in the middle of its body.
            reference::Read::Partial => break,
            reference::Read::Whole(asked) => {
                let has = |name: &str| asked.names.iter().any(|found| found == name);
                assert!(has("host") && has("via"), "{:?}", asked.names);
                assert!(!has("proxy-authorization") && !has("proxy-connection") && !has("keep-alive"), "{:?}", asked.names);
                stream = &stream[asked.octets..];
            }
        }
    }
    count
}

/// Replies of SMTP and FTP: `250-text` and `250 text`, all lines of one with the same code.
fn check_replies(sent: &[u8], said: &[u8]) {
    let (mut code, mut replies) = (None::<Vec<u8>>, 0);
    for line in whole_lines(said) {
        assert!(line.len() <= 510 && line.iter().all(|octet| matches!(octet, b'\t' | b' '..=b'~' | 0x80..)), "{}", line.escape_ascii());
        let inner = code.is_some() && line.starts_with(b" ");
        let numbered = line.len() >= 4 && line[..3].iter().all(u8::is_ascii_digit) && matches!(line[3], b' ' | b'-');
        assert!(numbered || inner, "{}", line.escape_ascii());
        if inner {
            continue;
        }
        assert!(code.as_deref().is_none_or(|code| code == &line[..3]), "{}", line.escape_ascii());
        code = (line[3] == b'-').then(|| line[..3].to_vec());
        replies += usize::from(code.is_none());
    }
    assert!(code.is_none(), "the last reply is whole");
    assert!(replies <= lines_in(sent) + 2, "{replies} replies");
}

/// The lines of what a server said, without their ends, which are all CR LF.
fn whole_lines(said: &[u8]) -> Vec<&[u8]> {
    let Some(said) = said.strip_suffix(b"\r\n") else {
        assert!(said.is_empty(), "the last line is whole");
        return Vec::new();
    };
    let lines: Vec<&[u8]> = memchr::memmem::find_iter(said, b"\r\n")
        .chain([said.len()])
        .scan(0, |start, end| Some(&said[std::mem::replace(start, end + 2)..end]))
        .collect();
    assert!(lines.iter().all(|line| !line.contains(&b'\r') && !line.contains(&b'\n')), "no bare CR or LF");
    lines
}

fn lines_in(sent: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', sent).count()
}
