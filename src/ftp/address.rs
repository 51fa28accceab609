//! Addresses as FTP writes them: PORT, EPRT, and the replies to PASV and EPSV. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::command::Fault;

/// `h1,h2,h3,h4,p1,p2` (RFC 959, 4.1.2).
pub(crate) fn parse_port(text: &str) -> Result<SocketAddr, Fault> {
    let numbers: Vec<u8> = text.split(',').map(octet).collect::<Option<_>>().ok_or(Fault::Parameter)?;
    let [a, b, c, d, high, low] = numbers[..] else { return Err(Fault::Parameter) };
    Ok(SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low]))))
}

fn octet(text: &str) -> Option<u8> {
    let digits = (1..=3).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// `|1|192.0.2.7|6275|` with any printable delimiter (RFC 2428, 2).
pub(crate) fn parse_eprt(text: &str) -> Result<SocketAddr, Fault> {
    let delimiter = text.chars().next().filter(char::is_ascii_graphic).ok_or(Fault::Parameter)?;
    let fields: Vec<&str> = text.split(delimiter).collect();
    let ["", network, address, port, ""] = fields[..] else { return Err(Fault::Parameter) };
    let ip = match network {
        "1" => address.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| Fault::Parameter)?,
        "2" => address.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| Fault::Parameter)?,
        _ if !network.is_empty() && network.bytes().all(|digit| digit.is_ascii_digit()) => return Err(Fault::Network),
        _ => return Err(Fault::Parameter),
    };
    if port.is_empty() || !port.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(Fault::Parameter);
    }
    Ok(SocketAddr::new(ip, port.parse().map_err(|_| Fault::Parameter)?))
}

/// `h1,h2,h3,h4,p1,p2` for the reply to PASV.
pub(crate) fn print_port(ip: Ipv4Addr, port: u16) -> String {
    let ([a, b, c, d], [high, low]) = (ip.octets(), port.to_be_bytes());
    format!("{a},{b},{c},{d},{high},{low}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_in_their_two_forms() {
        assert_eq!(parse_port("127,0,0,1,4,1"), Ok("127.0.0.1:1025".parse().unwrap()));
        assert_eq!(parse_eprt("|1|132.235.1.2|6275|"), Ok("132.235.1.2:6275".parse().unwrap()));
        assert_eq!(parse_eprt("|2|1080::8:800:200C:417A|5282|"), Ok("[1080::8:800:200C:417A]:5282".parse().unwrap()));
        assert_eq!(parse_eprt("!1!10.0.0.1!1!"), Ok("10.0.0.1:1".parse().unwrap()));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in ["", "1,2,3,4,5", "1,2,3,4,5,6,7", "256,0,0,1,1,1", "1,2,3,4,5,+6", "1, 2,3,4,5,6", "0127,0,0,1,4,1", "a,b,c,d,e,f"] {
            assert_eq!(parse_port(text), Err(Fault::Parameter), "{text}");
        }
        for text in ["", "|", "|1|1.2.3.4|1", "|1|1.2.3.4|65536|", "|1|::1|21|", "|2|1.2.3.4|21|", "|1|1.2.3.4|+1|", "||1.2.3.4|1|"] {
            assert_eq!(parse_eprt(text), Err(Fault::Parameter), "{text}");
        }
        assert_eq!(parse_eprt("|3|x|1|"), Err(Fault::Network));
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(ip: [u8; 4], port: u16) {
            let printed = print_port(Ipv4Addr::from(ip), port);
            prop_assert_eq!(parse_port(&printed), Ok(SocketAddr::from((ip, port))));
            let printed = format!("|1|{}|{port}|", Ipv4Addr::from(ip));
            prop_assert_eq!(parse_eprt(&printed), Ok(SocketAddr::from((ip, port))));
        }

        #[test]
        fn arbitrary_text_does_not_panic(text in ".{0,40}") {
            let _port = parse_port(&text);
            let _eprt = parse_eprt(&text);
        }
    }
}
