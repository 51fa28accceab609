//! TRACE (RFC 9110, 9.3.8): the request comes back as it was received, but for its secrets.
//!
//! A page's script that could read the answer would learn cookies and passwords that are kept from
//! it ("cross-site tracing"); so these are left out, and the method is off unless it is switched on.

use super::{
    body::RequestBody,
    reply::{Body, Reply},
    request::Request,
};
use crate::http::Fault;

/// What does not come back.
const SECRETS: &[&str] = &["authorization", "proxy-authorization", "cookie"];

pub(super) fn echo(request: &Request, body: &RequestBody) -> Result<Reply, Fault> {
    if !body.is_empty() {
        return Err(Fault::bad("a TRACE request has no body", "RFC 9110, 9.3.8"));
    }
    let mut head = request.head.clone();
    SECRETS.iter().for_each(|name| head.fields.remove(name));
    let mut octets = Vec::new();
    head.write_to(&mut octets);
    let mut reply = Reply::new(200).with("Content-Type", "message/http");
    reply.body = Body::Octets(octets);
    Ok(reply)
}
