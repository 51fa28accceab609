use proptest::prelude::*;

use super::*;

fn read(head: &str) -> Result<RequestHead, Fault> {
    request(head.as_bytes(), LineEnds::Either)
}

#[test]
fn the_example_of_the_textbook() {
    let head =
        read("GET /somedir/page.html HTTP/1.1\r\nHost: www.someschool.edu\r\nConnection: close\r\nAccept-language:fr\r\n\r\n").unwrap();
    assert_eq!(head.method, Method::Get);
    assert_eq!(head.target.path(), "/somedir/page.html");
    assert_eq!(head.fields.get("accept-language"), Some(&b"fr"[..]));
    assert_eq!(head.fields.len(), 3);
}

#[test]
fn refusals_carry_the_status_that_fits() {
    for (head, status) in [
        ("\r\n\r\n", 400),
        ("GET /\r\nHost: a\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/x.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\n", 505),
        ("GET / HTTP/0.9\r\n\r\n", 505),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: :80\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:8o\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: :80\r\n\r\n", 400),
        ("OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nHost:\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a%zz\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:-1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: \u{e9}\r\n\r\n", 400),
        ("GET http://a/ HTTP/1.1\r\nHost: u@b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
        ("GET / HTTP/1.1\rHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
    ] {
        assert_eq!(read(head).expect_err(head).status, status, "{head:?}");
    }
}

#[test]
fn refusals_say_what_was_wrong() {
    let what = |head: &str| read(head).unwrap_err().what;
    assert_eq!(what("GET / HTTP/1.1\r\nHost : a\r\n\r\n"), "white space between the field name `Host` and its colon");
    assert!(what("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n").contains("folded"));
    assert!(what("GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n").contains("0x01"));
}

#[test]
fn hosts_of_every_kind_are_taken() {
    for host in ["a", "A.b-c_d.test", "127.0.0.1:80", "[::1]", "[::1]:8080", "a:", "xn--bcher-kva.test", "a%20b"] {
        assert!(read(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).is_ok(), "{host}");
    }
    assert!(read("GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n").is_ok(), "the target says it");
}

#[test]
fn what_can_not_become_a_request_ends_early() {
    for (input, end) in [
        ("GET /\r\n", 7),
        ("GET /\n", 6),
        ("\r\nGET /\r\nx", 9),
        ("\x16\x03\x01", 3),
        (" GET", 4),
        ("\rGET", 4),
        ("\r\n\x00", 3),
        ("GET / HTTP/1.1\r\n\r\n", 18),
    ] {
        for split in 0..input.len() {
            let by_then = request_end(&input.as_bytes()[..split], 0);
            let ended = by_then.or_else(|| request_end(input.as_bytes(), split)).expect(input);
            assert!(ended <= end, "{input:?} split at {split}: {ended}");
            assert!(request(&input.as_bytes()[..ended], LineEnds::Either).is_err());
        }
    }
    for input in [
        "",
        "\r",
        "\r\n",
        "G",
        "GET / HTTP/1.1",
        "GET / HTTP/1.1\r",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r",
        "GET / HTTP/2.0\r\nAccept: application/json\r\n",
        "get x",
    ] {
        assert_eq!(request_end(input.as_bytes(), 0), None, "{input:?}");
    }
    let tls = request(b"\x16\x03\x01", LineEnds::Either).unwrap_err();
    assert!(tls.what.contains("TLS"));
}

#[test]
fn line_ends_are_all_of_one_kind() {
    let unix = b"GET / HTTP/1.1\nHost: a\n\n";
    assert!(request(unix, LineEnds::Either).is_ok());
    assert_eq!(request(unix, LineEnds::CrLf).unwrap_err().status, 400);
}

#[test]
fn every_version_1_x_is_served() {
    assert_eq!(read("GET / HTTP/1.7\r\nHost: a\r\n\r\n").unwrap().version, Version::Http11);
    assert_eq!(read("GET / HTTP/1.0\r\n\r\n").unwrap().version, Version::Http10);
}

#[test]
fn limits_hold_at_the_limit_and_break_one_past_it() {
    let fits = "a".repeat(TARGET_OCTETS - 1);
    assert!(read(&format!("GET /{fits} HTTP/1.0\r\n\r\n")).is_ok());
    assert_eq!(read(&format!("GET /{fits}a HTTP/1.0\r\n\r\n")).unwrap_err().status, 414);
    let fields = |count| "A: b\r\n".repeat(count);
    assert!(read(&format!("GET / HTTP/1.0\r\n{}\r\n", fields(MAX_FIELDS))).is_ok());
    assert_eq!(read(&format!("GET / HTTP/1.0\r\n{}\r\n", fields(MAX_FIELDS + 1))).unwrap_err().status, 431);
}

#[test]
fn a_head_ends_at_its_empty_line_wherever_the_input_is_split() {
    for head in ["\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\nHost: a\n\n", "\nGET / HTTP/1.0\r\n\r\n", "\r\n\r\n"] {
        let input = format!("{head}rest");
        for split in 0..head.len() {
            assert_eq!(head_end(&input.as_bytes()[..split], 0), None, "{split} octets of {head:?}");
            assert_eq!(head_end(input.as_bytes(), split), Some(head.len()), "{head:?} after {split}");
        }
    }
}

#[test]
fn responses() {
    let read = |head: &str| response(head.as_bytes(), LineEnds::Either);
    let head = read("HTTP/1.1 200 OK\r\nA: b\r\n\r\n").unwrap();
    assert_eq!((head.status, &head.reason[..], head.fields.get("a")), (200, &b"OK"[..], Some(&b"b"[..])));
    assert_eq!(read("HTTP/1.0 404\r\n\r\n").unwrap().status, 404);
    assert_eq!(read("HTTP/1.1 204 \r\n\r\n").unwrap().reason, b"");
    for bad in [
        "HTTP/1.1 20\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 X\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
    ] {
        assert!(read(bad).is_err(), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn a_printed_head_reads_back_the_same(
        target in "/[!-~&&[^#]]{0,30}",
        fields in prop::collection::vec(("[a-zA-Z0-9-]{1,12}", "([!-~]([ -~\t]{0,20}[!-~])?)?"), 0..20),
    ) {
        let mut head = RequestHead {
            method: Method::Post,
            target: Target::parse(&Method::Post, &target).unwrap(),
            version: Version::Http10,
            fields: Fields::new(),
        };
        for (name, value) in fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host")) {
            head.fields.push(name, value);
        }
        let mut printed = Vec::new();
        head.write_to(&mut printed);
        prop_assert_eq!(head_end(&printed, 0), Some(printed.len()));
        prop_assert_eq!(request(&printed, LineEnds::CrLf).unwrap(), head);
    }

    #[test]
    fn arbitrary_octets_never_panic(input in prop::collection::vec(any::<u8>(), 0..200), from in 0usize..250) {
        let _ = head_end(&input, from);
        let _ = request_end(&input, from);
        let _ = request(&input, LineEnds::Either);
        let _ = response(&input, LineEnds::CrLf);
        let _ = trailers(&input);
    }

    #[test]
    fn near_misses_never_panic(input in "(GET|POST|PRI) [/*a:h?#%]{0,5} HTTP/[0-9.]{2,3}(\r\n|\n)([hH]ost ?:[ -~]{0,6}(\r\n|\n|\r))*\r\n") {
        let _ = request(input.as_bytes(), LineEnds::Either);
    }
}
