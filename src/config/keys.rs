//! Every key of the settings: which there are, and what each is for.
//!
//! Which keys exist follows from the settings types themselves, by way of a specimen in which
//! every part is present. Keys that a person chooses (an account's name, a domain) are written
//! `*` there.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{
    Settings,
    limits::{LimitChanges, LimitSettings},
};
use crate::{
    net::{fault::FaultSpec, limits::Limits, link::LinkSpec},
    services::REGISTRY,
    smtp::settings::RouteSettings,
    store::accounts::AccountSettings,
    units::Size,
    web::settings::{CacheSettings, RedirectSettings, SiteSettings},
};

/// Stands for a key that a person chooses.
pub(crate) const ANY: &str = "*";

/// What each key is for, one line; `*` as in the specimen. `limits.<service>` has the keys of
/// `limits` and is not listed.
const PURPOSES: &[(&str, &str)] = &[
    ("host", "Addresses to listen on. Of the default ones, a family that the machine lacks is skipped."),
    ("port-offset", "Added to every well-known port; 0 is the real thing and wants root."),
    ("domains", "The domains whose mail is ours; the servers greet with the first one."),
    ("sample-accounts", "Whether alice (password wonderland) and bob (password hungry) exist."),
    ("allow-sample-passwords", "Start off loopback even though an account has a sample password."),
    ("allow-plain-passwords", "Take passwords over connections without TLS off loopback too."),
    ("transcripts", "Record every conversation below var/transcripts."),
    ("user", "The user to become after binding, when started as root."),
    ("accounts", "Accounts for submission, POP3, FTP and HTTP; see `portico account`."),
    ("accounts.*.password", "In the clear: for the lab only."),
    ("accounts.*.password-hash", "\"$argon2id$...\", as `portico account passwd` writes it."),
    ("accounts.*.write", "Folders of www/ below which the account may write."),
    ("accounts.*.mail-quota", "What the maildrop may take: \"50MB\". Without it smtp.mail-quota counts."),
    ("accounts.*.forward", "Where mail for the account goes on to: [\"carol@remote.example\", \"bob\"]."),
    ("accounts.*.keep-copy", "What is forwarded is kept here, too."),
    ("accounts.*.www-quota", "What files below those folders may take, together: \"100MB\"."),
    ("accounts.*.enabled", "false: the account does not exist, not even as a sample."),
    ("limits.connections", "Connections at a time per service; one more gets the busy reply."),
    ("limits.connections-per-address", "The same per client address; loopback is exempt."),
    ("limits.idle", "The wait for the next command."),
    ("limits.line", "From the first octet of a line or head to its end, however it drips."),
    ("limits.stall", "A body or file on its way must move stall-octets within this time."),
    ("limits.stall-octets", "See stall."),
    ("limits.handshake", "A TLS handshake, start to end."),
    ("http.max-body", "The largest request body that is taken; one past it gets 413."),
    ("http.max-form", "The largest form with files; one past it gets 413."),
    ("http.lab", "Who may use /lab/: \"loopback\" (clients on this machine), \"everybody\" or \"nobody\"."),
    ("http.max-head", "The largest request head; one past it gets 431."),
    ("http.mailbox", "For whom /lab/mail/ is: \"nobody\", \"loopback\", \"everybody\" (over https)."),
    ("http.trace", "Answer TRACE with the request as it came, without passwords and cookies."),
    ("http.codings", "Content codings that are offered, best first; none: neither compression nor precompressed files."),
    ("http.compress", "Compress on the fly; page.html.br, .zst and .gz beside page.html are used either way."),
    ("http.compress-types", "Media types that compression is worth for; * at the beginning or the end."),
    ("http.compress-from", "Smaller files go out as they are."),
    ("http.compress-up-to", "Larger files go out as they are, unless they were compressed beforehand."),
    ("http.compress-memory", "Compressed files held in memory."),
    ("http.types", "Media types by extension: log = \"text/plain\"."),
    ("http.cache", "Cache-Control of files, first fit: [[http.cache]] match = \"*.jpg\", cache-control = \"max-age=3600\"."),
    ("http.redirect", "What has moved, first fit: [[http.redirect]] from = \"/old/*\", to = \"/new/*\", status = 301."),
    ("http.sites", "Virtual hosts: [http.sites.\"www.example.org\"] root = \"/someschool/\"."),
    ("http.sites.*.root", "The folder of www/ that a host name stands for: [http.sites.\"www.example.org\"]; \"*\" is any other."),
    ("http.strict-hosts", "421 for host names that are neither sites nor domains."),
    ("http.redirect-to-https", "Send plain requests to https."),
    ("http.hsts", "For how long browsers shall use https only (Strict-Transport-Security); 0s: not said."),
    ("http.error-pages", "Pages of www/ by status, in place of ours: 404 = \"/404.html\"."),
    ("http.listings", "List folders that have no index.html; false: 403."),
    ("http.access-log", "A file in the Combined Log Format, such as \"var/access.log\"; empty: none."),
    ("proxy.connect-ports", "Ports that CONNECT may reach, beside our own https; none switches it off."),
    ("proxy.cache-memory", "Stored responses held in memory."),
    ("proxy.cache-disk", "Stored responses held on disk."),
    ("proxy.max-object", "The largest response that is stored."),
    ("proxy.max-memory-object", "The largest response that is held in memory; larger ones are on disk only."),
    ("proxy.targeted", "Response fields that are read before Cache-Control, in this order."),
    ("proxy.compress", "Compress responses on the way to clients that take br, zstd or gzip: for slow networks."),
    ("proxy.stale-if-unreachable", "How stale a stored response may be when the origin can't be reached."),
    ("proxy.allow-private", "Let clients off loopback reach loopback and private addresses."),
    ("proxy.allow-open", "Let clients off loopback use the proxy without logging in."),
    ("proxy.allow-clients", "Networks (\"192.0.2.0/24\") whose clients may use the proxy, beside this machine."),
    ("proxy.require-login", "Clients must log in with the name and password of an account."),
    ("proxy.private-hosts", "Hosts (\"*.lab.test\") that clients off loopback may reach at private addresses."),
    ("proxy.never-forward", "Hosts (\"*.ads.example\") to which no request is passed on."),
    ("proxy.no-cache", "Hosts (\"*.live.example\") of whose responses none is stored."),
    ("proxy.parent", "Another proxy (\"proxy.example.org:3128\") that all requests are passed on to."),
    ("proxy.parent-user", "The name that the parent wants; empty where it wants none."),
    ("proxy.parent-password", "The password that the parent wants; in portico.toml only."),
    ("proxy.direct", "Hosts that are reached without the parent, beside this machine and [hosts]."),
    ("proxy.connections-per-origin", "Connections at a time to one origin; further requests wait, at most 1024."),
    ("proxy.connect-timeout", "One attempt to connect to an origin; then 504."),
    ("proxy.first-byte-timeout", "From a request's end to the first octet of its response; then 504."),
    ("smtp.mx", "Route by DNS. false: domains without a route are refused with 550."),
    ("smtp.mx-records", "Records beside those of the DNS: domain = [\"10 mx.example\", \"20 other.example:2525\"]."),
    ("smtp.mx-port", "The port of the servers that MX records name."),
    ("smtp.mx-private", "Whether MX records may lead to addresses that are not public: for labs."),
    ("smtp.dns-server", "The DNS server to ask, \"127.0.0.1:8053\"; empty: those of the system."),
    ("smtp.connections-per-destination", "Conversations with one destination of the relay at a time."),
    ("smtp.relay-networks", "Networks (\"192.0.2.0/24\") that may relay without logging in."),
    ("smtp.relay-loopback", "Clients on this machine may relay without logging in."),
    ("smtp.own-sender", "Submission: a sender address that isn't the account's own gets 553."),
    ("smtp.own-from", "Submission: a message whose From and Sender are both not the account's own gets 550."),
    ("smtp.lab", "Addresses such as 450-later@... provoke replies: \"off\", \"loopback\" (for clients on this machine), \"on\"."),
    ("smtp.vrfy", "VRFY tells accounts and this machine who exists. false: always 252."),
    ("smtp.expn", "EXPN tells accounts and this machine who is on a list. false: 502."),
    ("smtp.bare-newlines", "A CR or LF by itself in a message: \"refuse\" (550), or \"normalise\" it to a blank."),
    ("smtp.greeting-delay", "The greeting waits so long; a client that talks before it is refused with 554."),
    ("smtp.no-mail", "Take no mail at all: greet with 521."),
    ("smtp.no-mail-domains", "Domains that take no mail: their recipients get 556."),
    ("smtp.refuse-null-mx-senders", "A sender's domain that takes no mail (null MX) gets 550; needs smtp.mx or smtp.mx-records."),
    ("smtp.catch-all", "Test-server mode: mail for any recipient goes to this one account."),
    ("smtp.routes", "Domain = \"next hop:port\", or a table; \".domain\": those below it; \"*\": the smarthost."),
    ("smtp.routes.*.host", "The next hop, \"name:port\"."),
    ("smtp.routes.*.tls", "\"never\", \"opportunistic\" (where it is offered), or \"required\" (the server must prove its name)."),
    ("smtp.routes.*.implicit", "TLS before everything else, as on port 465."),
    ("smtp.routes.*.user", "The account to log in with there; only over TLS, or on this machine."),
    ("smtp.routes.*.password", "Its password."),
    ("smtp.aliases", "Alias or list = [\"member\", ...]."),
    ("smtp.max-message", "The largest message that is taken; one past it gets 552."),
    ("smtp.min-free", "What has to stay free on the disk beside a message that is announced; else MAIL gets 452."),
    ("smtp.mail-quota", "What each maildrop may take; 0 is without bound. What doesn't fit gets 452, or 552 where it never will."),
    ("smtp.cram-md5", "Offer AUTH CRAM-MD5 too, for teaching: every account must have its password in the clear."),
    ("smtp.scram-plus", "Offer AUTH SCRAM-SHA-256-PLUS over TLS 1.3; some clients take it and then fail."),
    ("smtp.max-recipients", "Recipients of one message; further ones get 452."),
    ("smtp.max-transactions", "Messages of one session; a further one gets 421."),
    ("smtp.max-failed-logins", "Failed logins of one session; the last of them gets 421."),
    ("smtp.retry.first", "The wait after the first failure; it doubles each time."),
    ("smtp.retry.most", "The longest wait between two attempts."),
    ("smtp.retry.warn-after", "After this the sender hears that the message is late; 0s for never."),
    ("smtp.retry.give-up", "After this the message is returned to its sender."),
    ("pop3.max-bad-commands", "Wrong commands and failed logins before the session is ended."),
    ("pop3.apop", "Offer APOP, for teaching: every account must have its password in the clear."),
    ("pop3.cram-md5", "Offer AUTH CRAM-MD5, on the same terms."),
    ("pop3.scram-plus", "Offer AUTH SCRAM-SHA-256-PLUS over TLS 1.3; some clients take it and then fail."),
    ("pop3.login-delay", "The least time between two logins to one account; 0s for none."),
    ("ftp.passive-ports", "Ports for passive data connections: \"0\" (any) or \"40000-40100\"."),
    ("ftp.passive-address", "The address that PASV announces, where it differs (NAT)."),
    ("ftp.lenient-tls-close", "Uploads whose TLS ends without close_notify count as whole; they may be cut."),
    ("ftp.require-tls-reuse", "Data connections must resume the control connection's TLS session (1.3)."),
    ("ftp.anonymous", "Whether anonymous may log in and read."),
    ("ftp.anonymous-write", "Folders in which guests may store new files, such as [\"/incoming/\"]."),
    ("ftp.anonymous-quota", "What those folders may hold before guests get 552."),
    ("ftp.deny-commands", "Commands that nobody may use (502), such as [\"DELE\", \"SITE\"]."),
    ("ftp.deny-names", "Patterns of names that nothing new may have (553), such as [\"*.exe\"]."),
    ("ftp.banner", "Text before the greeting, one or more lines."),
    ("ftp.dotfiles", "Whether names with a leading dot exist for clients; LIST shows them with -a."),
    ("ftp.require-tls", "Nobody logs in before AUTH TLS."),
    ("ftp.require-tls-data", "Data connections must be protected (PROT P)."),
    ("ftp.max-bad-commands", "Lines that are no good command before the connection is closed; after the login, in a row."),
    ("faults", "What is to go wrong: [[faults]] do = \"answer 451 Later\", service = \"smtp\", at = \"RCPT\", times = 1."),
    ("links", "Emulated links: http = \"rtt:100ms,rate:1.5Mbps\", or a preset's name; also proxy-out and relay-out."),
    ("hosts", "Names for the lab, used by proxy and relay: name = \"address\"."),
];

