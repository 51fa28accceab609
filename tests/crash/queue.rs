//! Two servers with different domains, and mail from one to the other.

use std::{fs, net::TcpListener};

use crate::support::{Dialogue, Family, Lab, Server, until};

const V4: Family = Family::V4;

/// A lab whose server is responsible for `domain`.
fn lab_of(domain: &str, more: &str) -> Lab {
    let lab = Lab::new();
    settle(&lab, domain, more);
    lab
}

fn settle(lab: &Lab, domain: &str, more: &str) {
    let settings = format!("domains = [\"{domain}\"]\n{more}");
    fs::write(lab.data().join("portico.toml"), settings).expect("the lab is writable");
}

fn route(port: u16) -> String {
    format!("[smtp.retry]\nfirst = \"100ms\"\nmost = \"1s\"\n[smtp.routes]\n\"hamburger.test\" = \"127.0.0.1:{port}\"\n")
}

fn submit(server: &Server, subject: &str) {
    submit_as(server, subject, "");
}

/// `parameters` go behind the sender's address.
fn submit_as(server: &Server, subject: &str, parameters: &str) {
    let mut smtp = Dialogue::with(server.at("submission", V4));
    smtp.hear("220 ");
    smtp.say("EHLO agent").hear("250");
    // The rest of the list of extensions.
    while smtp.hear("250").as_bytes()[3] == b'-' {}
    smtp.say("AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=").hear("235 ");
    smtp.say(&format!("MAIL FROM:<alice@crepes.test>{parameters}")).hear("250 ");
    smtp.say("RCPT TO:<bob@hamburger.test>").hear("250 ");
    smtp.say("DATA").hear("354 ");
    smtp.say(&format!("Subject: {subject}")).say("").say("Do you like ketchup?").say(".").hear("250 ");
    smtp.say("QUIT").hear("221 ");
}

/// bob's messages, as lines.
fn maildrop(server: &Server) -> Vec<Vec<String>> {
    let mut pop3 = Dialogue::with(server.at("pop3", V4));
    pop3.hear("+OK");
    pop3.say("USER bob").hear("+OK");
    pop3.say("PASS hungry").hear("+OK");
    pop3.say("LIST").hear("+OK");
    let count = pop3.hear_until(".").len();
    let mut fetch = |number| {
        pop3.say(&format!("RETR {number}")).hear("+OK");
        pop3.hear_until(".")
    };
    let messages = (1..=count).map(&mut fetch).collect();
    pop3.say("QUIT").hear("+OK");
    messages
}

