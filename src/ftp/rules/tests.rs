//! Tables of dialogues with the rules alone.

use super::{access::MAX_FAILURES, *};
use crate::{
    ftp::{command::parse, directory::Wanted},
    store::tree::Receive,
};

fn session() -> Session {
    let loopback = IpAddr::from([127, 0, 0, 1]);
    Session::new(Circumstances {
        local: loopback,
        peer: loopback,
        secured: false,
        server_name: None,
        offers_tls: true,
        passwords: true,
        hosts: ["portico.test", "localhost"].map(String::from).into(),
        settings: Arc::default(),
    })
}

fn logged_in(write: &str) -> Session {
    let mut session = session();
    let write = vec![VirtualPath::parse(write).unwrap()];
    let account = Arc::new(Account { name: "bob".into(), home: write[0].clone(), write, www_quota: None, adds_only: false });
    let home = Some(account.home.clone());
    session.logged_in(Some((account, home)));
    session
}

/// The code that a line gets, 0 where the rules ask for something to be done first.
fn code(session: &mut Session, line: &str) -> u16 {
    let parsed = parse(line.as_bytes());
    let row = parsed.row;
    let step = session.step(parsed);
    match step {
        Step::Say(reply) | Step::Close(reply) | Step::StartTls(reply) | Step::HangUp(reply) | Step::Aim(_, reply) => {
            assert!(row.allows(reply.code()), "{line}: {}", reply.code());
            reply.code()
        }
        _ => 0,
    }
}

fn check(session: &mut Session, lines: &[(&str, u16)]) {
    for (line, expected) in lines {
        assert_eq!(code(session, line), *expected, "{line}");
    }
}

