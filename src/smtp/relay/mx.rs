//! Which hosts take a domain's mail, and in which order (RFC 5321, 5.1). Pure.

use std::collections::BTreeMap;

use crate::{net::dns::Mx, smtp::settings::Settings};

/// Hosts that are tried for one attempt: a domain with a hundred of them must not make one message
/// knock at a hundred doors.
const MAX_HOSTS: usize = 8;

/// What MX records come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// To be tried in this order.
    Hosts(Vec<Mx>),
    /// RFC 7505: the domain takes no mail.
    Null,
    /// All that is left is ourselves.
    Loop,
}

/// The order in which the hosts of `records` are tried. `shuffle` mixes those of equal preference,
/// so that load is spread (RFC 5321, 5.1).
pub(super) fn order(mut records: Vec<Mx>, is_own: impl Fn(&str) -> bool, shuffle: impl FnOnce(&mut [Mx])) -> Order {
    if is_null(&records) {
        return Order::Null;
    }
    // RFC 7505, 3: beside others a null MX means nothing.
    records.retain(|mx| !is_root(&mx.host));
    // Mixed first and sorted after, stably: equals stay mixed.
    shuffle(&mut records);
    records.sort_by_key(|mx| mx.preference);
    // We are one of them: from here mail goes only to better ones, else it would go in circles.
    if let Some(own) = records.iter().filter(|mx| is_own(&mx.host)).map(|mx| mx.preference).min() {
        records.retain(|mx| mx.preference < own);
    }
    records.truncate(MAX_HOSTS);
    if records.is_empty() { Order::Loop } else { Order::Hosts(records) }
}

/// Whether a domain with these records takes no mail (RFC 7505, 3).
pub(in crate::smtp) fn is_null(records: &[Mx]) -> bool {
    records.iter().all(|mx| is_root(&mx.host))
}

fn is_root(host: &str) -> bool {
    host.trim_end_matches('.').is_empty()
}

/// The records of the settings, by domain.
pub(in crate::smtp) fn table(settings: &Settings) -> BTreeMap<String, Vec<Mx>> {
    let records = |records: &Vec<String>| records.iter().filter_map(|record| parse(record)).collect();
    settings.mx_records.iter().map(|(domain, written)| (domain.to_ascii_lowercase(), records(written))).collect()
}

/// `10 mx.example`, `10 mx.example:2525`: a record as the settings write it.
pub(crate) fn parse(text: &str) -> Option<Mx> {
    let (preference, host) = text.trim().split_once(' ')?;
    let (host, port) = match host.trim().rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (host.trim(), None),
    };
    let sane = !host.is_empty() && host.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._".contains(&octet));
    let preference = preference.parse().ok().filter(|_| sane)?;
    Some(Mx { preference, host: host.trim_end_matches('.').to_ascii_lowercase(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(records: &[&str], own: &str) -> Order {
        order(records.iter().map(|text| parse(text).unwrap()).collect(), |host| host == own, |equals| equals.reverse())
    }

    fn hosts(order: Order) -> Vec<String> {
        match order {
            Order::Hosts(hosts) => hosts.into_iter().map(|mx| mx.host).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_lowest_preference_comes_first_and_equals_are_mixed() {
        assert_eq!(hosts(ordered(&["20 c", "10 a", "10 b"], "")), ["b", "a", "c"]);
    }

    #[test]
    fn a_null_mx_counts_only_when_it_is_alone() {
        assert_eq!(ordered(&["0 ."], ""), Order::Null);
        assert_eq!(hosts(ordered(&["0 .", "10 a"], "")), ["a"]);
    }

    #[test]
    fn our_own_name_cuts_off_those_of_equal_or_worse_preference() {
        assert_eq!(hosts(ordered(&["10 a", "20 me", "20 b", "30 c"], "me")), ["a"]);
        assert_eq!(ordered(&["10 me", "10 b", "20 c"], "me"), Order::Loop);
    }

    #[test]
    fn no_more_hosts_are_tried_than_the_bound() {
        let many: Vec<_> = (0..20).map(|n| format!("{n} h{n}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert_eq!(hosts(ordered(&many, "")).len(), MAX_HOSTS);
    }

    #[test]
    fn records_of_the_settings_are_read() {
        assert_eq!(parse("10 Mx.Example."), Some(Mx { preference: 10, host: "mx.example".into(), port: None }));
        assert_eq!(parse(" 0 mx.example:2525"), Some(Mx { preference: 0, host: "mx.example".into(), port: Some(2525) }));
        for bad in ["", "10", "mx.example", "x mx", "10 a b", "99999 a", "10 a:b", "10 :25"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
