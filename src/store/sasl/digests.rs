//! Answers that show a password without saying it, by MD5: CRAM-MD5 (RFC 2195) and APOP (RFC 1939,
//! 7). Both are for teaching: the server must keep the password itself, and MD5 is broken.

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};

/// `MD5(stamp password)` in hex, as APOP wants it.
pub(crate) fn apop(stamp: &str, password: &str) -> String {
    hex(&Md5::new_with_prefix(stamp).chain_update(password).finalize())
}

/// `HMAC-MD5(password, challenge)` in hex, as CRAM-MD5 wants it.
pub(super) fn cram_md5(challenge: &str, password: &str) -> String {
    let keyed = Hmac::<Md5>::new_from_slice(password.as_bytes()).map(|mac| mac.chain_update(challenge));
    keyed.map(|mac| hex(&mac.finalize().into_bytes())).unwrap_or_default()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfcs() {
        assert_eq!(apop("<1896.697170952@dbc.mtview.ca.us>", "tanstaaf"), "c4c9334bac560ecc979e58001b3e22fb");
        assert_eq!(cram_md5("<1896.697170952@postoffice.reston.mci.net>", "tanstaaftanstaaf"), "b913a602c7eda7a495b4e6e7334d3890");
    }
}
