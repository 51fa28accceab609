//! The packets of one TCP connection, made up: handshake, segments, acknowledgements, end (RFC 9293).

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use etherparse::{PacketBuilder, PacketBuilderStep, TcpHeader};

use crate::transcript::record::Side;

/// The payload of a segment on Ethernet over IPv6, in octets.
const SEGMENT_OCTETS: usize = 1440;
/// Of octets that were not kept, so many are written; the rest only counts, as in a capture that
/// cuts packets short.
const FILLER_OCTETS: u64 = 1 << 20;
/// So many octets of a connection are written in place of those that were not kept.
const FILLERS_OCTETS: u64 = 64 << 20;
/// So many octets that were not kept are counted in a connection: a recording may claim any number.
const COUNTED_OCTETS: u64 = 16 << 30;
/// The payload of packets that are cut short.
const CUT_OCTETS: u32 = 60_000;
const WINDOW: u16 = u16::MAX;
const TTL: u8 = 64;

/// A packet from its IP header on.
pub(super) struct Packet {
    /// Since 1970.
    pub at: Duration,
    pub octets: Vec<u8>,
    /// What its length would be if it had not been cut.
    pub original_octets: u32,
    pub comment: Option<String>,
}

pub(super) struct Stream {
    client: SocketAddr,
    server: SocketAddr,
    /// The next sequence numbers of client and server.
    next: [u32; 2],
    packets: Vec<Packet>,
    /// How many octets that were not kept may still be written, and how many counted.
    written_left: u64,
    counted_left: u64,
    /// What was said at one time and makes one segment.
    pending: Option<Pending>,
}

struct Pending {
    at: Duration,
    side: Side,
    octets: Vec<u8>,
    comment: Option<String>,
}

/// The flags of a segment, and whether it takes a sequence number of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Syn,
    Data,
    Ack,
    Fin,
}

impl Stream {
    pub(super) fn new(client: SocketAddr, server: SocketAddr) -> Stream {
        Stream {
            client,
            server,
            next: [0, 0],
            packets: Vec::new(),
            written_left: FILLERS_OCTETS,
            counted_left: COUNTED_OCTETS,
            pending: None,
        }
    }

    /// The handshake.
    pub(super) fn open(&mut self, at: Duration, comment: Option<String>) {
        self.next = [0x1000_0000, 0x2000_0000];
        self.segment(at, Side::Client, Kind::Syn, &[], comment);
        self.segment(at, Side::Server, Kind::Syn, &[], None);
        self.segment(at, Side::Client, Kind::Ack, &[], None);
    }

    /// Octets of one side. What it says at the same time goes into the same segment, as programs
    /// send a head or a reply in one write.
    pub(super) fn say(&mut self, at: Duration, side: Side, octets: &[u8], comment: Option<String>) {
        match &mut self.pending {
            Some(pending) if (pending.at, pending.side) == (at, side) && pending.octets.len() + octets.len() <= SEGMENT_OCTETS => {
                pending.octets.extend_from_slice(octets);
                pending.comment = pending.comment.take().or(comment);
            }
            _ => {
                self.flush();
                self.pending = Some(Pending { at, side, octets: octets.to_vec(), comment });
            }
        }
    }

    fn flush(&mut self) {
        let Some(Pending { at, side, octets, mut comment }) = self.pending.take() else { return };
        for piece in octets.chunks(SEGMENT_OCTETS) {
            self.segment(at, side, Kind::Data, piece, comment.take());
        }
        self.segment(at, side.other(), Kind::Ack, &[], None);
    }

    /// Octets that nobody kept.
    pub(super) fn filler(&mut self, at: Duration, side: Side, octets: u64) {
        let octets = octets.min(self.counted_left);
        let written = octets.min(FILLER_OCTETS).min(self.written_left);
        self.counted_left -= octets;
        self.written_left -= written;
        self.say(at, side, &vec![b'x'; usize::try_from(written).unwrap_or(0)], None);
        let mut left = octets - written;
        if left > 0 {
            self.flush();
        }
        while left > 0 {
            let payload = u32::try_from(left).unwrap_or(u32::MAX).min(CUT_OCTETS);
            self.segment(at, side, Kind::Data, &[], None);
            if let Some(packet) = self.packets.last_mut() {
                packet.original_octets += payload;
            }
            *self.number(side) = self.number(side).wrapping_add(payload);
            left -= u64::from(payload);
        }
    }

    /// Ends the connection and goes on with another one between the same hosts.
    pub(super) fn reopen(&mut self, at: Duration, comment: &str) {
        self.flush();
        if self.is_fresh() {
            return self.say_nothing_yet(comment);
        }
        self.close(at);
        self.client.set_port(self.client.port().wrapping_add(1).max(1024));
        self.open(at, Some(comment.to_owned()));
    }