/// What a key is for; `key` is dotted and without quotes.
pub(crate) fn purpose(key: &str) -> Option<&'static str> {
    PURPOSES.iter().find(|(known, _)| *known == key).map(|(_, text)| *text)
}

/// All settings with every part present.
pub(crate) fn specimen() -> Table {
    let account = AccountSettings {
        password: Some(String::new()),
        password_hash: Some(String::new()),
        enabled: Some(true),
        www_quota: Some(Size(0)),
        mail_quota: Some(Size(0)),
        keep_copy: Some(false),
        ..AccountSettings::default()
    };
    let limits = LimitChanges::from(Limits::default());
    let services = REGISTRY.iter().map(|row| (row.name.to_owned(), limits.clone())).collect();
    let mut settings = Settings {
        accounts: BTreeMap::from([(ANY.to_owned(), account)]),
        limits: LimitSettings { all: limits, services },
        hosts: BTreeMap::from([(ANY.to_owned(), super::default_hosts()[0])]),
        faults: vec![FaultSpec::default()],
        links: BTreeMap::from([(ANY.to_owned(), LinkSpec::default())]),
        ..Settings::default()
    };
    let http = &mut settings.http;
    http.types.insert(ANY.to_owned(), String::new());
    http.sites.insert(ANY.to_owned(), SiteSettings { root: String::new() });
    http.error_pages.insert(ANY.to_owned(), String::new());
    http.cache.push(CacheSettings { pattern: String::new(), cache_control: String::new() });
    http.redirect.push(RedirectSettings { from: String::new(), to: String::new(), status: 301 });
    settings.smtp.routes.insert(ANY.to_owned(), RouteSettings::default());
    settings.smtp.mx_records.insert(ANY.to_owned(), vec![String::new()]);
    settings.smtp.aliases.insert(ANY.to_owned(), vec![String::new()]);
    Table::try_from(settings).expect("settings are plain data")
}

