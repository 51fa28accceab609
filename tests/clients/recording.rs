//! Conversations of real clients: recorded, played again without an edit, compared, read by tshark.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Stdio},
};

use crate::support::{Family, Lab, Server, attempt, command, run, run_with, text, until};

/// `portico transcript record` between clients and one service, ended after so many conversations.
struct Tape {
    process: Child,
    at: SocketAddr,
    folder: PathBuf,
}

impl Tape {
    fn between(lab: &Lab, server: &Server, service: &str, conversations: usize) -> Tape {
        let (folder, told) = (lab.path(&format!("tape-{service}")), lab.path(&format!("tape-{service}.out")));
        let out = fs::File::create(&told).expect("the lab is writable");
        let process = command(env!("CARGO_BIN_EXE_portico"))
            .args(["transcript", "record", "--listen", "127.0.0.1:0", "--to", &server.at(service, Family::V4).to_string()])
            .args(["--service", service, "--secrets", "--count", &conversations.to_string(), "--output", text(&folder)])
            .stdin(Stdio::null())
            .stdout(out)
            .spawn()
            .expect("the program can be started");
        let at = until("the tape runs", || {
            let line = fs::read_to_string(&told).ok()?;
            line.split(' ').nth(2).filter(|_| line.ends_with('\n')).and_then(|at| at.parse().ok())
        });
        Tape { process, at, folder }
    }

    /// Waits for the last conversation, and answers where the transcripts are.
    fn end(mut self) -> PathBuf {
        let status = until("the tape has ended", || self.process.try_wait().expect("it is ours to wait for"));
        assert!(status.success(), "{status}");
        self.folder.clone()
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        // It may have ended already.
        let _killed = self.process.kill();
        let _waited = self.process.wait();
    }
}

/// Plays what lies in a folder; data connections are played with their sessions.
fn replay(lab: &Lab, folder: &std::path::Path, sessions: usize) {
    let files = fs::read_dir(folder).expect("there are transcripts").map(|entry| entry.expect("it can be read").path());
    let is_data = |path: &PathBuf| text(path).contains("ftp-data-");
    let files: Vec<_> = files.filter(|path| !is_data(path)).collect();
    assert_eq!(files.len(), sessions, "{files:?}");
    let ready = lab.path("ready");
    for file in files {
        let words = ["transcript", "run", text(&file), "--ready-file", text(&ready)];
        let played = attempt(env!("CARGO_BIN_EXE_portico"), &words, b"");
        let told = String::from_utf8_lossy(&played.stdout).into_owned();
        assert!(told.contains("1 passed, 0 failed"), "{told}\nrecorded:\n{}", fs::read_to_string(&file).unwrap_or_default());
    }
}

/// curl's upload of a form, its downloads, and a conditional request, on one connection.
pub fn curl_is_recorded_and_played_again() {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let tape = Tape::between(&lab, &server, "http", 1);
    let at = |path: &str| format!("http://{}{path}", tape.at);
    run("curl", &["-sS", &at("/hello.txt"), &at("/nothing"), "-I", &at("/"), "-H", "If-None-Match: *"]);
    let folder = tape.end();
    replay(&lab, &folder, 1);
    server.stop();
}

/// swaks sends a message, logged in.
pub fn swaks_is_recorded_and_played_again() {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let tape = Tape::between(&lab, &server, "submission", 1);
    let login = ["--auth", "PLAIN", "--auth-user", "alice", "--auth-password", "wonderland"];
    let mail = ["--server", &tape.at.ip().to_string(), "--port", &tape.at.port().to_string(), "--from", "alice@portico.test"];
    run("swaks", &[&mail[..], &["--to", "bob@portico.test"], &login].concat());
    replay(&lab, &tape.end(), 1);
    server.stop();
}

/// lftp puts, lists and fetches: three data connections, and a fourth in active mode by curl.
pub fn lftp_is_recorded_and_played_again() {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let tape = Tape::between(&lab, &server, "ftp", 2);
    let file = lab.write("pickles.txt", "How about pickles?\n".repeat(400));
    let script = format!("set ftp:ssl-allow no; put {}; cls -l; get hello.txt -o {}; bye", text(&file), text(&lab.path("got")));
    run("lftp", &["-u", "alice,wonderland", "-e", &script, &format!("ftp://{}", tape.at)]);
    run("curl", &["-sS", "--ftp-port", "-", &format!("ftp://{}/hello.txt", tape.at)]);
    assert_eq!(fs::read(lab.data().join("www/pickles.txt")).expect("it was put"), fs::read(file).expect("it is there"));
    let folder = tape.end();
    assert_eq!(fs::read_dir(&folder).expect("there are transcripts").count(), 2 + 4);
    replay(&lab, &folder, 2);
    server.stop();
}