fn transfer(session: &mut Session, line: &str) -> Transfer {
    match session.step(parse(line.as_bytes())) {
        Step::Transfer(transfer) => transfer,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn before_the_login() {
    let everybody = [("NOOP", 200), ("SYST", 215), ("FEAT", 211), ("HELP", 214), ("HELP NOOP", 214), ("ABOR", 226), ("OPTS UTF8 ON", 200)];
    check(&mut session(), &everybody);
    for line in
        ["PWD", "CWD /", "LIST", "RETR x", "STOR x", "STAT", "PASV", "PORT 127,0,0,1,8,0", "TYPE I", "ACCT x", "SITE HELP", "REST 1"]
    {
        check(&mut session(), &[(line, 530)]);
    }
}

#[test]
fn the_login() {
    check(&mut session(), &[("PASS x", 503), ("USER alice", 331), ("PASS x", 0), ("PASS x", 503)]);
    check(&mut session(), &[("USER Anonymous", 331), ("PASS", 230), ("PWD", 257), ("PASS x", 503), ("PWD", 257)]);
    check(&mut session(), &[("USER ftp", 331), ("PASS x@y", 230), ("USER bob", 331), ("PWD", 530)]);
}

#[test]
fn passwords_are_not_taken_in_the_clear_and_guests_need_none() {
    let mut session = session();
    session.at.passwords = false;
    check(&mut session, &[("USER alice", 530), ("PASS x", 503), ("USER ftp", 331), ("PASS", 230)]);
}

#[test]
fn guesses_are_counted() {
    let mut session = session();
    for _ in 1..MAX_FAILURES {
        assert!(matches!(session.logged_in(None), Step::Say(_)));
    }
    assert!(matches!(session.logged_in(None), Step::Close(_)));
}

#[test]
fn rights_are_those_of_the_account() {
    let mut bob = logged_in("/~bob");
    check(&mut bob, &[("STOR /x", 553), ("APPE /x", 553), ("DELE /x", 550), ("MKD /x", 550), ("RMD /~bob", 550), ("RNFR /x", 550)]);
    check(&mut bob, &[("STOR ../x", 553), ("STOR x", 0), ("DELE x", 0), ("MKD x", 0), ("RMD x", 0), ("MFMT 19941106084937 x", 0)]);
    check(&mut bob, &[("MFMT 19941106084937 /x", 550), ("STOR .portico-x", 553), ("RETR .portico-x", 550), ("LIST .portico-x", 550)]);
    let mut guest = session();
    check(&mut guest, &[("USER ftp", 331), ("PASS x", 230), ("STOR x", 553), ("STOU", 553), ("MKD x", 550), ("RETR x", 0)]);
}

#[test]
fn a_rename_is_two_commands_that_follow_at_once() {
    let mut bob = logged_in("/~bob");
    let from = VirtualPath::parse("/~bob/a").unwrap();
    check(&mut bob, &[("RNTO b", 503)]);
    bob.rename_from(from.clone());
    check(&mut bob, &[("NOOP", 200), ("RNTO b", 503)]);
    bob.rename_from(from.clone());
    check(&mut bob, &[("RNTO /b", 553), ("RNTO b", 503)]);
    bob.rename_from(from.clone());
    let Step::Change(Change::Rename { from: old, to }) = bob.step(parse(b"RNTO b")) else { panic!("a rename") };
    assert_eq!((old, to.as_str()), (from, "/~bob/b"));
}

#[test]
fn a_restart_marker_is_for_the_next_transfer_alone() {
    let mut bob = logged_in("/~bob");
    check(&mut bob, &[("TYPE I", 200), ("REST 5", 350), ("NOOP", 200)]);
    assert!(matches!(transfer(&mut bob, "RETR x"), Transfer::Retrieve { range: ByteRange { from: 5, until: None }, .. }));
    assert!(matches!(transfer(&mut bob, "RETR x"), Transfer::Retrieve { range: ByteRange { from: 0, until: None }, .. }));
    check(&mut bob, &[("REST 5", 350)]);
    assert!(matches!(transfer(&mut bob, "STOR x"), Transfer::Store { how: Receive::ResumeAt(5), .. }));
    check(&mut bob, &[("REST 5", 350)]);
    assert!(matches!(transfer(&mut bob, "APPE x"), Transfer::Store { how: Receive::Append, .. }));
    check(&mut bob, &[("REST 5", 350), ("TYPE A", 200), ("STOR x", 554)]);
    assert!(matches!(transfer(&mut bob, "STOR x"), Transfer::Store { how: Receive::Replace, .. }));
}

#[test]
fn data_connections_go_to_the_peer_only() {
    let mut bob = logged_in("/");
    check(&mut bob, &[("PORT 127,0,0,1,4,0", 200), ("PORT 127,0,0,1,3,255", 504), ("PORT 10,0,0,1,8,0", 504)]);
    check(
        &mut bob,
        &[
            ("EPRT |2|::|2048|", 200),
            ("EPRT |1|0.0.0.0|25|", 504),
            ("EPRT |1|127.0.0.1|2048|", 200),
            ("EPRT |2|::ffff:127.0.0.1|2048|", 200),
            ("EPRT |2|::1|2048|", 522),
        ],
    );
    check(&mut bob, &[("EPSV 2", 522), ("EPSV 1", 0), ("PASV", 0), ("EPSV ALL", 200)]);
    check(&mut bob, &[("PASV", 501), ("PORT 127,0,0,1,8,0", 501), ("EPRT |1|127.0.0.1|2048|", 501), ("EPSV", 0)]);
    let mut six = logged_in("/");
    six.at.local = "::1".parse().unwrap();
    check(&mut six, &[("PASV", 501), ("EPSV 1", 522), ("EPSV", 0)]);
}

#[test]
fn protection_is_agreed_on_in_order() {
    let mut session = session();
    check(&mut session, &[("PBSZ 0", 503), ("PROT P", 503), ("CCC", 533), ("AUTH TLS", 234), ("AUTH SSL", 504)]);
    session.at.secured = true;
    check(
        &mut session,
        &[("PROT P", 503), ("PBSZ 0", 200), ("PROT S", 536), ("PROT P", 200), ("AUTH TLS", 534), ("CCC", 534), ("REIN", 502)],
    );
    assert_eq!(session.protection(), Protection::Private);
}

#[test]
fn lists_know_options_patterns_and_prefixes() {
    let mut bob = logged_in("/~bob");
    for (line, directory, wanted, before) in [
        ("NLST", "/~bob", None, ""),
        ("NLST -a sub", "/~bob/sub", None, "sub/"),
        ("NLST sub/", "/~bob/sub", None, "sub/"),
        ("NLST *.txt", "/~bob", Some("*.txt"), ""),
        ("NLST /a/b?", "/a", Some("b?"), "/a/"),
        ("NLST /*", "/", Some("*"), "/"),
    ] {
        let Transfer::List(Wanted { path, pattern, prefix, .. }) = transfer(&mut bob, line) else { panic!("a list") };
        assert_eq!((path.as_str(), pattern.as_deref(), prefix.as_str()), (directory, wanted, before), "{line}");
    }
}
