//! What the cookie page has told a visitor is true after `kill -9`.

use crate::support::{Dialogue, Family, Lab, Server};

/// Each visit is killed off as soon as its answer is there.
pub fn a_visitor_is_known_after_kill_9() {
    let lab = Lab::new();
    let mut server = lab.start(&[]);
    let (head, body) = ask(&server, "POST /visitor", "", "name=Susan&add=ketchup");
    let cookie = head.iter().find_map(|line| line.strip_prefix("Set-Cookie: ")).expect("a new visitor gets a cookie");
    let cookie = format!("Cookie: {}", cookie.split(';').next().unwrap_or_default());
    assert!(body.is_empty() || body.starts_with("Noted"), "{body}");
    for visits in 2..=6 {
        server.kill();
        server = lab.start(&[]);
        let (_, body) = ask(&server, "GET /visitor", &cookie, "");
        let expected = format!("You are visitor 1678. This is visit number {visits}.\nname: Susan\nin the basket: 1 ketchup\n");
        assert_eq!(body, expected);
    }
    server.stop();
}

/// Head and body of the answer.
fn ask(server: &Server, what: &str, cookie: &str, form: &str) -> (Vec<String>, String) {
    let mut http = Dialogue::with(server.at("http", Family::V4));
    http.say(&format!("{what} HTTP/1.1")).say("Host: localhost").say("Connection: close");
    if !cookie.is_empty() {
        http.say(cookie);
    }
    if !form.is_empty() {
        http.say("Content-Type: application/x-www-form-urlencoded").say(&format!("Content-Length: {}", form.len()));
    }
    http.say("");
    http.try_send(form.as_bytes()).expect("the server listens");
    let head = http.hear_until("");
    let octets = head.iter().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok()).unwrap_or(0);
    let body = http.try_octets(octets).expect("the body comes whole");
    let body = String::from_utf8(body).expect("it is text");
    (head, body)
}
