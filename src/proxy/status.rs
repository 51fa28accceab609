//! Cache-Status: what the cache did with a request and why (RFC 9211).

use super::rules::Why;

/// Keys longer than this are left out, in octets: they would fill the client's head limit.
const KEY_OCTETS: usize = 1024;

/// A response from the cache that stays fresh for `ttl` seconds; negative where it is stale.
pub(crate) fn hit(ttl: i64, detail: &str, key: &str) -> String {
    with_key(format!("Portico; hit; ttl={ttl}; detail={detail}"), key)
}

/// A response from the origin.
pub(crate) fn forwarded(why: Why, status: u16, storing: Result<(), &str>, key: &str) -> String {
    let mut text = format!("Portico; fwd={}; fwd-status={status}", why.fwd);
    match storing {
        Ok(()) => {
            text.push_str("; stored");
            push_detail(&mut text, why.detail);
        }
        Err(reason) => push_detail(&mut text, if why.detail.is_empty() { reason } else { why.detail }),
    }
    with_key(text, key)
}

/// A response that another request for the same went to fetch (RFC 9211, 2.6).
pub(crate) fn collapsed(why: Why, status: u16, key: &str) -> String {
    let mut text = format!("Portico; fwd={}; fwd-status={status}; collapsed", why.fwd);
    push_detail(&mut text, why.detail);
    with_key(text, key)
}

/// A response from the cache after the origin has said that it is still good, or could not.
pub(crate) fn validated(why: Why, status: Option<u16>, ttl: i64, key: &str) -> String {
    let status = status.map(|status| format!("; fwd-status={status}")).unwrap_or_default();
    let mut text = format!("Portico; fwd={}{status}; ttl={ttl}", why.fwd);
    push_detail(&mut text, why.detail);
    with_key(text, key)
}

/// A response from the cache after what it lacked has been fetched.
pub(crate) fn completed(ttl: i64, is_stored: bool, key: &str) -> String {
    let stored = if is_stored { "; stored" } else { "" };
    with_key(format!("Portico; fwd=partial; fwd-status=206; ttl={ttl}{stored}"), key)
}

/// A response that the proxy makes itself.
pub(crate) fn refused(why: Why) -> String {
    let mut text = format!("Portico; fwd={}", why.fwd);
    push_detail(&mut text, why.detail);
    text
}

fn push_detail(text: &mut String, detail: &str) {
    if !detail.is_empty() {
        text.push_str("; detail=");
        text.push_str(detail);
    }
}

/// Appends the key as a string of RFC 8941, 3.3.3.
fn with_key(mut text: String, key: &str) -> String {
    if key.len() <= KEY_OCTETS {
        text.push_str("; key=\"");
        match key.contains(['"', '\\']) {
            true => text.push_str(&key.replace('\\', "\\\\").replace('"', "\\\"")),
            false => text.push_str(key),
        }
        text.push('"');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_cache_status() {
        let why = Why { fwd: "stale", detail: "max-age" };
        assert_eq!(hit(-3, "max-age", "http://a/\"\\"), "Portico; hit; ttl=-3; detail=max-age; key=\"http://a/\\\"\\\\\"");
        assert_eq!(forwarded(why, 200, Ok(()), "k"), "Portico; fwd=stale; fwd-status=200; stored; detail=max-age; key=\"k\"");
        assert_eq!(
            forwarded(Why { fwd: "uri-miss", detail: "" }, 200, Err("no-store"), "k"),
            "Portico; fwd=uri-miss; fwd-status=200; detail=no-store; key=\"k\""
        );
        assert_eq!(validated(why, Some(304), 60, "k"), "Portico; fwd=stale; fwd-status=304; ttl=60; detail=max-age; key=\"k\"");
    }
}
