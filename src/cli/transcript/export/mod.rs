//! `portico transcript export --pcapng`: recordings as packets, for Wireshark without the right to
//! capture.
//!
//! Addresses, ports and times are the recorded ones; the TCP/IP headers are made up ([`stream`]).
//! Server ports become the well-known ones, by which Wireshark tells the protocols. What was said
//! under TLS is shown in the clear, on a connection of its own where TLS began in the middle.

mod stream;

use std::{
    borrow::Cow,
    fs::File,
    io::{self, BufWriter, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use pcap_file::{
    DataLink,
    pcapng::{
        PcapNgWriter,
        blocks::{
            enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
        },
    },
};
use time::{PrimitiveDateTime, macros::format_description};

use self::stream::{Packet, Stream};
use crate::{
    cli::{Outcome, say},
    net::escape::escape,
    services::explainer::Explainer,
    transcript::{
        record::Side,
        script::{Content, Heading, Item, Script, Step},
        text::{Place, Text},
    },
};

/// Every packet that begins a line carries as a comment what the line means.
#[derive(Args, Debug)]
pub(super) struct ExportArgs {
    /// Recordings, or folders of them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Packets in the pcapng format, for Wireshark and tshark
    #[arg(long, value_name = "FILE")]
    pcapng: PathBuf,
    /// Leave the ports as they were
    #[arg(long)]
    keep_ports: bool,
}

pub(super) fn export(args: &ExportArgs) -> Result<Outcome, String> {
    let mut packets = Vec::new();
    let files = recordings(&args.paths)?;
    let mut unread = 0;
    for file in &files {
        match packets_of(file, args.keep_ports) {
            Ok(these) => packets.extend(these),
            // Of many, one that is damaged doesn't keep the others back.
            Err(problem) if files.len() > 1 => {
                anstream::eprintln!("portico: {}", escape(&problem));
                unread += 1;
            }
            Err(problem) => return Err(problem),
        }
    }
    packets.sort_by_key(|packet| packet.at);
    write(&args.pcapng, &packets).map_err(|error| format!("{}: {error}", args.pcapng.display()))?;
    say(format_args!("{} packets of {} recordings in {}\n", packets.len(), files.len() - unread, args.pcapng.display()));
    Ok(if unread == 0 { Outcome::Fine } else { Outcome::Failed })
}

/// The recordings that the paths name, folders with all that is in them.
fn recordings(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            super::collect(path, &mut found).map_err(|error| format!("{}: {error}", path.display()))?;
        } else {
            found.push(path.clone());
        }
    }
    Ok(found)
}

fn packets_of(file: &Path, keep_ports: bool) -> Result<Vec<Packet>, String> {
    let script = super::show::read(file)?;
    let Some(heading) = script.recorded().cloned() else {
        return Err(format!("{} is no recording: its first line does not say who spoke with whom", file.display()));
    };
    Ok(Export::new(heading, &script, keep_ports).run(&script))
}

fn write(path: &Path, packets: &[Packet]) -> io::Result<()> {
    let mut writer = PcapNgWriter::new(BufWriter::new(File::create(path)?)).map_err(io::Error::other)?;
    let options = vec![InterfaceDescriptionOption::IfTsResol(NANOSECONDS)];
    let interface = InterfaceDescriptionBlock { linktype: DataLink::RAW, snaplen: 0, options };
    writer.write_pcapng_block(interface).map_err(io::Error::other)?;
    for packet in packets {
        let comment = packet.comment.iter().map(|text| EnhancedPacketOption::Comment(Cow::Borrowed(text.as_str())));
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: packet.at,
            original_len: packet.original_octets,
            data: Cow::Borrowed(&packet.octets),
            options: comment.collect(),
        };
        writer.write_pcapng_block(block).map_err(io::Error::other)?;
    }
    writer.into_inner().flush()
}

/// More than the milliseconds of three times can be wrong by.
const BEHIND: Duration = Duration::from_millis(2);

/// The resolution of the times, as a power of ten.
const NANOSECONDS: u8 = 9;

/// One recording on its way to packets.
struct Export {
    stream: Stream,
    /// When the recording began, since 1970.
    began: Duration,
    explainer: Explainer,
}

