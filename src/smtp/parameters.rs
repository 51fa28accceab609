//! The parameters of MAIL and RCPT (RFC 5321, 4.1.1.11), each as its extension defines it. What is
//! read here is what EHLO offers; all else gets 555.

use super::{
    command::Verb,
    reply::{self, Reply},
};
use crate::{
    mail::{address::Mailbox, xtext},
    store::envelope::{Body, MailParameters, Notify, OriginalRecipient, RcptParameters, Return},
};

/// RFC 3461, 4.4: the longest ENVID, in octets as it is sent.
const ENVID_OCTETS: usize = 100;
/// RFC 3461, 4.2: the longest ORCPT, in octets as it is sent.
const ORCPT_OCTETS: usize = 500;
/// RFC 4954, 5: the longest AUTH, in octets as it is sent.
const AUTH_OCTETS: usize = 500;

/// What MAIL declares besides the sender.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Declared {
    /// SIZE: what the client believes the message to have, in octets (RFC 1870).
    pub size: Option<u64>,
    pub parameters: MailParameters,
}

/// `KEYWORD[=value]`.
#[derive(Clone, Copy)]
struct Parameter<'a> {
    whole: &'a str,
    keyword: &'a str,
    value: Option<&'a str>,
}

/// The parameters of MAIL.
pub(crate) fn of_mail(rest: &str) -> Result<Declared, Reply> {
    let mut declared = Declared::default();
    for parameter in split(Verb::Mail, rest)? {
        match parameter.keyword.to_ascii_uppercase().as_str() {
            "SIZE" => declared.size = Some(parameter.read(size)?),
            "BODY" => declared.parameters.body = Some(parameter.read(body)?),
            "SMTPUTF8" => declared.parameters.smtputf8 = parameter.stands_alone()?,
            "RET" => declared.parameters.ret = Some(parameter.read(ret)?),
            "ENVID" => declared.parameters.envid = Some(parameter.read(envid)?),
            "MT-PRIORITY" => declared.parameters.priority = Some(parameter.read(priority)?),
            // RFC 4954, 5: who submitted it to whom we got it from; we trust nobody's word on it.
            "AUTH" => parameter.read(submitter)?,
            _ => return Err(reply::unknown_parameter(parameter.whole)),
        }
    }
    Ok(declared)
}

/// The parameters of RCPT.
pub(crate) fn of_rcpt(rest: &str) -> Result<RcptParameters, Reply> {
    let mut parameters = RcptParameters::default();
    for parameter in split(Verb::Rcpt, rest)? {
        match parameter.keyword.to_ascii_uppercase().as_str() {
            "NOTIFY" => parameters.notify = Some(parameter.read(notify)?),
            "ORCPT" => parameters.orcpt = Some(parameter.read(orcpt)?),
            _ => return Err(reply::unknown_parameter(parameter.whole)),
        }
    }
    Ok(parameters)
}

/// A number of octets: at most 20 digits (RFC 1870, 4). One beyond all bounds is a large number.
pub(crate) fn number(text: &str) -> Option<u64> {
    let digits = (1..=20).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// The parameters after a path, each set off by a blank and none given twice (RFC 3461, 4 and 5321,
/// 4.1.1.11).
fn split(verb: Verb, rest: &str) -> Result<Vec<Parameter<'_>>, Reply> {
    if !rest.is_empty() && !rest.starts_with(' ') {
        return Err(reply::syntax(verb));
    }
    let mut parameters = Vec::<Parameter<'_>>::new();
    for whole in rest.split_ascii_whitespace() {
        let (keyword, value) = whole.split_once('=').map_or((whole, None), |(keyword, value)| (keyword, Some(value)));
        if !is_keyword(keyword) || value.is_some_and(|value| !is_value(value)) {
            return Err(reply::bad_parameter(whole));
        }
        if parameters.iter().any(|other| other.keyword.eq_ignore_ascii_case(keyword)) {
            return Err(reply::repeated_parameter(keyword));
        }
        parameters.push(Parameter { whole, keyword, value });
    }
    Ok(parameters)
}

fn is_keyword(keyword: &str) -> bool {
    keyword.starts_with(|c: char| c.is_ascii_alphanumeric()) && keyword.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
}

/// esmtp-value, with the UTF-8 of RFC 6531, 3.3.
fn is_value(value: &str) -> bool {
    !value.is_empty() && value.chars().all(|c| !c.is_control() && c != '=' && c != ' ')
}

impl Parameter<'_> {
    /// Reads the value, or says that it makes no sense.
    fn read<T>(self, read: impl FnOnce(&str) -> Option<T>) -> Result<T, Reply> {
        self.value.and_then(read).ok_or_else(|| reply::bad_parameter(self.whole))
    }

    fn stands_alone(self) -> Result<bool, Reply> {
        if self.value.is_none() { Ok(true) } else { Err(reply::bad_parameter(self.whole)) }
    }
}

fn size(value: &str) -> Option<u64> {
    number(value)
}

/// RFC 6152, 2. BINARYMIME (RFC 3030) is not offered: a Maildir holds lines.
fn body(value: &str) -> Option<Body> {
    match value.to_ascii_uppercase().as_str() {
        "7BIT" => Some(Body::SevenBit),
        "8BITMIME" => Some(Body::EightBitMime),
        _ => None,
    }
}

fn ret(value: &str) -> Option<Return> {
    match value.to_ascii_uppercase().as_str() {
        "FULL" => Some(Return::Full),
        "HDRS" => Some(Return::Hdrs),
        _ => None,
    }
}

