use super::*;
use crate::{
    smtp::{command::parse, directory_tests::directory, settings::Settings},
    units::Size,
};

fn session(role: Role, link: impl FnOnce(&mut Link), settings: &Settings) -> Session {
    let settings = Settings { max_message: Size(1000), ..settings.clone() };
    let policy = Policy::new(role, directory(&settings), &settings);
    let ip = "127.0.0.1".parse().unwrap();
    let mut of = Link { peer: ip, local: ip, tls: false, passwords: true, offer: Offer::default() };
    link(&mut of);
    Session::new(Arc::new(policy), of)
}

/// The reply to the last of some lines.
fn said(session: &mut Session, lines: &[&str]) -> String {
    let mut last = String::new();
    for line in lines {
        last = match session.step(parse(line.as_bytes())) {
            Step::Say(reply) | Step::Receive(reply) | Step::StartTls(reply) => reply.to_string(),
            Step::Chunk { octets, last } => format!("chunk of {octets}, last: {last}"),
            Step::Swallow { octets, reply } => format!("{octets} dropped, {reply}"),
            Step::Wait { time, .. } => format!("wait {time:?}"),
            Step::Drop => "drop".to_owned(),
            Step::LogIn { mechanism, .. } => format!("log in by {mechanism:?}"),
        };
    }
    last
}

fn codes(role: Role, lines: &[&str]) -> String {
    said(&mut session(role, |_| {}, &Settings::default()), lines)[..3].to_owned()
}

#[test]
fn commands_out_of_order_are_refused() {
    for (lines, code) in [
        (&["MAIL FROM:<a@b>"][..], "503"),
        (&["RCPT TO:<bob@portico.test>"], "503"),
        (&["DATA"], "503"),
        (&["HELO x", "RCPT TO:<bob@portico.test>"], "503"),
        (&["HELO x", "DATA"], "503"),
        (&["HELO x", "MAIL FROM:<a@b>", "DATA"], "503"),
        (&["HELO x", "MAIL FROM:<a@b>", "MAIL FROM:<a@b>"], "503"),
        (&["HELO x", "MAIL FROM:<a@b>", "RCPT TO:<x@portico.test>", "DATA"], "554"),
        (&["HELO x", "MAIL FROM:<a@b>", "RCPT TO:<bob@portico.test>", "DATA"], "354"),
        (&["HELO x", "MAIL FROM:<a@b>", "RSET", "RCPT TO:<bob@portico.test>"], "503"),
        (&["HELO x", "MAIL FROM:<a@b>", "EHLO x", "RCPT TO:<bob@portico.test>"], "503"),
        (&["HELO x", "STARTTLS"], "503"),
        (&["EHLO x", "STARTTLS"], "220"),
        (&["EHLO x", "MAIL FROM:<a@b>", "STARTTLS"], "503"),
        (&["EHLO x", "MAIL FROM:<a@b>", "AUTH PLAIN"], "503"),
        (&["NOOP"], "250"),
        (&["RSET"], "250"),
        (&["HELP"], "214"),
        (&["VRFY bob"], "252"),
        (&["QUIT"], "221"),
    ] {
        assert_eq!(codes(Role::Mx, lines), code, "{lines:?}");
    }
}

#[test]
fn submission_wants_a_login_first() {
    assert_eq!(codes(Role::Submission, &["EHLO x", "MAIL FROM:<a@b>"]), "530");
    let mut session = session(Role::Submission, |_| {}, &Settings::default());
    said(&mut session, &["EHLO x"]);
    session.logged_in("alice");
    assert!(said(&mut session, &["MAIL FROM:<a@b>"]).starts_with("250"));
    assert!(said(&mut session, &["RSET", "AUTH PLAIN"]).starts_with("503"), "not twice");
}

#[test]
fn relaying_is_refused_to_strangers_in_every_spelling() {
    let settings = Settings { routes: [("*".into(), "127.0.0.1".into())].into(), ..Settings::default() };
    let mut stranger = session(Role::Mx, |_| {}, &settings);
    said(&mut stranger, &["HELO x", "MAIL FROM:<a@b>"]);
    for (recipient, code) in [
        ("<u@remote.example>", "550 5.7.1"),
        ("<@portico.test:u@remote.example>", "550 5.7.1"),
        ("<\"u@portico.test\"@remote.example>", "550 5.7.1"),
        ("<u%remote.example@portico.test>", "550 5.1.1"),
        ("<\"u@remote.example\"@portico.test>", "550 5.1.1"),
        ("<remote.example!u@portico.test>", "550 5.1.1"),
        ("<remote.example!u>", "501 5.1.3"),
    ] {
        assert!(said(&mut stranger, &[&format!("RCPT TO:{recipient}")]).starts_with(code), "{recipient}");
    }
}

#[test]
fn those_who_may_relay_are_told_whether_there_is_a_route() {
    let settings = Settings { routes: [("remote.example".into(), "127.0.0.1".into())].into(), ..Settings::default() };
    let mut session = session(Role::Mx, |_| {}, &settings);
    session.logged_in("bob");
    said(&mut session, &["EHLO x", "MAIL FROM:<bob@portico.test>"]);
    assert!(said(&mut session, &["RCPT TO:<u@remote.example>"]).starts_with("250 2.1.5"));
    assert!(said(&mut session, &["RCPT TO:<u@other.example>"]).starts_with("550 5.1.2"));
}

#[test]
fn limits_hold_and_one_past_them_is_refused() {
    let settings = Settings { max_recipients: 2, ..Settings::default() };
    let mut session = session(Role::Mx, |_| {}, &settings);
    assert!(said(&mut session, &["EHLO x", "MAIL FROM:<a@b> SIZE=1001"]).starts_with("552 5.3.4"));
    assert!(said(&mut session, &["MAIL FROM:<a@b> SIZE=1000"]).starts_with("250"));
    assert!(said(&mut session, &["RCPT TO:<bob@portico.test>", "RCPT TO:<alice@portico.test>"]).starts_with("250"));
    assert!(said(&mut session, &["RCPT TO:<bob+x@portico.test>"]).starts_with("452 4.5.3"));
    assert!(said(&mut session, &["RCPT TO:<bob@portico.test>"]).starts_with("250"), "named again, not added again");
    assert_eq!(session.take_transaction().unwrap().copies.len(), 2);
}

#[test]
fn one_mistake_too_many_ends_the_session() {
    let mut session = session(Role::Mx, |_| {}, &Settings::default());
    let nonsense = vec!["XYZZY"; MAX_MISTAKES as usize];
    assert!(said(&mut session, &nonsense).starts_with("500"));
    assert!(said(&mut session, &["XYZZY"]).starts_with("421"));
}

#[test]
fn passwords_are_not_asked_for_where_they_could_be_read() {
    let mut session = session(Role::Mx, |link| link.passwords = false, &Settings::default());
    assert!(!said(&mut session, &["EHLO x"]).contains("AUTH"));
    assert!(said(&mut session, &["AUTH PLAIN"]).starts_with("538"));
}

#[test]
fn with_own_sender_nobody_writes_in_anothers_name() {
    let settings = Settings { own_sender: true, ..Settings::default() };
    let mut session = session(Role::Submission, |_| {}, &settings);
    session.logged_in("bob");
    assert!(said(&mut session, &["EHLO x", "MAIL FROM:<alice@portico.test>"]).starts_with("553"));
    assert!(said(&mut session, &["MAIL FROM:<bob+x@portico.test>"]).starts_with("250"));
}
