//! Postfix on both sides of the relay: as the next hop, and as a client whose smarthost is Portico.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::{PermissionsExt, chown},
    path::PathBuf,
    process::{Child, Stdio},
};

use crate::support::{Dialogue, Family, Lab, Server, command, run, text, until};

const V4: Family = Family::V4;
/// The user `mail`, who owns the maildrops.
const MAIL_ID: u32 = 8;

/// A Postfix of its own, which takes mail for hamburger.test and sends all other to `smarthost`.
struct Postfix {
    process: Child,
    folder: tempfile::TempDir,
    at: SocketAddr,
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port can be had")
}

impl Postfix {
    fn start(at: SocketAddr, smarthost: SocketAddr) -> Postfix {
        let folder = tempfile::Builder::new().prefix("portico-postfix-").tempdir().expect("the temporary folder is writable");
        // Its parts run as several users.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("the folder is ours");
        for name in ["etc", "queue", "data", "mail/bob/new", "mail/bob/cur", "mail/bob/tmp"] {
            fs::create_dir_all(folder.path().join(name)).expect("the folder is writable");
        }
        for name in ["mail", "mail/bob", "mail/bob/new", "mail/bob/cur", "mail/bob/tmp"] {
            chown(folder.path().join(name), Some(MAIL_ID), Some(MAIL_ID)).expect("the superuser may give files away");
        }
        run("chown", &["postfix", text(&folder.path().join("data"))]);
        let programs = run("postconf", &["-d", "-h", "daemon_directory"]);
        let within = |name: &str| text(&folder.path().join(name)).to_owned();
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {}\ndata_directory = {}\nmaillog_file = {}\nmaillog_file_prefixes = {}\n\
             daemon_directory = {programs}mail_owner = postfix\nsetgid_group = postdrop\nmyhostname = mx.hamburger.test\n\
             mydestination =\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmynetworks = 127.0.0.0/8\nalias_maps =\n\
             alias_database =\nvirtual_mailbox_domains = hamburger.test\nvirtual_mailbox_base = {}\n\
             virtual_mailbox_maps = inline:{{ bob@hamburger.test=bob/, ann@hamburger.test=bob/ }}\nvirtual_uid_maps = static:{MAIL_ID}\n\
             virtual_gid_maps = static:{MAIL_ID}\nvirtual_minimum_uid = 1\nrelayhost = [127.0.0.1]:{}\nsmtp_tls_security_level = may\n\
             smtpd_peername_lookup = no\nsmtpd_relay_restrictions = permit_mynetworks, reject\nmailbox_size_limit = 0\n",
            within("queue"),
            within("data"),
            within("log"),
            text(folder.path()),
            within("mail"),
            smarthost.port(),
        );
        fs::write(folder.path().join("etc/main.cf"), main).expect("the folder is writable");
        fs::write(folder.path().join("etc/master.cf"), MASTER.replace("{smtp}", &at.to_string())).expect("the folder is writable");
        let etc = folder.path().join("etc");
        let mut process = command("postfix");
        process.args(["-c", text(&etc), "start-fg"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = process.spawn().expect("Postfix can be started");
        let postfix = Postfix { process, folder, at };
        until("Postfix listens", || TcpStream::connect(at).ok());
        postfix
    }

    /// The messages that bob and ann have.
    fn messages(&self) -> Vec<String> {
        let new = self.folder.path().join("mail/bob/new");
        let mut paths: Vec<PathBuf> = fs::read_dir(new).expect("the maildrop is there").flatten().map(|entry| entry.path()).collect();
        paths.sort();
        paths.iter().map(|path| fs::read(path).map(|octets| octets.escape_ascii().to_string()).expect("a message can be read")).collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of Postfix ---\n{}", self.log());
        }
        let etc = self.folder.path().join("etc");
        let _stopped = command("postfix").args(["-c", text(&etc), "stop"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        let _killed = self.process.kill();
        let _waited = self.process.wait();
    }
}

const MASTER: &str = "{smtp} inet n - n - 100 smtpd\n\
    cleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\ntlsmgr unix - - n 1000? 1 tlsmgr\nrewrite unix - - n - - trivial-rewrite\n\
    bounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nverify unix - - n - 1 verify\n\
    flush unix n - n 1000? 0 flush\nproxymap unix - - n - - proxymap\nsmtp unix - - n - - smtp\nrelay unix - - n - - smtp\n\
    showq unix n - n - - showq\nerror unix - - n - - error\nretry unix - - n - - error\nvirtual unix - n n - - virtual\n\
    anvil unix - - n - 1 anvil\nscache unix - - n - 1 scache\npostlog unix-dgram n - n - 1 postlogd\n";

/// Portico for crepes.test, and Postfix for hamburger.test behind it.
fn both() -> (Lab, Server, Postfix) {
    let (lab, at) = (Lab::new(), free_port());
    let settings = format!(
        "domains = [\"crepes.test\"]\n[smtp.retry]\nfirst = \"500ms\"\nmost = \"1s\"\n[smtp.routes]\n\"hamburger.test\" = \"127.0.0.1:{}\"\n",
        at.port()
    );
    fs::write(lab.data().join("portico.toml"), settings).expect("the lab is writable");
    let server = lab.start(&[]);
    let postfix = Postfix::start(at, server.at("smtp", V4));
    (lab, server, postfix)
}

fn hello(at: SocketAddr) -> Dialogue {
    let mut smtp = Dialogue::with(at);
    smtp.hear("220 ");
    smtp.say("EHLO agent");
    while smtp.hear("250").as_bytes()[3] == b'-' {}
    smtp
}

fn submission(server: &Server) -> Dialogue {
    let mut smtp = hello(server.at("submission", V4));
    smtp.say("AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=").hear("235 ");
    smtp
}

fn send(smtp: &mut Dialogue, mail: &str, recipients: &[&str], lines: &[&str]) {
    smtp.say(&format!("MAIL FROM:{mail}")).hear("250 ");
    for recipient in recipients {
        smtp.say(&format!("RCPT TO:{recipient}")).hear("250 ");
    }
    smtp.say("DATA").hear("354 ");
    for line in lines {
        smtp.say(line);
    }
    smtp.say(".").hear("250 ");
}

/// The messages in a maildrop of Portico.
fn maildrop(server: &Server, user: &str, password: &str) -> Vec<String> {
    let mut pop3 = Dialogue::with(server.at("pop3", V4));
    pop3.hear("+OK");
    pop3.say(&format!("USER {user}")).hear("+OK");
    pop3.say(&format!("PASS {password}")).hear("+OK");
    pop3.say("LIST").hear("+OK");
    let count = pop3.hear_until(".").len();
    let messages = (1..=count).map(|number| {
        pop3.say(&format!("RETR {number}")).hear("+OK");
        pop3.hear_until(".").join("\n")
    });
    let messages = messages.collect();
    pop3.say("QUIT").hear("+OK");
    messages
}

/// Postfix takes what Portico brings, in chunks and over TLS where it offers that, and its reports
/// find their way back.
pub fn as_the_next_hop() {
    let (lab, server, postfix) = both();
    let mut smtp = submission(&server);
    send(&mut smtp, "<alice@crepes.test>", &["<bob@hamburger.test>"], &["Subject: dots", "", "..one", "...two", "end"]);
    let filler = "x".repeat(70);
    let large: Vec<&str> = ["Subject: large", ""].into_iter().chain(std::iter::repeat_n(filler.as_str(), 20_000)).collect();
    send(&mut smtp, "<alice@crepes.test>", &["<bob@hamburger.test>"], &large);
    send(&mut smtp, "<alice@crepes.test>", &["<bob@hamburger.test>", "<ann@hamburger.test>"], &["Subject: two", "", "for both"]);
    let messages = until("all messages are there", || Some(postfix.messages()).filter(|messages| messages.len() == 4));
    let of = |subject: &str| messages.iter().find(|message| message.contains(subject)).unwrap_or_else(|| panic!("{subject}: {messages:?}"));
    assert!(of("Subject: dots").ends_with("\\n.one\\n..two\\nend\\n"), "{}", of("Subject: dots"));
    assert_eq!(of("Subject: large").matches(&filler).count(), 20_000);
    assert_eq!(messages.iter().filter(|message| message.contains("for both")).count(), 2);

    // One that Postfix refuses comes back from us; one of which it tells success, from Postfix.
    send(&mut smtp, "<alice@crepes.test>", &["<nobody@hamburger.test>"], &["Subject: nobody", "", "there"]);
    let (mail, notify) = ("<alice@crepes.test> ENVID=QQ314159", "<bob@hamburger.test> NOTIFY=SUCCESS");
    send(&mut smtp, mail, &[notify], &["Subject: tell me", "", "please"]);
    let reports = until("both reports are there", || Some(maildrop(&server, "alice", "wonderland")).filter(|reports| reports.len() == 2));
    let of = |line: &str| reports.iter().find(|report| report.contains(line)).unwrap_or_else(|| panic!("{line}: {reports:#?}"));
    assert!(
        of("Action: failed")
            .contains("Status: 5.1.1\nRemote-MTA: dns; [127.0.0.1]\nDiagnostic-Code: smtp; 550 5.1.1 <nobody@hamburger.test>")
    );
    assert!(
        of("Action: delivered").contains("Original-Envelope-Id: QQ314159")
            && of("Action: delivered").contains("Reporting-MTA: dns; mx.hamburger.test")
    );
    assert_eq!(lab.portico(&["queue", "list"]), "the queue is empty\n");
    assert!(postfix.log().contains("proto=ESMTP"), "{}", postfix.log());
}

/// Postfix hands all that is not its own to Portico, over TLS.
pub fn as_a_client() {
    let (_lab, server, postfix) = both();
    let mut smtp = hello(postfix.at);
    for subject in ["one", "two", "three"] {
        send(&mut smtp, "<ann@hamburger.test>", &["<bob@crepes.test>"], &[&format!("Subject: {subject}"), "", "..hidden", "text"]);
    }
    send(&mut smtp, "<ann@hamburger.test>", &["<bob@crepes.test>", "<alice@crepes.test>"], &["Subject: four", "", "for both"]);
    let messages = until("bob has his mail", || Some(maildrop(&server, "bob", "hungry")).filter(|messages| messages.len() == 4));
    assert!(messages.iter().filter(|message| message.contains("\n..hidden\ntext")).count() == 3, "{messages:#?}");
    assert!(
        messages.iter().all(|message| message.contains("with ESMTPS") && message.contains("Return-Path: <ann@hamburger.test>")),
        "{messages:#?}"
    );
    assert_eq!(maildrop(&server, "alice", "wonderland").len(), 1);

    // What Portico refuses, Postfix returns to its own user.
    send(&mut smtp, "<ann@hamburger.test>", &["<nobody@crepes.test>"], &["Subject: nobody", "", "there"]);
    let messages = until("ann has a report", || Some(postfix.messages()).filter(|messages| !messages.is_empty()));
    assert!(messages[0].contains("550 5.1.1") && messages[0].contains("Final-Recipient: rfc822; nobody@crepes.test"), "{messages:#?}");
}
