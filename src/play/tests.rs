//! The player, tried on itself: each script plays both sides.

use proptest::prelude::Strategy;

use super::*;

/// `s` is the server's side, `c` the client's.
const BOTH: &str = "-- listen s\n-- connect 127.0.0.1:{s.port} as c\n-- accept s\n";

async fn play(lines: &str) -> Played<()> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let identity = (vec![made.cert.der().clone()], rustls_pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into()));
    let tls = tls::PlayerTls::new(tls::Trust::Roots(roots), Some(identity)).unwrap();
    let stage =
        Stage { network: Network::memory(), targets: Targets::Named(BTreeMap::new()), tls, step_time: STEP_TIME, script_time: ANY_TIME };
    let mut play = Play::parse("x.txt", &format!("{BOTH}{lines}")).unwrap();
    play.listen(&stage.network).unwrap();
    play.run(&stage).await
}

async fn passes(lines: &str) {
    if let Err(failure) = play(lines).await {
        panic!("{lines}\n{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_agrees_passes() {
    for lines in [
        "S: 250 ok\n-- on c\nS: 250 {any}\nC: QUIT\n-- on s\nC: QUIT\n-- close\n-- on c\n-- closed\n",
        "S: 250-a\nS: 250-b\nS: 250 c\nS: +OK 2 messages\n-- on c\nS: 250\nS: +OK\n",
        "S: a\nS: b\nS: .\n-- on c\nS: {lines}\nS: .\n",
        "-- send raw \"a\\0\\xff\" x 1000\n-- on c\n-- expect 3000 octets\n",
        "-- send raw \"abc\"\n-- close\n-- on c\n-- body \"abc\"\n",
        "-- send raw \"abc\"\n-- close\n-- on c\n-- body sha256 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n",
        "S: port 4,5\n-- on c\nS: port {p1},{p2}\nC: {p1}*256\n-- on s\nC: 4*256\n",
        "-- quiet 1h\n-- half-close\n-- on c\n-- half-closed\nC: still here\n-- on s\nC: still here\n",
        "-- on c\n-- connect 127.0.0.1:1 as d\n-- refused\n",
        "-- on c\n-- close\n-- on s\n-- closed\n",
        // alternatives, optional and repeated lines, time, dotted messages, numbers that were seen
        "S: 502 no\nS: 251-a\nS: 251 b\n-- on c\n-- within 1ms\nS: {500|502}\nS: 25x\n",
        "S: 1 a\nS: 2 b\nS: .\n-- on c\n-- optional\nS: 250\n-- repeated\nS: {n} {any}\nS: .\nC: {n}\n-- on s\nC: 2\n",
        "S: .\n-- on c\n-- optional\n-- repeated\nS: {n} {any}\nS: .\n-- optional\nS: late\n",
        "S: HTTP/1.1 100 Continue\nS:\nS: HTTP/1.1 200 OK\nS: A: 1\nS:\n-- on c\n-- repeated\nS: HTTP/1.1 1{any}\nS:\n\
         -- optional\nS: HTTP/1.1 103 {any}\nS: Link: x\nS:\nS: HTTP/1.1 200 OK\nS: a: 1\nS:\n",
        "S: +OK 8 octets\nS: ..a\nS: b\nS: .\n-- on c\nS: +OK {size} octets\n-- message \".a\\r\\nb\\r\\n\"\n",
        "S: +OK 7 octets\nS: ..a\nS: b\nS: .\n-- on c\nS: +OK {size} octets\n-- message {size} octets\n",
        "-- define size=3\n-- send raw \"abc\"\n-- on c\n-- expect {size} octets\n",
    ] {
        passes(lines).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_manner_without_what_it_is_about_is_refused() {
    for lines in [
        "-- within 1s\nS: said\n-- on c\nS: said\n",
        "-- within 1s\n-- send raw \"x\"\n",
        "-- within 1s\n-- wait 1s\n",
        "-- within 1s\n-- on c\n",
        "-- on c\n-- within 1s\n",
        "-- on c\n-- optional\n",
        "-- on c\n-- repeated\n-- afresh\n",
    ] {
        let failure = play(lines).await.expect_err(lines);
        assert!(failure.difference.what.contains("directly before"), "{lines}: {failure}");
    }
    for lines in ["S: a\n-- on c\n-- within 1s\nS: a\n", "-- close\n-- on c\n-- within 1s\n-- closed\n"] {
        passes(lines).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_may_hang_up_in_place_of_a_handshake_where_the_script_says_so() {
    passes("-- close\n-- on c\n-- tls or closed\nS: never\n-- points 1 \"next\"\n-- afresh\n").await;
    let failure = play("-- close\n-- on c\n-- tls\n").await.unwrap_err();
    assert_eq!(failure.difference.what, "the TLS handshake failed");
    let failure = play("S: 250 slipped in\n-- on c\n-- wait 1ms\n-- quiet 1ms\n-- tls or closed\n").await.unwrap_err();
    assert!(failure.difference.what.contains("not quiet"), "{failure}");
}

#[test]
fn a_transcript_with_nothing_to_play_is_no_transcript() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.txt");
    for text in ["", "\n\n", "# a title\n-- set a=b\n", "-- listen next\n"] {
        std::fs::write(&file, text).unwrap();
        let failure = Play::load(&file).err().unwrap();
        assert!(failure.difference.what.contains("nothing to play"), "{failure}");
    }
    std::fs::write(&file, "-- connect smtp\n").unwrap();
    assert!(Play::load(&file).is_ok());
}

#[tokio::test(start_paused = true)]
async fn http_heads_are_sets_and_bodies_are_framed() {
    let answer = "S: HTTP/1.1 200 OK\nS: B: 2\nS: A: 1\nS: Content-Length: 3\nS:\n-- send raw \"abc\"\n";
    let chunked = "S: HTTP/1.1 200 OK\nS: Transfer-Encoding: chunked\nS:\n-- send raw \"2\\r\\nab\\r\\n1\\r\\nc\\r\\n0\\r\\n\\r\\n\"\n";
    let to_end = "S: HTTP/1.0 200 OK\nS:\n-- send raw \"abc\"\n-- close\n";
    for (asked, answer, expected) in [
        ("GET", answer, "S: HTTP/1.1 200 {any}\nS: a: 1\nS: b: {any}\nS: !C\nS:\n-- body \"abc\"\n"),
        ("GET", chunked, "S: HTTP/1.1 200 OK\nS:\n-- body \"a{any}\"\n-- quiet 1s\n"),
        ("GET", to_end, "S: HTTP/1.0 200 OK\nS:\n-- body contains \"b\"\n-- closed\n"),
        ("GET", &answer.repeat(2), &"S: HTTP/1.1 200 OK\nS:\n".repeat(2)),
        ("HEAD", "S: HTTP/1.1 200 OK\nS: Content-Length: 3\nS:\n", "S: HTTP/1.1 200 OK\nS:\n-- no body\n"),
        ("GET", "S: HTTP/1.1 204 No Content\nS:\n", "S: HTTP/1.1 204 {any}\nS:\n-- no body\n"),
    ] {
        passes(&format!(
            "-- on c\nC: {asked} / HTTP/1.1\nC: Host: a\nC:\n-- on s\nC: {asked} / HTTP/1.1\nC: host: a\nC:\n{answer}-- on c\n{expected}"
        ))
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_nobody_answers_ends() {
    // Both sides of one handshake can't be steps of one script: each would wait for the other.
    let failure = play("-- tls\n").await.unwrap_err();
    assert_eq!(failure.difference.what, "no TLS in time");
}

#[tokio::test(start_paused = true)]
async fn what_differs_fails_and_says_so() {
    let get = "-- on c\nC: GET / HTTP/1.1\nC:\n-- on s\nC: GET / HTTP/1.1\nC:\n";
    let answer = "S: HTTP/1.1 200 OK\nS: A: 1\nS: Content-Length: 3\nS:\n-- send raw \"abc\"\n-- on c\n";
    for (lines, line, says) in [
        // a wrong code, a wrong text, a missing line, extra data, an early close, a hang
        ("S: 251 ok\n-- on c\nS: 250\n", 6, "S: 251 ok"),
        ("S: 250 ok\n-- on c\nS: 250 {any}!\n", 6, "S: 250 {any}!"),
        ("S: 250-a\n-- on c\nS: 250\n", 6, "nothing arrived in time"),
        ("S: 250 ok\nS: 250 ok\n-- on c\nS: 250\n", 7, "says more than the script expects"),
        ("S: 250 ok\nS: more\n-- close\n-- on c\nS: 250\n-- closed\n", 9, "says more before it closes"),
        ("-- close\n-- on c\nS: 250\n", 6, "closed early"),
        ("-- send raw \"25\"\n-- close\n-- on c\nS: 250\n", 7, "closed early"),
        ("-- on c\nS: 250\n", 5, "nothing arrived in time"),
        ("-- on c\n-- closed\n", 5, "still open"),
        ("-- send raw \"x\\n\"\n-- on c\nS: x\n", 6, "bare LF"),
        ("S: x\n-- on c\n-- quiet 1s\n", 6, "not quiet"),
        ("-- send raw \"abd\"\n-- on c\n-- expect raw \"abc\"\n", 6, "differ from octet 3"),
        ("-- send raw \"ab\"\n-- on c\n-- expect raw \"abc\"\n", 6, "the rest did not arrive"),
        ("-- accept s as again\n", 4, "nobody connected"),
        ("-- connect smtp\n", 4, "no service `smtp`"),
        ("-- connect 127.0.0.1:1\n", 4, "no connection to 127.0.0.1:1"),
        ("-- connect 127.0.0.1:{s.port} as d\n-- refused\n", 4, "came about"),
        ("S: 550 no\n-- on c\nS: {250|251}\n", 6, "S: {250|251}"),
        ("-- on c\nC: a\n-- wait 2s\n-- on s\nC: a\nS: late\n-- on c\n-- within 1s\nS: late!\n", 12, "the line differs"),
        ("-- on c\nC: a\n-- within 100ms\nS: late\n", 7, "not within 100ms: nothing arrived"),
        ("S: b\n-- on c\n-- repeated\nS: a\nS: b\n", 7, "S: a"),
        ("S: a\nS: a\n-- on c\n-- optional\nS: a\nS: b\n", 9, "S: b"),
        ("-- optional\nC: a\n-- on c\n-- optional\n-- closed\n", 8, "directly before a line"),
        ("S: .a\nS: .\n-- on c\n-- message \".a\\r\\n\"\n", 7, "differ from octet 1"),
        ("S: a\n-- on c\n-- message \"a\"\n", 6, "lines up to the one that is a dot"),
        ("S: two\n-- on c\nS: {size}\n-- expect {size} octets\n", 7, "no number of octets"),
        ("C: {nothing}\n-- on c\nC: {nothing}\n", 4, "nothing arrived"),
        ("-- on c\nC: {nothing}\n", 5, "{nothing} has not been seen"),
        ("-- on nobody\n", 4, "no connection `nobody`"),
        // HTTP
        (&format!("{get}{answer}S: HTTP/1.1 200 OK\nS: A: 2\nS:\n"), 16, "S: A: 2"),
        (&format!("{get}{answer}S: HTTP/1.1 200 OK\nS: !A\nS:\n"), 16, "S: !A"),
        (&format!("{get}{answer}S: HTTP/1.1 404 {{any}}\nS:\n"), 16, "404"),
        (&format!("{get}{answer}S: HTTP/1.1 200 OK\nS:\n-- body \"abd\"\n"), 18, "differ from octet 3"),
        (&format!("{get}{answer}S: HTTP/1.1 200 OK\nS:\n-- body 4 octets\n"), 18, "3 octets"),
        (&format!("{get}{answer}S: HTTP/1.1 200 OK\nS:\n-- no body\n"), 18, "there is a body"),
        (
            &format!(
                "{get}S: HTTP/1.1 200 OK\nS: Content-Length: 9\nS:\n-- send raw \"abc\"\n-- close\n-- on c\nS: HTTP/1.1 200 OK\nS:\n-- body \"abc\"\n"
            ),
            18,
            "closed early",
        ),
    ] {
        let failure = play(lines).await.expect_err(lines);
        assert_eq!(failure.line, line, "{lines}\n{failure}");
        assert!(failure.to_string().contains(says), "{lines}\n{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_shows_both_sides_and_what_led_to_it() {
    let failure = play("S: 220 hello\nS: 250-a\nS: 251 b\n-- on c\nS: 220\nS: 250 a\n").await.unwrap_err();
    let text = failure.to_string();
    assert!(text.starts_with("x.txt:9: the line differs\n  expected  S: 250 a\n  received  S: 250-a\n            S: 251 b\n"), "{text}");
    assert!(text.contains("          -- on c\n    0.000 S: 220 hello\n"), "{text}");
}

#[test]
fn a_script_that_is_wrong_is_not_played() {
    let failure = Play::parse("x.txt", "-- connect smtp\nX: 1\n").err().unwrap();
    let expected = "x.txt:2: column 1: a line begins with `C:`, `S:`, `D:`, `--` or `#`\n2 | X: 1\n  | ^\n";
    assert_eq!(failure.to_string(), expected);
}

const PARTS: &str = "# A suite\n-- define who=bob\n-- points 2 \"one\"\n-- listen s\n-- connect 127.0.0.1:{s.port} as c\n-- accept s\n\
    S: 220 {who}\n-- on c\nS: 220 {name}\n\
    -- points 3 \"two\"\n-- because \"it is so\" (RFC 5321, 1)\n-- on s\nS: 250\n-- on c\nS: 251\n\
    -- points 4 \"three\"\n-- on s\nS: 252\n\
    -- afresh\n-- points 5 \"four\"\n-- connect 127.0.0.1:{s.port} as c\n-- accept s\nS: 220 {who}\n-- on c\nS: 220 carol\n";

async fn grade(source: &str, who: Option<&str>, script_time: Duration) -> Vec<(String, u32, bool, Option<String>)> {
    let tls = tls::PlayerTls::new(tls::Trust::Anybody, None).unwrap();
    let stage = Stage { network: Network::memory(), targets: Targets::Named(BTreeMap::new()), tls, step_time: STEP_TIME, script_time };
    let mut play = Play::parse("x.txt", source).unwrap();
    who.into_iter().for_each(|who| play.define("who", who));
    play.listen(&stage.network).unwrap();
    let told = |part: Part| {
        let failure = if let Ending::Failed(failure) = &part.ending { Some(failure.to_string()) } else { None };
        (part.title.clone(), part.score(), part.has_passed(), failure)
    };
    play.grade(&stage).await.parts.into_iter().map(told).collect()
}

#[tokio::test(start_paused = true)]
async fn parts_get_their_points_whatever_went_wrong_before() {
    let parts = grade(PARTS, Some("carol"), ANY_TIME).await;
    let [one, two, three, four] = &parts[..] else { panic!("{parts:?}") };
    assert_eq!((&one.0[..], one.1), ("one", 2));
    let because = two.3.as_deref().unwrap();
    assert!(
        because.starts_with("x.txt:15: the line differs\n  expected  S: 251\n  received  S: 250\n  because   it is so (RFC 5321, 1)\n"),
        "{because}"
    );
    assert_eq!((three.1, three.2, &three.3), (0, false, &None));
    // The name that the first part saw is forgotten.
    assert_eq!((&four.0[..], four.1), ("four", 5));
    let parts = grade(PARTS, None, ANY_TIME).await;
    assert!(parts[3].3.as_deref().unwrap().contains("S: 220 bob"));
}

#[tokio::test(start_paused = true)]
async fn a_script_has_a_time_as_a_whole() {
    let slow = PARTS.replace("S: 251\n", "-- wait 1h\n");
    let parts = grade(&slow, Some("carol"), Duration::from_secs(60)).await;
    let scores: Vec<_> = parts.iter().map(|part| part.1).collect();
    assert_eq!(scores, [2, 3, 0, 0]);
    assert!(parts[2].3.as_deref().unwrap().contains("the script took longer than 60s"), "{parts:?}");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_explains_the_tables_do() {
    let (network, tls) = (Network::memory(), tls::PlayerTls::new(tls::Trust::Anybody, None).unwrap());
    let mut smtp = network.listen(SocketAddr::from(([127, 0, 0, 1], 25))).unwrap();
    let targets = Targets::One(smtp.local_addr().unwrap());
    let stage = Stage { network, targets, tls, step_time: STEP_TIME, script_time: ANY_TIME };
    let script = "-- connect smtp\nC: RCPT TO:<a@b.example>\nS: 503\n";
    let serving = tokio::spawn(async move {
        let (mut plain, _) = smtp.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut plain, b"250 fine\r\n").await.unwrap();
    });
    let failure = Play::parse("x.txt", script).unwrap().run(&stage).await.unwrap_err().to_string();
    serving.await.unwrap();
    assert!(failure.contains("  because   RCPT: ") && failure.contains("            503: "), "{failure}");
}

#[test]
fn scripts_include_others_but_not_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("a.txt", "# A\n-- include \"b.txt\"\nC: last\n-- connect smtp\n");
    write("b.txt", "C: first\n");
    let play = Play::load(&folder.path().join("a.txt")).ok().unwrap();
    let said: Vec<_> =
        play.lines.iter().map(|line| format!("{}:{} {}", line.file.rsplit('/').next().unwrap(), line.line, line.step)).collect();
    assert_eq!(said, ["a.txt:1 # A", "b.txt:1 C: first", "a.txt:3 C: last", "a.txt:4 -- connect smtp"]);
    let wrong = |name: &str| Play::load(&folder.path().join(name)).err().unwrap().to_string();
    write("b.txt", "\n-- include \"a.txt\"\n");
    assert!(wrong("a.txt").contains("b.txt:2: ") && wrong("a.txt").contains("includes itself"), "{}", wrong("a.txt"));
    write("b.txt", "C: a\nX: b\n");
    assert!(wrong("a.txt").contains("b.txt:2: column 1: "), "{}", wrong("a.txt"));
    write("a.txt", "-- include \"missing.txt\"\n");
    assert!(wrong("a.txt").contains("a.txt:1: ") && wrong("a.txt").contains("can't be read"), "{}", wrong("a.txt"));
    (0..20).for_each(|n| write(&format!("{n}.txt"), &format!("-- include \"{}.txt\"\n", n + 1)));
    assert!(wrong("0.txt").contains("at most 8 deep"), "{}", wrong("0.txt"));
}

/// Serves in memory and plays `script`; the recordings go to `folder`.
async fn play_and_record(script: &str, folder: &Path) -> Played<()> {
    use crate::{config::Settings, testing, transcript::record::Recorder};
    let network = Network::memory();
    let (mut house, _stopper) = testing::house_in_memory(Settings::default(), network.clone()).unwrap();
    house.recorder = Recorder::to_folder(folder.to_owned(), house.clock.clone()).unwrap();
    let (targets, _serving) = testing::open_house(std::sync::Arc::new(house), |_| Ok(())).unwrap();
    let stage = Stage { network, targets, tls: testing::memory_tls().unwrap(), step_time: STEP_TIME, script_time: ANY_TIME };
    let mut play = Play::parse("x.txt", script).unwrap();
    play.define("secret", "hungry");
    play.run(&stage).await
}

#[tokio::test(start_paused = true)]
async fn what_was_recorded_can_be_played_back() {
    for script in [
        "-- connect capital-tcp\nC: one\nS: ONE\n-- send raw \"x\" x 5000\nC:\nS: LINE TOO LONG{any}\n-- half-close\n-- closed\n",
        "-- connect pop3\nS: +OK\nC: USER bob\nS: +OK\nC: PASS hungry\nS: +OK\nC: STAT\nS: +OK\nC: QUIT\nS: +OK\n-- closed\n",
        "-- connect pop3s\nS: +OK\nC: QUIT\nS: +OK\n-- closed\n",
        "-- connect smtp\nS: 220\nC: HELO lab\nS: 250\nC: MAIL FROM:<a@b.example>\nS: 250\nC: RCPT TO:<bob@portico.test>\nS: 250\nC: DATA\nS: 354\n\
         C: Subject: {{x}\nC:\nC: Do you like ketchup?\nC: ..\nC: .\nS: 250\nC: QUIT\nS: 221\n-- closed\n",
        "-- connect smtp\nS: 220\nC: EHLO lab\nS: 250\nC: STARTTLS\nS: 220\n-- tls\nC: EHLO lab\nS: 250\nC: QUIT\nS: 221\n-- closed\n",
        "-- connect http\nC: GET /missing HTTP/1.1\nC: Host: a\nC: Connection: close\nC:\nS: HTTP/1.1 404 {any}\nS:\n-- body contains \"404\"\n-- closed\n",
    ] {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        play_and_record(script, first.path()).await.unwrap_or_else(|failure| panic!("{failure}"));
        let recording = std::fs::read_dir(first.path()).unwrap().next().unwrap().unwrap().path();
        let recording = std::fs::read_to_string(recording).unwrap();
        assert!(!recording.contains("hungry"), "{recording}");
        play_and_record(&recording, second.path()).await.unwrap_or_else(|failure| panic!("{recording}\n{failure}"));
    }
}

/// Plays a suite against a server that says `said` to everybody, all at once or in two pieces, and then
/// hangs or closes. Answers how long that took on the script's clock.
async fn play_against(suite: &str, said: Vec<u8>, cut: usize, closes: bool) -> Duration {
    let (network, tls) = (Network::memory(), tls::PlayerTls::new(tls::Trust::Anybody, None).unwrap());
    let mut hostile = network.listen(SocketAddr::from(([127, 0, 0, 1], 25))).unwrap();
    let targets = Targets::One(hostile.local_addr().unwrap());
    let script_time = Duration::from_secs(60);
    let stage = Stage { network, targets, tls, step_time: Duration::from_secs(1), script_time };
    let _serving = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut plain, _)) = hostile.accept().await {
            let (first, second) = said.split_at(cut.min(said.len()));
            for piece in [first, second] {
                // It may be hung up on.
                let _written = tokio::io::AsyncWriteExt::write_all(&mut plain, piece).await;
                tokio::task::yield_now().await;
            }
            held.extend((!closes).then_some(plain));
        }
    });
    let mut play = Play::suite(suite).unwrap();
    play.listen(&stage.network).unwrap();
    let started = tokio::time::Instant::now();
    let grade = play.grade(&stage).await;
    assert!(grade.parts.iter().any(|part| !part.has_passed()), "{suite} is content with noise");
    started.elapsed()
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]
    #[test]
    fn every_suite_gives_a_verdict_on_any_noise(
        said in proptest::prop_oneof![
            proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
            "(HTTP/1.1 [2-4]0[0-4] x\r\n|Content-Length: [0-9]{1,30}\r\n|Transfer-Encoding: chunked\r\n|\r\n|[0-9a-f]{1,20}\r\n             |2[25]0[ -]x\r\n|[+]OK( [0-9]{1,3})*\r\n|227 x[(]127,0,0,1,9,9[)]\r\n|[.]\r\n|x){0,12}"
                .prop_map(String::into_bytes),
        ],
        cut in 0usize..200,
        closes: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        for suite in suites::names() {
            let took = runtime.block_on(play_against(suite, said.clone(), cut, closes));
            proptest::prop_assert!(took < Duration::from_secs(70), "{suite} took {took:?}");
        }
    }
}
