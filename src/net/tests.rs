//! What every conversation may rely on, tried on connections in memory with a paused clock.

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinHandle,
    time::Instant,
};

use super::{
    conn::{Conn, Received},
    drive::{Entry, Exit, Farewell, Protocol, drive},
    ended::{Ended, Phase},
    receive::Parse,
    testing::pair,
};

const LIMIT: usize = 16;

async fn command(conn: &mut Conn) -> Result<Received<super::Line>, Ended> {
    conn.command(LIMIT, |_| None).await
}

/// Answers each line with itself; panics on `boom`.
struct Echo;

impl Protocol for Echo {
    fn name(&self) -> &str {
        "echo"
    }
    async fn converse(&self, conn: &mut Conn, _: Entry) -> Result<Exit, Ended> {
        loop {
            match command(conn).await? {
                Received::Whole(line) if line.text == b"bye" => return Ok(Exit::Done),
                Received::Whole(line) if line.text == b"boom" => panic!("asked to"),
                Received::Whole(line) => conn.say([&line.text[..], b"\r\n"].concat()),
                Received::TooLong => conn.say("too long\r\n"),
            }
        }
    }
    fn farewell(&self, ended: &Ended) -> Option<Farewell> {
        Some(format!("bye: {ended}\r\n").into_bytes().into())
    }
    fn busy(&self, _: IpAddr) -> Option<Farewell> {
        None
    }
}

fn drive_echo(conn: Conn) -> JoinHandle<()> {
    tokio::spawn(drive(conn, Arc::new(Echo), None, false))
}

async fn read_all(mut peer: DuplexStream) -> String {
    let mut text = String::new();
    peer.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(start_paused = true)]
async fn a_long_pipeline_lets_others_have_their_turn() {
    let (conn, mut peer, _stopper) = pair();
    peer.write_all(&b"a\r\n".repeat(1000)).await.unwrap();
    peer.write_all(b"bye\r\n").await.unwrap();
    let talking = drive_echo(conn);
    let mut turns = 0;
    while !talking.is_finished() && turns < 20 {
        tokio::task::yield_now().await;
        turns += 1;
    }
    assert_eq!(turns, 20, "it was over sooner");
}