fn envid(value: &str) -> Option<String> {
    if value.len() <= ENVID_OCTETS { xtext::decode(value) } else { None }
}

/// RFC 6710, 4.1: -9 to 9, without a plus or zeros in front.
fn priority(value: &str) -> Option<i8> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let is_one = matches!(digits.as_bytes(), [b'1'..=b'9']) || value == "0";
    if is_one { value.parse().ok() } else { None }
}

/// RFC 4954, 5: a mailbox in xtext, or `<>`.
fn submitter(value: &str) -> Option<()> {
    let known = value == "<>" || value.len() <= AUTH_OCTETS && xtext::decode(value).is_some_and(|text| Mailbox::parse(&text).is_ok());
    known.then_some(())
}

/// RFC 3461, 4.1: NEVER alone, or any of the three others.
fn notify(value: &str) -> Option<Notify> {
    let mut notify = Notify::default();
    if value.eq_ignore_ascii_case("NEVER") {
        return Some(notify);
    }
    for word in value.split(',') {
        let wish = match word.to_ascii_uppercase().as_str() {
            "SUCCESS" => &mut notify.success,
            "FAILURE" => &mut notify.failure,
            "DELAY" => &mut notify.delay,
            _ => return None,
        };
        if std::mem::replace(wish, true) {
            return None;
        }
    }
    Some(notify)
}

/// RFC 3461, 4.2, and for addresses in UTF-8 RFC 6533, 3.
fn orcpt(value: &str) -> Option<OriginalRecipient> {
    let (kind, address) = value.split_once(';').filter(|(kind, _)| is_keyword(kind))?;
    if value.len() > ORCPT_OCTETS || address.is_empty() {
        return None;
    }
    let kind = kind.to_ascii_lowercase();
    let address = if kind == "utf-8" { xtext::decode_utf8(address)? } else { xtext::decode(address)? };
    Some(OriginalRecipient { kind, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_offered_is_read() {
        let all = " SIZE=500 BODY=8BITMIME smtputf8 RET=HDRS ENVID=QQ+2B314159 MT-PRIORITY=-3 AUTH=e+3Dmc2@example.com";
        let declared = of_mail(all).unwrap();
        assert_eq!(declared.size, Some(500));
        let parameters = MailParameters {
            body: Some(Body::EightBitMime),
            smtputf8: true,
            ret: Some(Return::Hdrs),
            envid: Some("QQ+314159".into()),
            priority: Some(-3),
        };
        assert_eq!(declared.parameters, parameters);
        let parameters = of_rcpt(" NOTIFY=success,DELAY ORCPT=rfc822;Bob+2Bx@example.com").unwrap();
        assert_eq!(parameters.notify, Some(Notify { success: true, failure: false, delay: true }));
        assert_eq!(parameters.orcpt.map(|orcpt| (orcpt.kind, orcpt.address)), Some(("rfc822".into(), "Bob+x@example.com".into())));
        assert_eq!(of_rcpt(" NOTIFY=NEVER").unwrap().notify, Some(Notify::default()));
        assert_eq!(of_rcpt(" ORCPT=utf-8;bl\\x{E5}@a.b").unwrap().orcpt.map(|orcpt| orcpt.address), Some("bl\u{e5}@a.b".into()));
    }

    #[test]
    fn each_mistake_in_a_parameter_has_its_code() {
        let long = |octets: usize| format!(" ENVID={}", "x".repeat(octets));
        assert!(of_mail(&long(ENVID_OCTETS)).is_ok());
        for (rest, code) in [
            ("SIZE=1", 501),
            (" SIZE", 501),
            (" SIZE=", 501),
            (" SIZE=x", 501),
            (" SIZE=123456789012345678901", 501),
            (" SIZE=1 size=2", 501),
            (" BODY=9BIT", 501),
            (" BODY=BINARYMIME", 501),
            (" SMTPUTF8=yes", 501),
            (" RET=SOME", 501),
            (" RET", 501),
            (" ENVID=a=b", 501),
            (" ENVID=+zz", 501),
            (" ENVID=a ENVID=b", 501),
            (" MT-PRIORITY=10", 501),
            (" MT-PRIORITY=+3", 501),
            (" MT-PRIORITY=-0", 501),
            (" MT-PRIORITY=03", 501),
            (" AUTH=", 501),
            (" AUTH=nobody", 501),
            (" =x", 501),
            (" -X=y", 501),
            (" NOTIFY=NEVER", 555),
            (" XYZZY", 555),
            (" XYZZY=1", 555),
            (&long(ENVID_OCTETS + 1), 501),
        ] {
            assert_eq!(of_mail(rest).map_err(|reply| reply.code()), Err(code), "{rest}");
        }
        let long = |octets: usize| format!(" ORCPT=rfc822;{}", "x".repeat(octets - "rfc822;".len()));
        assert!(of_rcpt(&long(ORCPT_OCTETS)).is_ok());
        for (rest, code) in [
            (" NOTIFY=NEVER,SUCCESS", 501),
            (" NOTIFY=SUCCESS,SUCCESS", 501),
            (" NOTIFY=SUCCESS,", 501),
            (" NOTIFY=", 501),
            (" NOTIFY=NEVER NOTIFY=NEVER", 501),
            (" ORCPT=bob@example.com", 501),
            (" ORCPT=rfc822;", 501),
            (" ORCPT=rfc822;bl\u{e5}", 501),
            (" RET=FULL", 555),
            (" SIZE=1", 555),
            (&long(ORCPT_OCTETS + 1), 501),
        ] {
            assert_eq!(of_rcpt(rest).map_err(|reply| reply.code()), Err(code), "{rest}");
        }
    }
}
