//! Servers that are wrong in one known way, so that a client, a grader or a suite can be tested.
//!
//! Each is a Portico in memory behind a layer that garbles what passes by ([`layer`]), line by line:
//! what a layer does to a conversation is a row of the table here and a few lines in [`mail`],
//! [`web`] or [`files`]. `caught_by` names the suites that must notice, which a test checks.

mod files;
mod layer;
mod mail;
mod secure;
pub(crate) mod serve;
#[cfg(test)]
mod tests;
mod web;

use layer::{Garble, as_it_is};

/// A server that is wrong.
pub(crate) struct Broken {
    pub name: &'static str,
    /// The services that can be wrong in this way; the first one is meant unless another is asked for.
    pub services: &'static [&'static str],
    /// What it does wrong.
    pub sentence: &'static str,
    /// The suites that notice, of those for its services.
    pub caught_by: &'static [&'static str],
    fault: Fault,
}

/// What is done to a conversation.
#[derive(Clone, Copy)]
enum Fault {
    /// Lines are changed on their way: those of the client, those of the server.
    Lines(Garble, Garble),
    /// Nothing is answered after the first line of the server, if it speaks first at all.
    Hangs,
    /// The connection ends after the first line, or in the middle of a body.
    ClosesEarly,
    /// A line without an end.
    Endless,
    /// Octets that mean nothing.
    Garbage,
    /// An octet a second.
    Drips,
    /// A client that is lost is taken for one that says QUIT.
    QuitsForTheClient,
    /// Data connections of FTP stay open after the file.
    KeepsDataOpen,
    /// Whatever was answered once is answered again.
    CachesForEver,
    /// TLS connections end without close_notify.
    NoCloseNotify,
    /// What was said in the clear behind STARTTLS is taken as if it had come under TLS.
    TakesInjected,
    /// What was said before STARTTLS still holds under TLS.
    RemembersAll,
    /// TLS is promised, and does not come.
    StaysPlain,
}

const LINES: &[&str] = &["smtp", "submission", "pop3", "ftp", "http", "proxy", "capital-tcp"];
const HTTP: &[&str] = &["http", "proxy"];
const UPGRADES: &[&str] = &["smtp", "pop3", "ftp"];
const TLS: &[&str] = &["https", "smtp", "pop3", "ftp"];
const TLS_SUITES: &[&str] = &["https-basic", "smtp-starttls", "pop3-stls", "ftp-tls"];
/// Every suite for the services in question.
const ALL: &[&str] = &["*"];

const fn broken(
    name: &'static str,
    services: &'static [&'static str],
    sentence: &'static str,
    caught_by: &'static [&'static str],
    fault: Fault,
) -> Broken {
    Broken { name, services, sentence, caught_by, fault }
}

/// A server that changes what the server behind it says.
const fn says(garble: Garble) -> Fault {
    Fault::Lines(as_it_is, garble)
}

/// A server that hears something else than the client says.
const fn hears(garble: Garble) -> Fault {
    Fault::Lines(garble, as_it_is)
}