    pub(super) fn close(&mut self, at: Duration) {
        self.flush();
        self.segment(at, Side::Client, Kind::Fin, &[], None);
        self.segment(at, Side::Server, Kind::Fin, &[], None);
        self.segment(at, Side::Client, Kind::Ack, &[], None);
    }

    pub(super) fn into_packets(self) -> Vec<Packet> {
        self.packets
    }

    /// Whether nothing has been said on this connection.
    fn is_fresh(&self) -> bool {
        self.next == [0x1000_0001, 0x2000_0001]
    }

    fn say_nothing_yet(&mut self, comment: &str) {
        if let Some(first) = self.packets.iter_mut().rev().nth(2) {
            first.comment = Some(comment.to_owned());
        }
    }

    fn number(&mut self, side: Side) -> &mut u32 {
        let [client, server] = &mut self.next;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    fn segment(&mut self, at: Duration, side: Side, kind: Kind, payload: &[u8], comment: Option<String>) {
        let (from, to) = if side == Side::Client { (self.client, self.server) } else { (self.server, self.client) };
        let (number, acknowledged) = (*self.number(side), *self.number(side.other()));
        let mut header = TcpHeader::new(from.port(), to.port(), number, WINDOW);
        let is_first = kind == Kind::Syn && side == Side::Client;
        header.syn = kind == Kind::Syn;
        header.fin = kind == Kind::Fin;
        header.psh = kind == Kind::Data;
        header.ack = !is_first;
        header.acknowledgment_number = if is_first { 0 } else { acknowledged };
        let taken = payload.len() as u32 + u32::from(matches!(kind, Kind::Syn | Kind::Fin));
        *self.number(side) = number.wrapping_add(taken);
        let mut octets = Vec::with_capacity(payload.len() + 60);
        // Writing to a vector cannot fail, and no payload comes near the limit of IP.
        let built = ip(from.ip(), to.ip()).tcp_header(header).write(&mut octets, payload);
        debug_assert!(built.is_ok());
        self.packets.push(Packet { at, original_octets: octets.len() as u32, octets, comment });
    }
}

fn ip(from: IpAddr, to: IpAddr) -> PacketBuilderStep<etherparse::IpHeaders> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), TTL),
        (from, to) => PacketBuilder::ipv6(as_v6(from).octets(), as_v6(to).octets(), TTL),
    }
}

fn as_v6(ip: IpAddr) -> std::net::Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Stream {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut stream = Stream::new(at(50_000), at(25));
        stream.open(Duration::ZERO, None);
        stream
    }

    #[test]
    fn numbers_count_what_was_said() {
        let mut stream = stream();
        stream.say(Duration::ZERO, Side::Client, &[b'x'; 3000], Some("long".into()));
        stream.filler(Duration::ZERO, Side::Server, (1 << 20) + 100_000);
        stream.flush();
        assert_eq!(stream.next, [0x1000_0001 + 3000, 0x2000_0001 + (1 << 20) + 100_000]);
        assert_eq!(stream.packets.iter().filter(|packet| packet.comment.is_some()).count(), 1);
        let cut: Vec<_> = stream.packets.iter().filter(|packet| packet.original_octets as usize > packet.octets.len()).collect();
        assert_eq!(cut.iter().map(|packet| packet.original_octets - 40).collect::<Vec<_>>(), [60_000, 40_000]);
    }

    #[test]
    fn tls_from_the_beginning_makes_no_second_connection() {
        let mut fresh = stream();
        fresh.reopen(Duration::ZERO, "TLS");
        assert_eq!((fresh.packets.len(), fresh.client.port()), (3, 50_000));
        fresh.say(Duration::ZERO, Side::Server, b"220-a\r\n", None);
        fresh.say(Duration::ZERO, Side::Server, b"220 b\r\n", None);
        fresh.reopen(Duration::ZERO, "TLS");
        assert_eq!(fresh.client.port(), 50_001);
        assert!(fresh.packets[3].octets.ends_with(b"220-a\r\n220 b\r\n"), "one segment");
        assert!(fresh.packets.iter().rev().nth(2).unwrap().comment.is_some());
    }

    #[test]
    fn what_a_recording_claims_is_counted_up_to_a_bound() {
        let mut stream = stream();
        for _ in 0..100 {
            stream.filler(Duration::ZERO, Side::Server, u64::MAX);
        }
        let written: u64 = stream.packets.iter().map(|packet| packet.octets.len() as u64).sum();
        assert!(written < 2 * FILLER_OCTETS + 100 * (COUNTED_OCTETS / u64::from(CUT_OCTETS)), "{written}");
        assert_eq!(stream.counted_left, 0);
    }
}