impl Export {
    fn new(heading: Heading, script: &Script, keep_ports: bool) -> Export {
        let explainer = Explainer::new(&heading.service);
        // Times are noted in milliseconds. A connection that belongs to another must not come before the
        // reply that announces it, or Wireshark does not know it for what it is.
        let began = beginning(script) + if heading.parent.is_some() { BEHIND } else { Duration::ZERO };
        let (client, server) = if keep_ports { (heading.client, heading.server) } else { well_known(&heading) };
        Export { stream: Stream::new(client, server), began, explainer }
    }

    fn run(mut self, script: &Script) -> Vec<Packet> {
        let mut at = self.began;
        self.stream.open(at, None);
        for (index, item) in script.items.iter().enumerate() {
            at = item.at.map_or(at, |since| self.began + since);
            self.item(at, item, script.items.get(index + 1));
        }
        self.stream.close(at);
        self.stream.into_packets()
    }

    fn item(&mut self, at: Duration, item: &Item, next: Option<&Item>) {
        match &item.step {
            Step::Said { side, text } => {
                let shown = text.print(Place::Line);
                let row = self.explainer.explain(*side, &shown);
                let comment = row.map(|row| format!("{} ({})", row.sentence, row.source));
                let line = [text.as_plain().unwrap_or_default(), b"\r\n"].concat();
                self.stream.say(at, *side, &line, comment);
            }
            Step::Octets { side, octets } => self.stream.filler(at, *side, *octets),
            // Too long to be kept: the line's end comes as an empty line behind it.
            Step::Send(Content::Text { text: Text(_), times }) => {
                let side = match next.map(|next| &next.step) {
                    Some(Step::Said { side, .. }) => *side,
                    _ => Side::Client,
                };
                self.stream.filler(at, side, *times as u64);
            }
            Step::Tls { .. } => self.stream.reopen(at, "the same connection, from here on under TLS; shown in the clear"),
            _ => {}
        }
    }
}

/// When a recording began: its first note says so. Without one, in 1970.
fn beginning(script: &Script) -> Duration {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond] UTC");
    let note = script.items.iter().find_map(|item| match &item.step {
        Step::Note(note) => PrimitiveDateTime::parse(note, format).ok(),
        _ => None,
    });
    let since = note.map_or(0, |date| date.assume_utc().unix_timestamp_nanos());
    Duration::from_nanos(u64::try_from(since).unwrap_or(0))
}

/// The addresses with the ports by which the protocol is known. What was implicit TLS gets the port of
/// the plain protocol.
fn well_known(heading: &Heading) -> (SocketAddr, SocketAddr) {
    const OFFSET: u16 = 8000;
    let (mut client, mut server) = (heading.client, heading.server);
    let port = match heading.service.as_str() {
        "http" | "https" | "proxy-upstream" => Some(80),
        "proxy" => Some(3128),
        "smtp" | "relay" => Some(25),
        "submission" | "smtps" => Some(587),
        "pop3" | "pop3s" => Some(110),
        "ftp" | "ftps" | "proxy-ftp" => Some(21),
        "ftp-data" => None,
        name => crate::services::row(name).map(|row| row.well_known_port),
    };
    if let Some(port) = port {
        server.set_port(port);
    } else if client.port() == OFFSET + 20 {
        // Active mode: the server connects, from the port below its own (RFC 959, 3.2).
        client.set_port(20);
    }
    (client, server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_becomes_packets_with_the_times_and_well_known_ports() {
        let text =
            "# pop3 127.0.0.1:50000 -> 127.0.0.1:8110 (3)\n-- note 1994-11-06 08:49:37.250 UTC\n    0.500 S: +OK\n    1.000 C: QUIT\n";
        let script = Script::parse(text).unwrap();
        let packets = Export::new(script.recorded().unwrap().clone(), &script, false).run(&script);
        assert_eq!(packets[0].at, Duration::from_millis(784_111_777_250));
        let said: Vec<_> = packets.iter().filter(|packet| packet.octets.ends_with(b"\r\n")).collect();
        assert_eq!(said.len(), 2);
        assert_eq!(said[0].at, Duration::from_millis(784_111_777_750));
        assert!(said[1].comment.as_ref().unwrap().contains("RFC 1939"), "{:?}", said[1].comment);
        // IPv4 without options, then TCP: destination port.
        assert_eq!(said[1].octets[22..24], 110u16.to_be_bytes());
    }
}