/// What the specimen has under `key` of `table`: itself, or what any key there has.
pub(crate) fn known<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    table.get(key).or_else(|| table.get(ANY))
}

/// The key of `table` that was probably meant by `key`.
pub(crate) fn nearest<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.into_iter().map(|name| (strsim::damerau_levenshtein(key, name), name));
    scored.filter(|(distance, name)| *distance <= (name.len() / 3).max(1)).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(prefix: &str, table: &Table, found: &mut Vec<String>) {
        for (key, value) in table {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            match value {
                Value::Table(_) if prefix == "limits" => {}
                Value::Table(inner) => leaves(&path, inner, found),
                _ => found.push(path),
            }
        }
    }

    #[test]
    fn every_key_has_its_purpose_and_every_purpose_a_key() {
        let mut keys = Vec::new();
        leaves("", &specimen(), &mut keys);
        let of_map = |key: &String| key.strip_suffix(".*").map(str::to_owned).unwrap_or(key.clone());
        let keys: Vec<_> = keys.iter().map(of_map).collect();
        let missing: Vec<_> = keys.iter().filter(|key| purpose(key).is_none()).collect();
        assert!(missing.is_empty(), "say in PURPOSES what these are for: {missing:?}");
        let idle: Vec<_> = PURPOSES
            .iter()
            .filter(|(key, _)| !["accounts", "http.sites", "smtp.routes"].contains(key) && !keys.iter().any(|known| known == key))
            .collect();
        assert!(idle.is_empty(), "no such keys: {idle:?}");
    }

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        assert_eq!(nearest("prot-offset", ["host", "port-offset"]), Some("port-offset"));
        assert_eq!(nearest("smpt", ["smtp", "smtps", "ftp"]), Some("smtp"));
        assert_eq!(nearest("colour", ["host", "port-offset"]), None);
    }

    /// Whoever looks for a setting finds more about it than its line in `portico config`.
    #[test]
    fn every_key_stands_in_the_documents() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");
        let pages = std::fs::read_dir(folder).unwrap().flatten().filter(|page| page.path().is_file());
        let mut text: String = pages.map(|page| std::fs::read_to_string(page.path()).unwrap()).collect();
        text.push_str(include_str!("../../README.md"));
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let words: std::collections::BTreeSet<_> = text.split(|c| !is_word(c)).collect();
        let names = PURPOSES.iter().map(|(key, _)| (key, key.rsplit('.').find(|name| *name != ANY).unwrap_or_default()));
        let missing: Vec<_> = names.filter(|(_, name)| !words.contains(name)).map(|(key, _)| key).collect();
        assert!(missing.is_empty(), "nothing under docs/ tells of {missing:?}");
    }
}