#[tokio::test(start_paused = true)]
async fn pipelined_commands_are_answered_in_order_and_in_one_write() {
    let (conn, mut peer, _stopper) = pair();
    drive_echo(conn);
    peer.write_all(b"a\r\nb\r\nc\n").await.unwrap();
    let mut answers = [0; 64];
    let count = peer.read(&mut answers).await.unwrap();
    assert_eq!(&answers[..count], b"a\r\nb\r\nc\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_line_at_the_limit_passes_and_one_past_it_is_answered() {
    let (conn, mut peer, _stopper) = pair();
    drive_echo(conn);
    peer.write_all(b"12345678901234\r\n123456789012345\r\nok\r\nbye\r\n").await.unwrap();
    peer.shutdown().await.unwrap();
    assert_eq!(read_all(peer).await, "12345678901234\r\ntoo long\r\nok\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_line_without_end_is_hung_up_on() {
    let (conn, mut peer, _stopper) = pair();
    drive_echo(conn);
    for _ in 0..5 {
        if peer.write_all(&[b'x'; 100_000]).await.is_err() {
            break;
        }
    }
    assert_eq!(read_all(peer).await, "bye: hung up on: a line without end\r\n");
}

#[tokio::test(start_paused = true)]
async fn idle_time_counts_between_commands_only() {
    let (mut conn, mut peer, _stopper) = pair();
    let started = Instant::now();
    assert!(matches!(command(&mut conn).await, Err(Ended::Idle)));
    assert_eq!(started.elapsed(), conn.limits().idle.0);
    // A line that drips is cut by the time for a whole line, whatever its pace.
    let dripping = tokio::spawn(async move {
        while peer.write_all(b".").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
    });
    let started = Instant::now();
    assert!(matches!(command(&mut conn).await, Err(Ended::Slow(Phase::Line))));
    assert_eq!(started.elapsed(), conn.limits().line.0);
    drop(conn);
    dripping.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_a_conversation_between_commands_and_says_so() {
    let (conn, mut peer, stopper) = pair();
    let conversation = drive_echo(conn);
    peer.write_all(b"one\r\n").await.unwrap();
    let mut first = [0; 5];
    peer.read_exact(&mut first).await.unwrap();
    stopper.advance();
    assert_eq!(read_all(peer).await, "bye: server is stopping\r\n");
    conversation.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_one_conversation_politely() {
    let (conn, mut peer, _stopper) = pair();
    let conversation = drive_echo(conn);
    peer.write_all(b"boom\r\n").await.unwrap();
    assert_eq!(read_all(peer).await, "bye: ended by a fault of the server\r\n");
    conversation.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn reading_can_be_dropped_and_taken_up_again_without_loss() {
    let (mut conn, mut peer, _stopper) = pair();
    peer.write_all(b"hal").await.unwrap();
    let cut = tokio::time::timeout(Duration::from_secs(1), command(&mut conn)).await;
    assert!(cut.is_err(), "the line is not complete");
    peer.write_all(b"ves\r\n").await.unwrap();
    let Ok(Received::Whole(line)) = command(&mut conn).await else { panic!("the line is whole now") };
    assert_eq!(line.text, b"halves");
}

#[tokio::test(start_paused = true)]
async fn flushing_can_be_dropped_and_forgets_exactly_what_it_wrote() {
    let (mut conn, mut peer, _stopper) = pair();
    let sent: Vec<u8> = (0..600_000_u32).map(|n| n as u8).collect();
    conn.push(&sent);
    let cut = tokio::time::timeout(Duration::from_secs(1), conn.flush()).await;
    assert!(cut.is_err(), "the pipe holds less than that");
    let reader = tokio::spawn(async move {
        let mut got = Vec::new();
        peer.read_to_end(&mut got).await.unwrap();
        got
    });
    conn.finish().await.unwrap();
    drop(conn);
    assert_eq!(reader.await.unwrap(), sent);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stands_still_is_cut_off() {
    let (mut conn, _peer, _stopper) = pair();
    conn.push(&[0; 600_000]);
    assert!(matches!(conn.flush().await, Err(Ended::Slow(Phase::Write))));
}

#[tokio::test(start_paused = true)]
async fn a_parser_gets_more_until_it_is_content_and_the_rest_stays() {
    let (mut conn, mut peer, _stopper) = pair();
    peer.write_all(b"abcd").await.unwrap();
    let three = |input: &[u8]| if input.len() < 3 { Parse::More } else { Parse::Got { consumed: 3, value: () } };
    let (taken, ()) = conn.parse(three).await.unwrap();
    assert_eq!((&taken[..], conn.buffered()), (&b"abc"[..], &b"d"[..]));
    drop(peer);
    assert!(matches!(conn.parse(three).await, Err(Ended::Truncated)));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stands_still_is_cut_off_and_one_that_ends_is_told() {
    let (mut conn, mut peer, _stopper) = pair();
    let mut room = [0; 3];
    assert!(matches!(conn.bytes_into(&mut room).await, Err(Ended::Slow(Phase::Body))));
    peer.write_all(b"rest").await.unwrap();
    peer.shutdown().await.unwrap();
    for next in [&b"res"[..], b"t", b""] {
        let count = conn.bytes_into(&mut room).await.unwrap();
        assert_eq!(&room[..count], next);
    }
}

#[test]
fn an_http_request_line_is_known_among_commands() {
    let line = |text: &[u8]| super::Line { text: text.to_vec(), ending: super::LineEnding::CrLf };
    for text in [&b"GET / HTTP/1.1"[..], b"POST /x?a b HTTP/1.0", b"PRI * HTTP/2.0", b"\xff / HTTP/1.1", b"host: a"] {
        assert!(line(text).is_http_request());
    }
    for text in [&b""[..], b"QUIT", b"HTTP/1.1", b"RETR HTTP/1.1", b"USER bob HTTP", b"STOR my HTTP/notes.txt", b"HOST a"] {
        assert!(!line(text).is_http_request());
    }
}
