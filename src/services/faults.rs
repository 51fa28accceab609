//! Which faults a service can have: what a fault asks for must be able to happen there, or its
//! owner would wait for it in vain.

use super::{Kind, row};
use crate::net::{
    escape::escape,
    fault::{Act, FaultSpec},
};

const FILES: &[&str] = &["ftp", "ftps"];
const WEB: &[&str] = &["http", "https", "proxy"];
/// Services that send bodies: responses, messages, files.
const SENDERS: &[&str] = &["http", "https", "proxy", "pop3", "pop3s", "ftp", "ftps"];

/// Whether a fault can be used.
///
/// # Errors
/// A sentence for the person who wrote it.
pub(crate) fn check_fault(fault: &FaultSpec) -> Result<(), String> {
    fault.check()?;
    let service = fault.service.as_str();
    if service.is_empty() {
        return Ok(());
    }
    let Some(row) = row(service) else { return Err(format!("there is no service `{}`", escape(service))) };
    if matches!(row.kind, Kind::Datagram(_)) {
        return Err(format!("{service} has no connections: faults strike in connections"));
    }
    match &fault.act {
        Act::RefuseData if !FILES.contains(&service) => Err(format!("{service} has no data connections: refuse-data is for ftp and ftps")),
        Act::Cut(_) if !SENDERS.contains(&service) => Err(format!("{service} sends no bodies: cut is for {}", SENDERS.join(", "))),
        Act::Answer(reply) if WEB.contains(&service) && !is_final_status(reply) => Err(format!(
            "`{}` is no answer of {service}: write a status from 200 to 599 and a reason, as in 503 Service Unavailable",
            escape(reply)
        )),
        _ => Ok(()),
    }
}

/// RFC 9110, 15: three digits; those that begin with 1 are followed by another response.
fn is_final_status(reply: &str) -> bool {
    let code = reply.split(' ').next().unwrap_or_default();
    code.len() == 3 && code.parse::<u16>().is_ok_and(|code| (200..600).contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(toml: &str) -> Result<(), String> {
        check_fault(&toml::from_str(toml).unwrap())
    }

    #[test]
    fn what_can_not_happen_is_refused() {
        for (fine, wrong) in [
            ("do = 'drop'\nservice = 'smtp'", "do = 'drop'\nservice = 'smpt'"),
            ("do = 'drop'\nservice = 'capital-tcp'", "do = 'drop'\nservice = 'capital-udp'"),
            ("do = 'refuse-data'\nservice = 'ftps'", "do = 'refuse-data'\nservice = 'pop3'"),
            ("do = 'cut 1B'\nservice = 'pop3'", "do = 'cut 1B'\nservice = 'smtp'"),
            ("do = 'answer 503 Busy'\nservice = 'proxy'", "do = 'answer 100 Continue'\nservice = 'http'"),
            ("do = 'answer 503'\nservice = 'http'", "do = 'answer busy'\nservice = 'http'"),
            ("do = 'answer rubbish'\nservice = 'smtp'", "do = 'answer +503 Busy'\nservice = 'http'"),
            ("do = 'cut 1B'", "do = 'delay 2days'"),
        ] {
            assert_eq!(check(fine), Ok(()), "{fine}");
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
