//! Status codes and redirects.

use rand::random;

use super::call::{Act, Before, Call};
use crate::{
    http::{Fault, head::reason},
    web::{page, reply::Reply},
};

/// How long a chain of redirects may be: browsers give up after twenty.
const MAX_REDIRECTS: u32 = 100;
/// The statuses that redirect.
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

/// Any status, with the fields that it must or should carry.
pub(super) fn status(call: &Call) -> Result<Act, Fault> {
    let wishes = wishes(call.argument(0).unwrap_or_default())?;
    let status = chosen(&wishes, random::<u32>() as f64 / f64::from(u32::MAX));
    Ok(match status {
        100..200 => Act { before: vec![Before::Interim(interim(status))], reply: Some(answer(200)) },
        _ => answer(status).into(),
    })
}

/// `418`, or `200,500`, or `200:0.9,500:0.1`.
fn wishes(text: &str) -> Result<Vec<(u16, f64)>, Fault> {
    let bad = || {
        Fault::bad(
            format!("`{text}` is no list of status codes from 100 to 599 (101 switches protocols and is not to be had)"),
            "RFC 9110, 15",
        )
    };
    let wish = |part: &str| {
        let (code, weight) = part.split_once(':').unwrap_or((part, "1"));
        let code = code.trim().parse().ok().filter(|code| (100..=599).contains(code) && *code != 101)?;
        let weight = weight.trim().parse().ok().filter(|weight| (0.0..=1e6).contains(weight))?;
        Some((code, weight))
    };
    text.split(',').map(|part| wish(part).ok_or_else(bad)).collect()
}

/// The one on which the needle, somewhere between 0 and 1, comes to rest.
fn chosen(wishes: &[(u16, f64)], needle: f64) -> u16 {
    let total: f64 = wishes.iter().map(|(_, weight)| weight).sum();
    let mut left = needle * total;
    let mut last = 200;
    for (code, weight) in wishes {
        last = *code;
        left -= weight;
        if left < 0.0 {
            break;
        }
    }
    last
}

fn interim(status: u16) -> String {
    let fields = if status == 103 { "Link: </portico.css>; rel=preload; as=style\r\n" } else { "" };
    format!("HTTP/1.1 {status} {}\r\n{fields}\r\n", reason(status))
}

fn answer(status: u16) -> Reply {
    let reply = match status {
        204 | 304 => Reply::new(status),
        // Nothing to show, but its end must be told all the same (RFC 9110, 15.3.6).
        205 => Reply::text(205, page::TEXT, String::new()),
        418 => Reply::text(418, page::TEXT, TEAPOT.into()),
        _ => Reply::text(status, page::TEXT, format!("{status} {}\n", reason(status))),
    };
    match status {
        206 => {
            let octets = format!("206 {}\n", reason(206)).len();
            reply.with("Content-Range", format!("bytes 0-{}/{octets}", octets - 1))
        }
        300..=303 | 307 | 308 => reply.with("Location", "/lab/get"),
        304 => reply.with("ETag", "\"lab\""),
        401 => reply.with("WWW-Authenticate", super::auth::BASIC),
        402 => reply.with("X-More-Info", "https://www.rfc-editor.org/rfc/rfc9110#section-15.5.3"),
        405 => reply.with("Allow", "GET, HEAD, OPTIONS"),
        407 => reply.with("Proxy-Authenticate", super::auth::BASIC),
        416 => reply.with("Content-Range", "bytes */0"),
        426 => reply.with("Upgrade", "HTTP/2.0").with("Connection", "Upgrade"),
        429 | 503 => reply.with("Retry-After", "1"),
        _ => reply,
    }
    .with("Cache-Control", "no-store")
}

/// RFC 2324, 2.3.2 wants the body to be short and stout.
const TEAPOT: &str = "418 I'm a teapot\n\n        _\n  _____| |_\n (_______) \\\n  \\_____/ ~'\n";

/// A chain: each redirect leads to a shorter one, the last one to the request as it arrived.
pub(super) fn redirect(call: &Call) -> Result<Act, Fault> {
    let times = call.number(0, 1, 1..=MAX_REDIRECTS)?;
    let status = redirect_status(call)?;
    let is_absolute = call.exhibit.name == "absolute-redirect" || call.is_on("absolute");
    let query = call.request.head.target.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = match times {
        1 => "/lab/anything".to_owned(),
        _ => format!("/lab/{}/{}{query}", call.exhibit.name, times - 1),
    };
    let site = if is_absolute { call.site() } else { String::new() };
    Ok(leading_to(call, status, &format!("{site}{path}")).into())
}

/// To a path of this server only: nobody's links shall lead astray through ours ("open redirect").
pub(super) fn redirect_to(call: &Call) -> Result<Act, Fault> {
    let url = call.asked(&["url"]).unwrap_or("/");
    let is_ours =
        url.starts_with('/') && !url.starts_with("//") && url.bytes().all(|octet| matches!(octet, 0x21..=0x7e)) && !url.contains('\\');
    if !is_ours {
        return Err(Fault::bad("`url` must be a path of this server, percent-encoded, such as `/hello.txt`", "RFC 9110, 10.2.2"));
    }
    Ok(leading_to(call, redirect_status(call)?, url).into())
}

fn redirect_status(call: &Call) -> Result<u16, Fault> {
    let status = call.asked_number(&["status", "status_code"], 302, 300..=308)?;
    if REDIRECTS.contains(&status) {
        return Ok(status);
    }
    Err(Fault::bad(format!("{status} does not redirect: take one of {REDIRECTS:?}"), "RFC 9110, 15.4"))
}

fn leading_to(call: &Call, status: u16, location: &str) -> Reply {
    let fault = Fault::new(status, format!("this leads on to {location}"), "RFC 9110, 15.4");
    page::refusal(&fault, call.request.audience()).with("Location", location).with("Cache-Control", "no-store")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_codes() {
        assert_eq!(wishes("418").unwrap(), [(418, 1.0)]);
        assert_eq!(wishes("200:0.9, 500:0.1").unwrap(), [(200, 0.9), (500, 0.1)]);
        for bad in ["", "99", "600", "101", "200,", "200:x", "200:-1", "200:NaN", "ok"] {
            assert!(wishes(bad).is_err(), "{bad}");
        }
        let both = [(200, 0.9), (500, 0.1)];
        assert_eq!([0.0, 0.89, 0.91, 1.0].map(|needle| chosen(&both, needle)), [200, 200, 500, 500]);
    }
}
