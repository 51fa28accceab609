//! Credentials that the address itself names: for clients, not for secrets.

use serde_json::json;
use subtle::ConstantTimeEq;

use super::call::{Act, Call};
use crate::{
    http::{Fault, basic},
    web::page,
};

/// A realm of its own, so that no browser sends an account's password here.
pub(super) const BASIC: &str = "Basic realm=\"Lab\", charset=\"UTF-8\"";
const BEARER: &str = "Bearer realm=\"Lab\"";

pub(super) fn basic_auth(call: &Call) -> Result<Act, Fault> {
    match is_known(call) {
        true => Ok(welcome(call)),
        false => Ok(challenge(call, "this wants the name and the password that stand in its address", BASIC)),
    }
}

pub(super) fn hidden_basic_auth(call: &Call) -> Result<Act, Fault> {
    match is_known(call) {
        true => Ok(welcome(call)),
        false => Err(Fault::new(404, format!("there is no {} on this server", call.request.head.target.path()), "RFC 9110, 15.5.5")),
    }
}

fn is_known(call: &Call) -> bool {
    let wanted = |at| call.argument(at).unwrap_or_default();
    let given = call.request.head.fields.only("authorization").and_then(basic::credentials);
    given.is_some_and(|(name, password)| {
        let is_name = name.as_bytes().ct_eq(wanted(0).as_bytes());
        (is_name & password.as_bytes().ct_eq(wanted(1).as_bytes())).into()
    })
}

fn welcome(call: &Call) -> Act {
    call.show(&json!({"authenticated": true, "user": call.argument(0)})).into()
}

pub(super) fn bearer(call: &Call) -> Result<Act, Fault> {
    let value = call.request.head.fields.only("authorization").and_then(|value| std::str::from_utf8(value).ok());
    let token = value.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match token.map(|(_, token)| token.trim()).filter(|token| is_token68(token)) {
        Some(token) => Ok(call.show(&json!({"authenticated": true, "token": token})).into()),
        None => Ok(challenge(call, "this wants `Authorization: Bearer` with a token, whichever", BEARER)),
    }
}

/// RFC 6750, 2.1.
fn is_token68(text: &str) -> bool {
    let token = text.trim_end_matches('=');
    !token.is_empty() && token.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._~+/".contains(&octet))
}

fn challenge(call: &Call, what: &'static str, challenge: &str) -> Act {
    let fault = Fault::new(401, what, "RFC 9110, 11.6.1");
    page::challenge(&fault, call.request.audience(), challenge).into()
}
