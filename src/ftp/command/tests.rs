//! Lines, good and bad.

use super::*;
use proptest::prelude::*;

fn command(line: &str) -> Result<Command, Fault> {
    parse(line.as_bytes()).command
}

fn set(path: &str, modified_unix_secs: Option<i64>, mode: Option<u32>, by: SetBy) -> Command {
    Command::SetFacts(SetFacts { path: path.into(), modified_unix_secs, mode, by })
}

/// The table is looked things up in by people too.
#[test]
fn the_table_is_in_order_and_its_codes_are() {
    assert!(TABLE.windows(2).all(|rows| rows[0].verb < rows[1].verb));
    for row in TABLE {
        assert!(row.codes.is_sorted(), "{}", row.verb);
        assert!((row.when == When::LoggedIn) <= row.codes.contains(&530), "{}: who is not logged in gets 530", row.verb);
    }
}

#[test]
fn good_lines() {
    for (line, expected) in [
        ("user Alice", Command::User("Alice".into())),
        ("PASS", Command::Pass(Secret(String::new()))),
        ("PASS  two words ", Command::Pass(Secret(" two words ".into()))),
        ("xpwd", Command::Pwd),
        ("CWD  a b ", Command::Cwd(" a b ".into())),
        ("TYPE a n", Command::Type(Representation::Ascii)),
        ("TYPE L 8", Command::Type(Representation::Image)),
        ("STRU F", Command::Stru),
        ("REST 4294967296000", Command::Rest(4_294_967_296_000)),
        ("ALLO 10 R 5", Command::Allo(10)),
        ("LIST", Command::List(ListOf::default())),
        ("LIST -al /x y", Command::List(ListOf { all: true, path: Some("/x y".into()), ..ListOf::default() })),
        ("LIST -lR", Command::List(ListOf { recursive: true, ..ListOf::default() })),
        ("LIST --directory x", Command::List(ListOf { path: Some("x".into()), ..ListOf::default() })),
        ("NLST -- -x", Command::Nlst(ListOf { path: Some("-x".into()), ..ListOf::default() })),
        ("MDTM 19941106084937 a b", set("a b", Some(784_111_777), None, SetBy::Facts)),
        ("MFMT 19941106084937 a b", set("a b", Some(784_111_777), None, SetBy::Facts)),
        ("MFF Modify=19941106084937;unix.mode=0640; a", set("a", Some(784_111_777), Some(0o640), SetBy::Facts)),
        ("MFF Modify=19941106084937 a", set("a", Some(784_111_777), None, SetBy::Facts)),
        ("SITE chmod 644 a b", set("a b", None, Some(0o644), SetBy::Site)),
        ("SITE UTIME 19941106084937 a b", set("a b", Some(784_111_777), None, SetBy::Site)),
        ("SITE UTIME 199411060849 a b", set("a b", Some(784_111_740), None, SetBy::Site)),
        ("SITE UTIME a b 19941106084937 19941106084937 19941106084937 UTC", set("a b", Some(784_111_777), None, SetBy::Site)),
        ("MODE z", Command::Mode(Mode::Deflate)),
        ("OPTS MODE Z LEVEL 9", Command::OptsLevel(9)),
        ("OPTS HASH sha-1", Command::OptsHash(Some(Digest::Sha1))),
        ("XCRC \"a b\"", Command::DigestOf { digest: Digest::Crc32, path: "a b".into() }),
        ("RETR a\r\0b", Command::Retr("a\rb".into())),
        ("HOST [::1]", Command::Host("[::1]".into())),
        ("MDTM 19941106084937", Command::Mdtm("19941106084937".into())),
        ("EPSV all", Command::Epsv(Epsv::All)),
        ("OPTS utf8 on", Command::OptsUtf8),
        ("ABOR whatever", Command::Abor),
        ("NOOP whatever", Command::Noop),
        ("REST  5 ", Command::Rest(5)),
        ("TYPE  A  N ", Command::Type(Representation::Ascii)),
        ("PORT  127,0,0,1,4,1", Command::Port("127.0.0.1:1025".parse().unwrap())),
        ("CLNT some client", Command::Clnt("some client".into())),
        ("RETR blåbær", Command::Retr("blåbær".into())),
    ] {
        assert_eq!(command(line), Ok(expected), "{line}");
    }
}

#[test]
fn bad_lines() {
    use Fault::*;
    for (line, fault) in [
        ("", Unknown),
        ("FOO", Unknown),
        (" NOOP", Unknown),
        ("SMNT x", Unimplemented),
        ("get hello.txt", Unknown),
        ("USER", Parameter),
        ("PWD x", Parameter),
        ("RETR", Parameter),
        ("RETR ", Parameter),
        ("RETR a\rb", Encoding),
        ("RETR a\0b", Encoding),
        ("TYPE E", UnimplementedParameter),
        ("TYPE L 7", UnimplementedParameter),
        ("TYPE X", Parameter),
        ("STRU R", UnimplementedParameter),
        ("MODE B", UnimplementedParameter),
        ("OPTS MODE Z LEVEL 0", Parameter),
        ("OPTS HASH SHA-3", Parameter),
        ("SITE CHMOD 4755 a", Parameter),
        ("SITE CHMOD 644", Parameter),
        ("SITE UTIME x a", Parameter),
        ("MFF Create=19941106084937; a", UnimplementedParameter),
        ("MFF Modify=19941106084937;Create=19941106084937 a", UnimplementedParameter),
        ("MFF Modify a", Parameter),
        ("MFF ; a", Parameter),
        ("XMD5 \"a\" 0 5", UnimplementedParameter),
        ("HOST a b", Parameter),
        ("MODE Q", Parameter),
        ("REST -1", Parameter),
        ("REST 99999999999999999999", Parameter),
        ("ALLO x", Parameter),
        ("AUTH SSL", UnimplementedParameter),
        ("PROT S", ProtectionLevel),
        ("PROT X", UnimplementedParameter),
        ("EPSV 3", Network),
        ("EPSV x", Parameter),
        ("MFMT 19941306084937 a", Parameter),
        ("SITE EXEC ls", Unknown),
        ("SITE", Parameter),
        ("REST  ", Parameter),
        ("OPTS UTF8 OFF", Parameter),
    ] {
        assert_eq!(command(line), Err(fault), "{line}");
    }
    assert_eq!(parse(b"\xf4\xf2ABOR").command, Ok(Command::Abor), "what is left of a Synch");
    assert_eq!(parse(b"RETR \xe4").command, Err(Encoding), "names are UTF-8");
}

#[test]
fn passwords_are_masked() {
    assert_eq!(mask(b"pass hungry"), Some(5..11));
    assert_eq!(mask(b"\xf2PASS hungry"), Some(6..12));
    assert_eq!(mask(b"PASV"), None);
}

proptest! {
    #[test]
    fn arbitrary_octets_do_not_panic(line in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _parsed = parse(&line);
        let _masked = mask(&line);
    }

    #[test]
    fn arbitrary_parameters_do_not_panic(verb in 0..TABLE.len(), text in ".{0,40}") {
        let _parsed = parse(format!("{} {text}", TABLE[verb].verb).as_bytes());
    }
}