/// How many messages wait in a server's queue.
fn waiting(lab: &Lab) -> usize {
    let list = lab.portico(&["queue", "list", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap_or_else(|error| panic!("{error}: {list}"));
    list.as_array().unwrap_or_else(|| panic!("a list of messages: {list}")).len()
}

/// It waits in the queue, survives the end of its server, and arrives exactly once.
pub fn mail_waits_for_a_server_that_is_down() {
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port can be had");
    let crepes = lab_of("crepes.test", &route(nobody.port()));
    let first = crepes.start(&[]);
    submit(&first, "waiting");
    assert_eq!(waiting(&crepes), 1);
    first.kill();
    assert_eq!(waiting(&crepes), 1, "it has survived");

    let hamburger = lab_of("hamburger.test", "");
    let second = hamburger.start(&[]);
    assert_eq!(maildrop(&second).len(), 0);
    settle(&crepes, "crepes.test", &route(second.at("smtp", V4).port()));
    let first = crepes.start(&[]);
    until("the mail has left", || (waiting(&crepes) == 0).then_some(()));
    assert_eq!(maildrop(&second).len(), 1, "what has left has arrived");

    // Neither comes back when both are killed, and what is submitted later comes alone.
    first.kill();
    second.kill();
    let second = hamburger.start(&[]);
    settle(&crepes, "crepes.test", &route(second.at("smtp", V4).port()));
    let first = crepes.start(&[]);
    submit(&first, "afterwards");
    until("the second mail has left", || (waiting(&crepes) == 0).then_some(()));
    let messages = maildrop(&second);
    assert_eq!(messages.len(), 2, "exactly once: {messages:#?}");
    assert!(messages[1].contains(&"Subject: afterwards".to_owned()), "{messages:#?}");
    shows_its_way(&messages[0]);
}

/// Received fields, the newest first: hamburger from crepes, crepes from the agent.
fn shows_its_way(message: &[String]) {
    let unfolded = message.join("\n").replace("\n\t", " ").replace("\n ", " ");
    let way: Vec<&str> = unfolded.lines().filter(|line| line.starts_with("Received: ")).collect();
    assert_eq!(way.len(), 2, "{way:#?}");
    assert!(way[0].contains("from crepes.test") && way[0].contains("by hamburger.test"), "{way:#?}");
    assert!(way[1].contains("from agent") && way[1].contains("by crepes.test"), "{way:#?}");
    assert!(message.contains(&"Do you like ketchup?".to_owned()));
}

fn ids(lab: &Lab, words: &[&str]) -> Vec<String> {
    let list = lab.portico(&[&["queue"], words, &["--json"]].concat());
    let list: serde_json::Value = serde_json::from_str(&list).unwrap_or_else(|error| panic!("{error}: {list}"));
    let list = list.as_array().unwrap_or_else(|| panic!("a list: {list}"));
    list.iter().map(|entry| entry.as_str().or(entry["id"].as_str()).expect("an id").to_owned()).collect()
}

/// What waits for a server that is down leaves in the order of its urgency when it is back (RFC
/// 6710), but for what is held; and what is removed never arrives. All of it through the running
/// server, and on the files of one that is not running.
pub fn urgent_mail_goes_first_and_held_mail_stays() {
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port can be had");
    let one_at_a_time = "[smtp]\nconnections-per-destination = 1\n";
    let crepes = lab_of("crepes.test", &format!("{one_at_a_time}{}", route(nobody.port())));
    let first = crepes.start(&[]);
    for (subject, parameters) in
        [("ordinary", ""), ("slow", " MT-PRIORITY=-4"), ("urgent", " MT-PRIORITY=6"), ("held", ""), ("removed", "")]
    {
        submit_as(&first, subject, parameters);
    }
    let all = ids(&crepes, &["list"]);
    assert_eq!(all.len(), 5);
    assert_eq!(ids(&crepes, &["list", "hamburger.test"]), all);
    assert_eq!(ids(&crepes, &["hold", "all"]), all);
    assert_eq!(ids(&crepes, &["remove", &all[4]]), all[4..]);
    let shown = crepes.portico(&["queue", "show", &all[3]]);
    assert!(shown.contains("\nSubject: held\n") && shown.contains("\n\tby "), "{shown}");
    first.kill();
    // Nobody runs now.
    assert_eq!(ids(&crepes, &["list"]), all[..4]);
    assert_eq!(ids(&crepes, &["release", &all[0], &all[1], &all[2]]), all[..3]);

    let hamburger = lab_of("hamburger.test", "");
    let second = hamburger.start(&[]);
    settle(&crepes, "crepes.test", &format!("{one_at_a_time}{}", route(second.at("smtp", V4).port())));
    let first = crepes.start(&[]);
    until("three have left", || (waiting(&crepes) == 1).then_some(()));
    let subjects = |messages: &[Vec<String>]| -> Vec<String> {
        messages.iter().flatten().filter_map(|line| line.strip_prefix("Subject: ").map(str::to_owned)).collect()
    };
    assert_eq!(subjects(&maildrop(&second)), ["urgent", "ordinary", "slow"]);
    assert_eq!(ids(&crepes, &["list"]), [all[3].clone()]);
    assert!(crepes.portico(&["queue", "list"]).contains("held"));
    crepes.portico(&["queue", "release", "all"]);
    until("the last has left", || (waiting(&crepes) == 0).then_some(()));
    assert_eq!(subjects(&maildrop(&second)).last().map(String::as_str), Some("held"));
    first.stop();
}
