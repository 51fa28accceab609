//! Sessions without a network: commands in, replies out.

use super::*;
use crate::{
    smtp::{
        command::parse,
        directory_tests::directory,
        settings::{RouteSettings, Settings},
    },
    store::envelope::{Notify, Report},
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
            Step::Ask(question) => format!("ask {question:?}"),
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
fn what_the_disk_has_no_room_for_is_refused_when_it_is_announced() {
    let settings = Settings { min_free: Size(100), ..Settings::default() };
    let mut session = session(Role::Mx, |_| {}, &settings);
    said(&mut session, &["EHLO x"]);
    for (free, line, code) in [
        (Some(99), "MAIL FROM:<a@b>", "452 4.3.1"),
        (Some(100), "MAIL FROM:<a@b>", "250 2.1.0"),
        (Some(599), "MAIL FROM:<a@b> SIZE=500", "452 4.3.1"),
        (Some(600), "MAIL FROM:<a@b> SIZE=500", "250 2.1.0"),
        (Some(0), "MAIL FROM:<a@b> SIZE=1001", "552 5.3.4"),
        (None, "MAIL FROM:<a@b> SIZE=500", "250 2.1.0"),
    ] {
        session.note_free_octets(free);
        assert!(said(&mut session, &[line]).starts_with(code), "{free:?} {line}");
        said(&mut session, &["RSET"]);
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
    let settings = Settings { routes: [("*".into(), RouteSettings::to("127.0.0.1"))].into(), ..Settings::default() };
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
    let settings = Settings { routes: [("remote.example".into(), RouteSettings::to("127.0.0.1"))].into(), ..Settings::default() };
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

#[test]
fn chunks_have_their_own_order() {
    let envelope = ["EHLO x", "MAIL FROM:<a@b>", "RCPT TO:<bob@portico.test>"];
    for (lines, expected) in [
        (&["BDAT 5"][..], "chunk of 5, last: false"),
        (&["BDAT 0 LAST"], "chunk of 0, last: true"),
        (&["BDAT 5", "BDAT 5 LAST"], "chunk of 5, last: true"),
        (&["BDAT 5", "DATA"], "503 5.5.1"),
        (&["BDAT 5", "RCPT TO:<alice@portico.test>"], "503 5.5.1"),
        (&["BDAT 5", "MAIL FROM:<a@b>"], "503 5.5.1"),
        (&["BDAT 5", "AUTH PLAIN"], "503 5.5.1"),
        (&["BDAT 5", "NOOP"], "250"),
        (&["BDAT 5", "RSET", "BDAT 7"], "7 dropped, 503 5.5.1"),
        (&["BDAT 5", "EHLO x", "BDAT 7"], "7 dropped, 503 5.5.1"),
    ] {
        let mut session = session(Role::Mx, |_| {}, &Settings::default());
        said(&mut session, &envelope);
        assert!(said(&mut session, lines).starts_with(expected), "{lines:?}");
    }
    let mut session = session(Role::Mx, |_| {}, &Settings::default());
    said(&mut session, &envelope);
    said(&mut session, &["BDAT 5"]);
    session.chunk_failed();
    assert!(!session.is_chunking());
    assert!(said(&mut session, &["BDAT 7 LAST"]).starts_with("7 dropped, 503"));
    assert!(said(&mut session, &["MAIL FROM:<a@b>"]).starts_with("250"), "a new transaction may begin");
}

#[test]
fn of_what_is_here_success_is_reported_at_once() {
    let list = |members: &[&str]| members.iter().map(|member| member.to_string()).collect();
    let settings = Settings {
        aliases: [("staff".into(), list(&["bob", "carol@remote.example"])), ("carol".into(), list(&["carol@remote.example"]))].into(),
        ..Settings::default()
    };
    let mut session = session(Role::Mx, |_| {}, &settings);
    said(&mut session, &["EHLO x", "MAIL FROM:<a@b> RET=HDRS ENVID=QQ"]);
    said(&mut session, &["RCPT TO:<alice@portico.test> NOTIFY=SUCCESS", "RCPT TO:<bob@portico.test> NOTIFY=FAILURE"]);
    said(&mut session, &["RCPT TO:<staff@portico.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;s@b"]);
    let transaction = session.take_transaction().unwrap();
    assert_eq!(transaction.parameters.envid.as_deref(), Some("QQ"));
    let reports: Vec<_> = transaction.reports.iter().map(|reported| (reported.address.as_str(), reported.report)).collect();
    assert_eq!(reports, [("alice@portico.test", Some(Report::Delivered)), ("staff@portico.test", Some(Report::Expanded))]);
    let remote = &transaction.copies.last().unwrap().parameters;
    assert_eq!(remote.notify, Some(Notify { success: false, failure: true, delay: false }), "the list has reported");
    assert_eq!(remote.orcpt.as_ref().map(|orcpt| orcpt.address.as_str()), Some("s@b"));

    said(&mut session, &["MAIL FROM:<a@b>", "RCPT TO:<carol@portico.test> NOTIFY=SUCCESS"]);
    let transaction = session.take_transaction().unwrap();
    assert!(transaction.reports.is_empty(), "the next server reports");
    let remote = &transaction.copies[0].parameters;
    assert_eq!(remote.notify, Some(Notify { success: true, ..Notify::default() }));
    assert_eq!(remote.orcpt.as_ref().map(|orcpt| orcpt.address.as_str()), Some("carol@portico.test"), "whom the sender named");
}

#[test]
fn only_those_who_may_relay_make_mail_urgent() {
    let priority = |login: bool, asked: &str| {
        let mut session = session(Role::Mx, |_| {}, &Settings::default());
        if login {
            session.logged_in("bob");
        }
        said(&mut session, &["EHLO x", &format!("MAIL FROM:<a@b> MT-PRIORITY={asked}")]);
        let transaction = session.take_transaction().unwrap();
        (transaction.parameters.priority, transaction.demoted)
    };
    assert_eq!(priority(false, "5"), (Some(0), true));
    assert_eq!(priority(false, "-5"), (Some(-5), false));
    assert_eq!(priority(true, "5"), (Some(5), false));
}

#[test]
fn vrfy_and_expn_are_for_those_who_may_know() {
    let settings = Settings { vrfy: true, expn: true, ..Settings::default() };
    let mut stranger = session(Role::Mx, |link| link.peer = "192.0.2.7".parse().unwrap(), &settings);
    assert!(!said(&mut stranger, &["EHLO x"]).contains("EXPN"));
    assert!(said(&mut stranger, &["VRFY bob"]).starts_with("252"));
    assert!(said(&mut stranger, &["EXPN staff"]).starts_with("252"));
    stranger.logged_in("bob");
    assert!(said(&mut stranger, &["EHLO x"]).contains("EXPN"));
    assert!(said(&mut stranger, &["VRFY bob"]).starts_with("250"));
}

#[test]
fn the_lab_is_for_this_machine_unless_the_settings_say_otherwise() {
    use crate::smtp::settings::Lab;
    let code = |lab: Lab, peer: &str| {
        let settings = Settings { lab, ..Settings::default() };
        let mut session = session(Role::Mx, |link| link.peer = peer.parse().unwrap(), &settings);
        said(&mut session, &["EHLO x", "MAIL FROM:<a@b>", "RCPT TO:<450-x@portico.test>"])[..3].to_owned()
    };
    assert_eq!((code(Lab::Loopback, "::1").as_str(), code(Lab::Loopback, "192.0.2.7").as_str()), ("450", "550"));
    assert_eq!((code(Lab::On, "192.0.2.7").as_str(), code(Lab::Off, "127.0.0.1").as_str()), ("450", "550"));
}

#[test]
fn nobody_tries_names_for_ever() {
    let mut session = session(Role::Mx, |_| {}, &Settings::default());
    said(&mut session, &["EHLO x", "MAIL FROM:<a@b>"]);
    let tried = vec!["RCPT TO:<x@portico.test>"; MAX_REFUSED_RECIPIENTS as usize];
    assert!(said(&mut session, &tried).starts_with("550"));
    assert!(said(&mut session, &["RCPT TO:<x@portico.test>"]).starts_with("421"));
}
