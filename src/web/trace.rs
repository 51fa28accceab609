//! TRACE (RFC 9110, 9.3.8): the request comes back as it was received, but for its secrets. It is off
//! unless it is switched on.

use super::{
    body::RequestBody,
    reply::{Body, Reply},
    request::Request,
};
use crate::http::{Fault, secrets};

pub(super) fn echo(request: &Request, body: &RequestBody) -> Result<Reply, Fault> {
    if !body.is_empty() {
        return Err(Fault::bad("a TRACE request has no body", "RFC 9110, 9.3.8"));
    }
    Ok(Reply::new(200).with("Content-Type", "message/http").with_body(Body::Octets(secrets::echo(&request.head))))
}