pub(crate) static BROKEN: &[Broken] = &[
    broken("bare-lf", LINES, "ends its lines with LF alone", ALL, says(layer::bare_lf)),
    broken("hangs", LINES, "answers nothing after its greeting", ALL, Fault::Hangs),
    broken("closes-early", LINES, "hangs up after the first line, or in the middle of a body", ALL, Fault::ClosesEarly),
    broken("endless-line", LINES, "sends a line that never ends", ALL, Fault::Endless),
    broken("garbage", LINES, "sends octets that mean nothing", ALL, Fault::Garbage),
    broken("slow-drip", LINES, "sends an octet a second", ALL, Fault::Drips),
    // Mail, in
    broken("no-order-check", &["smtp"], "takes commands in any order", &["smtp-basic", "smtp-starttls"], says(mail::no_order_check)),
    broken("open-relay", &["smtp"], "takes mail for anybody from anybody", &["smtp-basic"], says(mail::open_relay)),
    broken(
        "wrong-continuation",
        &["smtp"],
        "ends each line of a long reply as if it were the last",
        &["smtp-basic", "smtp-starttls"],
        says(mail::wrong_continuation),
    ),
    broken(
        "yes-to-everything",
        &["smtp", "submission", "pop3", "ftp"],
        "says that everything went well",
        &[
            "smtp-basic",
            "smtp-submission",
            "smtp-starttls",
            "pop3-basic",
            "pop3-delete",
            "pop3-stls",
            "ftp-passive",
            "ftp-active",
            "ftp-rename",
            "ftp-tls",
        ],
        says(mail::yes_to_everything),
    ),
    broken(
        "any-dot-ends",
        &["smtp"],
        "takes any line that begins with a dot for the end of the message",
        &["smtp-basic", "smtp-relay"],
        hears(mail::any_dot_ends),
    ),
    broken("no-reset", &["smtp", "pop3"], "answers RSET and does nothing", &["smtp-basic", "pop3-delete"], hears(mail::no_reset)),
    broken(
        "case-sensitive",
        &["smtp", "pop3"],
        "knows its commands in capitals only",
        &["smtp-basic", "pop3-basic"],
        hears(mail::case_sensitive),
    ),
    broken("loses-dots", &["smtp"], "takes a dot too many away from each line", &["smtp-relay"], hears(mail::loses_dots)),
    broken("loses-mail", &["smtp"], "says 250 to mail that it throws away", &["smtp-relay"], hears(mail::loses_mail)),
    broken(
        "any-password",
        &["submission", "pop3"],
        "lets in whoever asks",
        &["smtp-submission", "pop3-basic", "pop3-stls"],
        says(mail::any_password),
    ),
    // Mail, out
    broken(
        "no-dot-stuffing",
        &["pop3"],
        "sends lines that begin with a dot without another one",
        &["pop3-basic"],
        says(mail::no_dot_stuffing),
    ),
    broken(
        "wrong-octet-counts",
        &["pop3"],
        "lists sizes that count line ends as one octet",
        &["pop3-basic"],
        says(mail::wrong_octet_counts),
    ),
    broken(
        "deletes-at-once",
        &["pop3"],
        "deletes what was marked also where the connection is lost",
        &["pop3-delete"],
        Fault::QuitsForTheClient,
    ),
    broken("deletes-nothing", &["pop3"], "answers DELE and deletes nothing", &["pop3-delete"], hears(mail::deletes_nothing)),
    // Web
    broken("wrong-content-length", HTTP, "announces bodies shorter than they are", ALL, says(web::wrong_content_length)),
    broken(
        "two-hundred-for-everything",
        HTTP,
        "answers 200 whatever happened",
        &["http-basic", "http-conditional", "http-persistent", "proxy-basic"],
        says(web::two_hundred),
    ),
    broken("missing-date", &["http"], "sends no Date", &["http-basic"], says(web::missing_date)),
    broken("missing-type", &["http"], "does not say what its files are", &["http-basic"], says(web::missing_type)),
    broken("ignores-host", &["http"], "serves HTTP/1.1 without Host", &["http-basic"], hears(web::ignores_host)),
    broken("head-with-body", &["http"], "answers HEAD with the body", &["http-basic", "http-persistent"], hears(web::head_with_body)),
    broken("text-only", &["http"], "takes files for text and spoils the octets above 127", &["http-basic"], says(web::text_only)),
    broken("no-304", &["http"], "sends every file again", &["http-conditional"], hears(web::no_304)),
    broken("body-in-304", &["http"], "sends a body with 304", &["http-conditional"], says(web::body_in_304)),
    broken(
        "not-persistent",
        &["http"],
        "closes after each response",
        &["http-persistent", "http-conditional", "http-cookies"],
        hears(web::not_persistent),
    ),
    broken(
        "keep-alive-mixed-up",
        &["http"],
        "answers later requests on a connection with the first one's file",
        &["http-persistent"],
        hears(web::keep_alive_mixed_up),
    ),
    broken("forgets-cookies", &["http"], "reads no Cookie", &["http-cookies"], hears(web::forgets_cookies)),
    broken("one-cookie-for-all", &["http"], "gives everybody the same cookie", &["http-cookies"], says(web::one_cookie)),
    // Proxy
    broken("never-caches", &["proxy"], "asks the origin each time", &["proxy-caching"], hears(web::never_caches)),
    broken("caches-for-ever", &["proxy"], "answers again whatever it answered once", &["proxy-caching"], Fault::CachesForEver),
    broken("leaks-hop-by-hop", &["proxy"], "passes on what was meant for it alone", &["proxy-basic"], hears(web::leaks_hop_by_hop)),
    broken("no-via", &["proxy"], "does not say that it was there", &["proxy-basic"], says(web::no_via)),
    // Files
    broken(
        "wrong-pasv-address",
        &["ftp"],
        "names a port in 227 at which nobody listens",
        &["ftp-passive", "ftp-rename", "ftp-tls"],
        says(files::wrong_pasv_address),
    ),
    broken(
        "done-before-data",
        &["ftp"],
        "says 226 before the data has come",
        &["ftp-passive", "ftp-active"],
        says(files::done_before_data),
    ),
    broken("data-stays-open", &["ftp"], "does not close a data connection after the file", &["ftp-passive"], Fault::KeepsDataOpen),
    broken("text-mode", &["ftp"], "converts line ends in files that are not text", &["ftp-passive", "ftp-active"], hears(files::text_mode)),
    broken("rename-without-from", &["ftp"], "takes RNTO without RNFR", &["ftp-rename"], says(files::rename_without_from)),
    broken("bounces", &["ftp"], "connects wherever PORT tells it to", &["ftp-active"], says(files::bounces)),
    broken("clear-data", &["ftp"], "says 200 to PROT P and sends and takes files in the clear", &["ftp-tls"], hears(files::clear_data)),
    // TLS
    broken("no-close-notify", TLS, "ends TLS connections without close_notify", TLS_SUITES, Fault::NoCloseNotify),
    broken("stays-plain", TLS, "promises TLS and goes on in the clear", TLS_SUITES, Fault::StaysPlain),
    broken(
        "takes-injected",
        UPGRADES,
        "takes commands that came in the clear behind STARTTLS as if they had come under TLS",
        TLS_SUITES,
        Fault::TakesInjected,
    ),
    broken("remembers-across-tls", UPGRADES, "remembers under TLS what was said before it", TLS_SUITES, Fault::RemembersAll),
    // The book's first server
    broken("small-letters", &["capital-tcp"], "gives lines back in small letters", ALL, says(files::small_letters)),
];

/// The broken server of this name.
///
/// # Errors
/// There is none; the answer names the nearest.
pub(crate) fn named(name: &str) -> Result<&'static Broken, String> {
    BROKEN.iter().find(|broken| broken.name == name).ok_or_else(|| {
        let near =
            crate::config::keys::nearest(name, BROKEN.iter().map(|broken| broken.name)).map(|near| format!("; did you mean {near}?"));
        format!("there is no broken server `{name}`{}", near.unwrap_or_else(|| "; `portico broken --list` lists them".into()))
    })
}

impl Broken {
    /// The service that is to be wrong.
    ///
    /// # Errors
    /// It can't be wrong in this way.
    pub(crate) fn service(&self, wanted: Option<&str>) -> Result<&'static str, String> {
        let found = self.services.iter().find(|service| wanted.is_none_or(|wanted| wanted == **service));
        found.copied().ok_or_else(|| format!("{} is a fault of {}", self.name, self.services.join(", ")))
    }

    /// Whether this suite, which tests the service that is wrong, must notice.
    pub(crate) fn is_caught_by(&self, suite: &str) -> bool {
        self.caught_by == ALL || self.caught_by.contains(&suite)
    }
}
