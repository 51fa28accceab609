//! Streams behind links, on virtual time, and once over sockets.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::{TcpListener, TcpStream},
};

use super::*;

fn link(text: &str) -> Arc<Link> {
    Link::new(text.parse().unwrap())
}

/// A stream behind the link, accepted now, and the peer's end.
fn accepted(link: &Link) -> (Plain, DuplexStream) {
    let (near, far) = duplex(64 * 1024);
    (link.accepted(Plain::Memory(near), None), far)
}

fn dialled(link: &Link) -> (Plain, DuplexStream) {
    let (near, far) = duplex(64 * 1024);
    (link.dialled(Plain::Memory(near)), far)
}

/// Timers have ticks of a millisecond.
fn assert_took(begun: Instant, millis: u64) {
    let took = begun.elapsed();
    let expected = Duration::from_millis(millis);
    assert!(took.abs_diff(expected) <= Duration::from_millis(2), "{took:?} instead of {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn a_greeting_comes_after_two_round_trips_and_an_answer_one_later() {
    let (mut server, mut client) = accepted(&link("rtt:100ms"));
    let begun = Instant::now();
    server.write_all(b"220").await.unwrap();
    client.read_exact(&mut [0; 3]).await.unwrap();
    assert_took(begun, 200);
    client.write_all(b"HELO").await.unwrap();
    server.read_exact(&mut [0; 4]).await.unwrap();
    assert_took(begun, 250);
    server.write_all(b"250").await.unwrap();
    client.read_exact(&mut [0; 3]).await.unwrap();
    assert_took(begun, 300);
}

#[tokio::test(start_paused = true)]
async fn a_request_and_its_response_take_two_round_trips_and_the_transmission() {
    let (mut server, mut client) = accepted(&link("rtt:100ms,down:1Mbps"));
    let begun = Instant::now();
    client.write_all(b"GET").await.unwrap();
    server.read_exact(&mut [0; 3]).await.unwrap();
    tokio::spawn(async move { server.write_all(&[0; 125_000]).await.unwrap() });
    let mut body = Vec::new();
    client.read_to_end(&mut body).await.unwrap();
    assert_eq!(body.len(), 125_000);
    assert_took(begun, 100 + 100 + 1000);
}

#[tokio::test(start_paused = true)]
async fn where_we_dial_up_and_down_are_the_other_way_round() {
    let (mut client, mut server) = dialled(&link("rtt:100ms,up:8kbps,down:1Mbps"));
    let begun = Instant::now();
    client.write_all(&[0; 1000]).await.unwrap();
    server.read_exact(&mut [0; 1000]).await.unwrap();
    assert_took(begun, 1000 + 50);
    server.write_all(&[0; 12_500]).await.unwrap();
    client.read_exact(&mut [0; 12_500]).await.unwrap();
    assert_took(begun, 1000 + 50 + 100 + 50);
}

#[tokio::test(start_paused = true)]
async fn connections_share_a_bottleneck_where_it_is_shared() {
    for (text, millis) in [("rate:1Mbps,shared", 2000), ("rate:1Mbps", 1000)] {
        let link = link(text);
        let begun = Instant::now();
        let mut readers = Vec::new();
        for _ in 0..2 {
            let (mut server, mut client) = accepted(&link);
            tokio::spawn(async move { server.write_all(&[0; 125_000]).await.unwrap() });
            readers.push(tokio::spawn(async move { client.read_to_end(&mut Vec::new()).await.unwrap() }));
        }
        for reader in readers {
            assert_eq!(reader.await.unwrap(), 125_000);
        }
        assert_took(begun, millis);
    }
}

#[tokio::test(start_paused = true)]
async fn a_writer_gets_ahead_of_the_link_by_its_queue_and_no_more() {
    let (mut server, mut client) = accepted(&link("rate:1Mbps,queue:20000B"));
    let begun = Instant::now();
    server.write_all(&[0; 60_000]).await.unwrap();
    // 16 KiB wait before the queue of 20000 octets: the rest had to go through, packet by packet.
    let (least, packet) = (Duration::from_micros((60_000 - 20_000 - 16_384) * 8), Duration::from_millis(13));
    assert!((least - packet..least + packet).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    client.read_exact(&mut [0; 60_000]).await.unwrap();
    assert_took(begun, 480);
}

#[tokio::test(start_paused = true)]
async fn what_was_said_last_is_delivered_after_the_conversation_has_gone() {
    let (mut server, mut client) = accepted(&link("rtt:4s,rate:1kbps,queue:64KiB"));
    let begun = Instant::now();
    server.write_all(&[7; 10_000]).await.unwrap();
    server.shutdown().await.unwrap();
    drop(server);
    let mut text = Vec::new();
    client.read_to_end(&mut text).await.unwrap();
    assert_eq!(text, [7; 10_000]);
    assert_took(begun, 6000 + 80_000 + 2000);
}

#[tokio::test(start_paused = true)]
async fn an_end_and_what_is_sent_after_it_the_other_way_arrive() {
    let (mut server, mut client) = accepted(&link("rtt:100ms"));
    client.write_all(b"bye").await.unwrap();
    client.shutdown().await.unwrap();
    let mut text = Vec::new();
    server.read_to_end(&mut text).await.unwrap();
    server.write_all(b"bye to you").await.unwrap();
    drop(server);
    client.read_to_end(&mut text).await.unwrap();
    assert_eq!(text, b"byebye to you");
}

/// What waited for the connection to stand left room, and nobody read on before it had arrived.
#[tokio::test(start_paused = true)]
async fn a_long_upload_keeps_the_line_busy() {
    let (mut server, mut client) = accepted(&link("rtt:20ms,up:50Mbps,down:10Mbps"));
    let begun = Instant::now();
    tokio::spawn(async move {
        client.write_all(&[0; 625_000]).await.unwrap();
        client
    });
    server.read_exact(&mut [0; 625_000]).await.unwrap();
    assert_took(begun, 20 + 100 + 10);
}

/// What waited for the window of a slow reader went on waiting for ever once it had opened.
#[tokio::test(start_paused = true)]
async fn a_window_that_opens_lets_in_what_waited() {
    let (mut server, mut client) = accepted(&link("rtt:0s,rate:100Mbps"));
    let writing = tokio::spawn(async move { server.write_all(&[0; 2_000_000]).await.unwrap() });
    let mut got = 0;
    while got < 2_000_000 {
        tokio::time::sleep(Duration::from_millis(70)).await;
        got += client.read(&mut [0; 40_000]).await.unwrap();
    }
    writing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_stops_the_writer_and_is_given_up() {
    let link = link("rtt:10ms,rate:1Gbps");
    let (mut server, client) = accepted(&link);
    let writing = tokio::time::timeout(Duration::from_secs(5), server.write_all(&[0; 8_000_000]));
    assert!(writing.await.is_err(), "there is nobody to take it");
    drop(server);
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_secs(61)).await;
    let mut rest = Vec::new();
    let mut client = client;
    client.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() < 5_000_000 && begun.elapsed() < Duration::from_secs(62), "{}", rest.len());
}

/// The benchmark of the promise: within 5 % or 2 ms over sockets too. The best of a few tries
/// counts. A machine that is busy with other tests can't keep it: `cargo test --lib over_sockets --
/// --ignored` on a quiet one.
#[tokio::test]
#[ignore = "measures time, and wants a machine to itself"]
async fn over_sockets_times_are_exact_within_five_percent() {
    for (text, up, down) in [
        ("rtt:40ms", 1, 1),
        ("rtt:20ms,rate:10Mbps", 100, 125_000),
        ("rtt:20ms,up:2Mbps,down:100Mbps", 25_000, 100),
        ("rtt:100ms,rate:1Mbps", 1460, 14_600),
        ("rtt:0s,rate:100Mbps", 100, 1_250_000),
        ("rtt:20ms,up:50Mbps,down:10Mbps", 625_000, 100),
    ] {
        let link = link(text);
        let ideal = link.spec().rtt * 2
            + link.spec().up.map_or(Duration::ZERO, |rate| rate.time_for(up))
            + link.spec().down.map_or(Duration::ZERO, |rate| rate.time_for(down));
        let allowed = Duration::from_millis(2).max(ideal / 20);
        let mut best = Duration::MAX;
        for _ in 0..50 {
            let took = exchange(&link, up as usize, down as usize).await;
            best = if took.abs_diff(ideal) < best.abs_diff(ideal) { took } else { best };
            if best.abs_diff(ideal) <= allowed {
                break;
            }
        }
        assert!(best.abs_diff(ideal) <= allowed, "{text}: {best:?} instead of {ideal:?}");
    }
}

/// A small window made the sender on loopback wait for a fifth of a second again and again.
#[tokio::test]
async fn a_dialled_link_without_a_rate_is_fast() {
    let link = link("rtt:0s");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { listener.accept().await.unwrap().0.write_all(&[0; 1_000_000]).await.unwrap() });
    let mut client = link.dialled(Plain::Tcp(TcpStream::connect(at).await.unwrap()));
    let begun = Instant::now();
    assert_eq!(client.read_to_end(&mut Vec::new()).await.unwrap(), 1_000_000);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    serving.await.unwrap();
}

/// A request of `up` octets and a response of `down`, on a connection of its own.
async fn exchange(link: &Arc<Link>, up: usize, down: usize) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    prepare_listener(&SockRef::from(&listener));
    let begun = Instant::now();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    client.set_nodelay(true).unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let mut server = link.accepted(Plain::Tcp(accepted), None);
    let serving = tokio::spawn(async move {
        server.read_exact(&mut vec![0; up]).await.unwrap();
        server.write_all(&vec![0; down]).await.unwrap();
    });
    client.write_all(&vec![0; up]).await.unwrap();
    client.read_exact(&mut vec![0; down]).await.unwrap();
    let took = begun.elapsed();
    serving.await.unwrap();
    took
}