/// What the server itself records is played again too, and differs in nothing but codes that differ.
pub fn own_recordings_are_compared() {
    let lab = Lab::new();
    let server = lab.start(&["--transcripts"]);
    let url = |name: &str| format!("pop3://bob:hungry@{}/{name}", server.at("pop3", Family::V4));
    run("curl", &["-sS", "-l", &url("")]);
    run("curl", &["-sS", "-l", &url("")]);
    attempt("curl", &["-sS", &url("9")], b"");
    let folder = lab.data().join("var/transcripts");
    let files = until("three conversations are over", || {
        let files = fs::read_dir(&folder).ok()?.map(|entry| entry.expect("it can be read").path());
        let over = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.contains("ended:"));
        let mut files: Vec<_> = files.filter(over).collect();
        files.sort_by_key(|path| fs::metadata(path).and_then(|facts| facts.modified()).expect("it is there"));
        (files.len() == 3).then_some(files)
    });
    let diff = |a: usize, b: usize| attempt(env!("CARGO_BIN_EXE_portico"), &["transcript", "diff", text(&files[a]), text(&files[b])], b"");
    assert_eq!((diff(0, 1).status.code(), diff(0, 1).stdout.is_empty()), (Some(0), true));
    let told = diff(0, 2);
    let told = (told.status.code(), String::from_utf8_lossy(&told.stdout).into_owned());
    assert!(told.0 == Some(1) && told.1.contains("-C: LIST\n") && told.1.contains("+C: RETR 9\n"), "{told:?}");
    server.stop();
}

/// tshark takes the exported packets for the protocols that they are, and finds no fault with them.
pub fn tshark_reads_the_export() {
    let lab = Lab::new();
    let server = lab.start(&["--transcripts"]);
    let at = |service: &str| server.at(service, Family::V4).to_string();
    run("curl", &["-sS", &format!("http://{}/hello.txt", at("http")), "-o", text(&lab.path("a"))]);
    run("curl", &["-sS", &format!("ftp://{}/hello.txt", at("ftp")), "-o", text(&lab.path("b"))]);
    run("curl", &["-sS", &format!("pop3://bob:hungry@{}/", at("pop3"))]);
    let mail = ["--mail-from", "a@crepes.fr", "--mail-rcpt", "bob@portico.test", "--ssl-reqd", "--cacert", text(&server.ca), "-T", "-"];
    let url = format!("smtp://localhost:{}", server.at("smtp", Family::V4).port());
    run_with("curl", &[&["-sS", "-4", &url][..], &mail].concat(), b"Subject: pickles\r\n\r\nHow about them?\r\n");
    server.stop();

    let packets = lab.path("all.pcapng");
    lab.portico(&["transcript", "export", "--pcapng", text(&packets), text(&lab.data().join("var/transcripts"))]);
    let read = |filter: &str, field: &str| run("tshark", &["-r", text(&packets), "-Y", filter, "-T", "fields", "-e", field]);
    assert!(read("http.request", "http.request.uri").contains("/hello.txt"));
    assert!(read("http.response", "http.response.code").contains("200"));
    assert!(read("ftp.request.command == RETR", "ftp.request.arg").contains("hello.txt"));
    assert_eq!(read("ftp-data", "tcp.len").trim(), "20");
    assert!(read("pop.request", "pop.request.command").contains("LIST"));
    assert!(read("smtp", "_ws.col.Info").contains("C: STARTTLS"));
    assert!(read("imf.subject", "imf.subject").contains("pickles"), "what was said under TLS is there in the clear");
    assert!(read("frame.comment", "frame.comment").contains("RFC 5321"));
    for fault in ["_ws.malformed", "tcp.analysis.flags", "ip.checksum.status == Bad"] {
        assert_eq!(read(fault, "frame.number"), "", "{fault}");
    }
}

/// `portico watch` on a terminal, with one conversation going by.
pub fn a_conversation_is_watched() {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let seen = lab.path("seen");
    let watch = format!("{} watch pop3 --data {} --columns 80", env!("CARGO_BIN_EXE_portico"), text(&lab.data()));
    let mut terminal = command("script")
        .args(["--quiet", "--flush", "--command", &watch, text(&seen)])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program can be started");
    let url = format!("pop3://bob:hungry@{}/", server.at("pop3", Family::V4));
    let shown = until("the conversation is seen", || {
        run("curl", &["-sS", &url]);
        fs::read_to_string(&seen).ok().filter(|text| text.contains("ended: done"))
    });
    terminal.kill().expect("it is ours to kill");
    terminal.wait().expect("it is ours to wait for");
    assert!(shown.contains("── pop3#"), "{shown}");
    assert!(shown.contains("· ") && shown.contains("(RFC 1939, 5)"), "{shown}");
    assert!(!shown.contains("hungry"), "{shown}");
    server.stop();
}
