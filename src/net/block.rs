//! Blocks of addresses in CIDR notation (RFC 4632): who may relay, who may use the proxy.

use std::{net::IpAddr, str::FromStr};

/// All addresses whose first `bits` are those of `ip`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressBlock {
    ip: IpAddr,
    bits: u32,
}

impl AddressBlock {
    /// Whether `ip` is in this network; `::ffff:192.0.2.1` is the IPv4 address that it stands for.
    pub(crate) fn contains(self, ip: IpAddr) -> bool {
        let differ = match (self.ip, ip.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => (own.to_bits() ^ ip.to_bits()).leading_zeros(),
            (IpAddr::V6(own), IpAddr::V6(ip)) => (own.to_bits() ^ ip.to_bits()).leading_zeros(),
            _ => return false,
        };
        differ >= self.bits
    }
}

impl FromStr for AddressBlock {
    type Err = String;

    fn from_str(text: &str) -> Result<AddressBlock, String> {
        let (ip, bits) = text.split_once('/').map_or((text, None), |(ip, bits)| (ip, Some(bits)));
        let ip: IpAddr = ip.parse().map_err(|_| format!("`{text}` is not a network such as \"192.0.2.0/24\""))?;
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let own = ip.to_canonical();
        match bits.map_or(Ok(most), str::parse::<u32>) {
            // An IPv4 network may be written as one of IPv6 (RFC 4291, 2.5.5.2).
            Ok(bits @ 96..=128) if own.is_ipv4() && ip.is_ipv6() => Ok(AddressBlock { ip: own, bits: bits - 96 }),
            Ok(bits) if bits <= most => Ok(AddressBlock { ip, bits }),
            _ => Err(format!("`{text}`: the part after the slash goes from 0 to {most}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bits_decide() {
        for (network, ip, inside) in [
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.0/25", "192.0.2.128", false),
            ("192.0.2.0/24", "::ffff:192.0.2.7", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::ffff:192.0.2.7", "192.0.2.7", true),
            ("::ffff:192.0.2.0/120", "192.0.3.7", false),
        ] {
            let network: AddressBlock = network.parse().unwrap();
            assert_eq!(network.contains(ip.parse().unwrap()), inside, "{network:?} {ip}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "lab", "192.0.2.0/33", "::/129", "192.0.2.0/x", "192.0.2/24"] {
            assert!(text.parse::<AddressBlock>().is_err(), "{text}");
        }
    }
}
