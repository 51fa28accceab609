use super::*;
use proptest::prelude::*;

const EVERYTHING: &str = r#"# Everything that a transcript can say
-- set smtp.routes.hop="127.0.0.1:{next.port}"
-- file /a/b.txt "one\r\ntwo\r\n"
-- mail bob "Subject: x\r\n\r\nhello\r\n"
-- memory only
-- sockets only
-- listen next
-- listen six on ::1
-- listen hop on {host}:{port}

-- connect smtp
-- connect smtp as other tls
-- connect https plain
-- connect 127.0.0.1:{p1}*256+{p2} as data
S: 220 portico.test {any}
C:
C: RCPT TO:<"a\\b"@x> {{\x20
    0.412 S: 250-hello
    0.413 D: sent 20 octets in 0.001 s, 20.0 kB/s, in the clear (14)
-- accept next
-- accept next as second tls
-- on main
-- tls
-- tls mail.example
-- tls {name} or closed
-- tls or closed
-- send raw "a\0b" x 1000
-- send raw base64 "AAECAw=="
-- send raw file "picture.jpg"
-- expect raw "x\"y"
-- expect 1024 octets
-- expect 3 octets sha256 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
-- body "hello"
-- body contains "ell"
-- body sha256 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
-- no body
-- wait 2s
-- quiet 200ms
-- timeout 30s
-- octets S 77
-- note anything at all {, a \ too
-- within 200ms
-- optional
-- repeated
S: 250-{a|b }{any}
-- message {size} octets
-- message contains "x"
-- include "login.txt"
-- define user=bob {c}
-- points 2 "says \"hello\""
-- because "it must" (RFC 5321, 4.1 (b))
-- because "it should"
-- afresh
-- mail {user} "x"
-- refused
-- half-close
-- half-closed
-- close
-- closed
"#;

#[test]
fn every_kind_of_line_survives_the_round_trip() {
    let script = Script::parse(EVERYTHING).unwrap();
    assert_eq!(script.to_string(), EVERYTHING);
}

#[test]
fn strings_go_on_over_lines() {
    let script = Script::parse("-- send raw \"a\\r\\n\"\n     \"b\" x 2\nC: c\n").unwrap();
    assert_eq!(script.items[0].step, Step::Send(Content::Text { text: Text::plain("a\r\nb"), times: 2 }));
    assert_eq!(script.items[1].line, 3);
}

#[test]
fn a_recording_is_known_by_its_heading() {
    let source = "# ftp-data 127.0.0.1:20 -> [::1]:8025 (18 of 17)\n    0.000 S: 220 hello\n";
    let script = Script::parse(source).unwrap();
    assert_eq!(script.recorded().and_then(|heading| heading.parent), Some(17));
    assert_eq!(script.to_string(), source);
}

#[test]
fn errors_name_line_and_column_and_what_was_meant() {
    for (source, line, column, says) in [
        ("HELO lab", 1, 1, "begins with `C:`"),
        ("# x\n  C: a{b c}", 2, 7, "`{{`"),
        ("-- clsoe", 1, 4, "did you mean `close`"),
        ("-- conect smtp", 1, 4, "did you mean `connect`"),
        ("-- ", 1, 3, "a directive is missing"),
        ("-- connect", 1, 11, "is missing"),
        ("-- wait 2", 1, 9, "not a time"),
        ("-- send raw \"abc", 1, 13, "no end"),
        ("-- send raw \"a\"\n   \"b\\q\"", 2, 6, "no such escape"),
        ("-- file a \"\"", 1, 9, "begins with `/`"),
        ("-- close now", 1, 10, "nothing more"),
        ("-- set a", 1, 8, "key=value"),
        ("-- expect 12", 1, 13, "`octets`"),
        ("-- body sha256 12", 1, 16, "64 hexadecimal"),
        ("-- on 1x", 1, 7, "is no name"),
        ("-- define 1=x", 1, 11, "is no name"),
        ("-- points two \"x\"", 1, 11, "number of points"),
        ("-- because \"x\" RFC 1", 1, 16, "in parentheses"),
        ("-- expect {x}y octets", 1, 11, "number of octets"),
        ("-- withn 2s", 1, 4, "did you mean `within`"),
        ("-- octets X 1", 1, 11, "`C` or `S`"),
        ("    0.1 C: ø\\q", 1, 13, "no such escape"),
    ] {
        let error = Script::parse(source).unwrap_err();
        assert_eq!((error.line, error.column), (line, column), "{source:?}: {error}");
        assert!(error.message.contains(says), "{source:?}: {error}");
    }
}

#[test]
fn errors_show_the_line_and_point_at_it() {
    let error = Script::parse("# x\n\n-- clsoe\n").unwrap_err();
    assert_eq!(error.to_string(), "3:4: no directive is called `clsoe`; did you mean `close`?\n3 | -- clsoe\n  |    ^\n");
    let error = Script::parse(&format!("C: {}\\q", "x".repeat(500))).unwrap_err();
    let pointer = error.pointer();
    let (line, caret) = pointer.split_once('\n').unwrap();
    assert!(line.len() < 120, "{pointer}");
    assert_eq!(line.find('\\'), caret.find('^'), "{pointer}");
}

proptest! {
    #[test]
    fn nothing_makes_the_parser_panic_and_what_it_takes_it_prints(
        source in "((-- (send raw|body|connect|wait|set|accept|define|message|points|because|mail|include|expect) ?)?[ -~øæ\\\\{}\"\n]{0,12}\n?){0,6}"
    ) {
        if let Ok(script) = Script::parse(&source) {
            let again = Script::parse(&script.to_string()).unwrap();
            let steps = |script: &Script| script.items.iter().map(|item| item.step.clone()).collect::<Vec<_>>();
            prop_assert_eq!(steps(&script), steps(&again));
        }
    }
}
