//! The whole story with real clients: curl, wget, lftp, Python's http.client, ftplib, smtplib and
//! poplib, and the mail programs that people fetch and send with. Portico is a black box here.
//!
//! The story is told once for each kind of security, over IPv4 and IPv6. A client that is not
//! installed makes its test report itself as ignored; `.ci/run` installs them all.

mod support;

#[path = "clients/corpus.rs"]
mod corpus;
#[path = "clients/dialogues.rs"]
mod dialogues;
#[path = "clients/downloads.rs"]
mod downloads;
#[path = "clients/fetching.rs"]
mod fetching;
#[path = "clients/files.rs"]
mod files;
#[path = "clients/ftp.rs"]
mod ftp;
#[path = "clients/mail.rs"]
mod mail;
#[path = "clients/mailbox.rs"]
mod mailbox;
#[path = "clients/postfix.rs"]
mod postfix;
#[path = "clients/proxy.rs"]
mod proxy;
#[path = "clients/recording.rs"]
mod recording;
#[path = "clients/sending.rs"]
mod sending;
#[path = "clients/suites.rs"]
mod suites;
#[path = "clients/web.rs"]
mod web;

use libtest_mimic::{Arguments, Trial};
use support::{Family, superuser_trial, trial};

/// How a connection comes by TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Security {
    Plain,
    /// STARTTLS, STLS, AUTH TLS.
    Upgraded,
    /// From the first octet, on a port of its own.
    Implicit,
}

impl Security {
    fn name(self) -> &'static str {
        match self {
            Security::Plain => "plain",
            Security::Upgraded => "upgraded",
            Security::Implicit => "implicit",
        }
    }
}

/// A story: its name, the programs that it needs, and how it goes.
type Story = (&'static str, &'static [&'static str], fn());

/// Told once, over IPv4.
#[rustfmt::skip]
const ONCE: &[Story] = &[
    ("a_broken_mailbox_holds_up_nobody_else", &[], dialogues::a_broken_mailbox_holds_up_nobody_else),
    ("lftp_mirrors_a_folder_both_ways", &["lftp"], files::lftp_mirrors),
    ("ncftp_puts_and_gets", &["ncftpput", "ncftpget", "ncftpls"], ftp::ncftp_puts_and_gets),
    ("lftp_does_not_wait_for_what_is_not_there", &["lftp"], ftp::lftp_does_not_wait_for_what_is_not_there),
    ("wget_fetches_a_tree_by_ftp", &["wget"], ftp::wget_fetches_a_tree_by_ftp),
    ("sessions_are_resumed", &["python3", "curl", "lftp"], ftp::sessions_are_resumed),
    ("curl_puts_and_deletes_over_http", &["curl"], files::curl_puts_and_deletes),
    ("compressed_for_curl_and_wget", &["curl", "wget"], web::compressed_for_curl_and_wget),
    ("the_access_log_is_rotated", &["curl"], web::the_access_log_is_rotated),
    ("swaks_sends_and_curl_reads", &["swaks", "curl"], mailbox::swaks_sends_and_curl_reads),
    ("chromium_does_nothing_that_a_message_says", &["chromium", "curl"], mailbox::chromium_does_nothing_that_a_message_says),
    ("chromium_deletes_by_the_form", &["chromium", "curl"], mailbox::chromium_deletes_by_the_form),
    ("curl_logs_in_to_the_proxy", &["curl"], proxy::curl_logs_in_to_the_proxy),
    ("curl_fetches_ftp_through_the_proxy", &["curl"], proxy::curl_fetches_ftp_through_the_proxy),
    ("curl_gets_compressed_responses_from_the_proxy", &["curl"], proxy::curl_gets_compressed_responses_from_the_proxy),
    ("curl_uploads_through_the_proxy", &["curl"], proxy::curl_uploads_through_the_proxy),
    ("fetchmail_keeps_and_deletes", &["fetchmail"], mail::fetchmail_keeps_and_deletes),
    ("mpop_keeps_and_deletes", &["mpop"], mail::mpop_keeps_and_deletes),
    ("getmail_keeps_and_deletes", &["getmail"], fetching::getmail_keeps_and_deletes),
    ("mutt_deletes_what_was_tagged", &["mutt", "script"], fetching::mutt_deletes_what_was_tagged),
    ("two_thousand_messages_by_poplib", &["python3"], fetching::two_thousand_messages_by_poplib),
    ("swaks_and_msmtp_submit", &["swaks", "msmtp"], mail::swaks_and_msmtp_submit),
    ("swaks_attaches", &["swaks", "curl"], sending::swaks_attaches),
    ("s_nail_attaches", &["s-nail", "curl"], sending::s_nail_attaches),
    ("mutt_attaches", &["mutt", "curl"], sending::mutt_attaches),
    ("curl_attaches", &["curl"], sending::curl_attaches),
    ("msmtp_sends_what_portico_wrote", &["msmtp", "curl"], sending::msmtp_sends_what_portico_wrote),
    ("portico_sends", &["curl"], sending::portico_sends),
    ("smtplib_attaches", &["python3", "curl"], sending::smtplib_attaches),
    ("smtplib_sends_utf8_addresses", &["python3", "curl"], sending::smtplib_sends_utf8_addresses),
    ("curl_asks_for_changes_only", &["curl"], downloads::curl_asks_for_changes_only),
    ("downloads_go_on_where_they_broke_off", &["curl", "wget"], downloads::downloads_go_on_where_they_broke_off),
    ("curl_uploads_in_every_way", &["curl"], downloads::curl_uploads_in_every_way),
    ("wget_keeps_a_copy_of_the_site", &["wget"], downloads::wget_keeps_a_copy_of_the_site),
    ("lftp_fetches_in_pieces", &["lftp"], downloads::lftp_fetches_in_pieces),
    ("python_keeps_one_connection", &["python3"], downloads::python_keeps_one_connection),
    ("curl_is_recorded_and_played_again", &["curl"], recording::curl_is_recorded_and_played_again),
    ("swaks_is_recorded_and_played_again", &["swaks"], recording::swaks_is_recorded_and_played_again),
    ("lftp_is_recorded_and_played_again", &["lftp", "curl"], recording::lftp_is_recorded_and_played_again),
    ("own_recordings_are_compared", &["curl"], recording::own_recordings_are_compared),
    ("tshark_reads_the_export", &["curl", "tshark"], recording::tshark_reads_the_export),
    ("a_conversation_is_watched", &["curl", "script"], recording::a_conversation_is_watched),
    ("the_web_suites_against_nginx", &["nginx"], suites::nginx),
];

/// Told once, by the superuser: nobody else can start the other server.
const BY_THE_SUPERUSER: &[Story] = &[
    ("postfix_as_the_next_hop", &["postfix", "postconf"], postfix::as_the_next_hop),
    ("postfix_as_a_client", &["postfix", "postconf"], postfix::as_a_client),
    ("the_pop3_suites_against_dovecot", &["dovecot"], suites::dovecot),
    ("the_smtp_suites_against_postfix", &["postfix"], suites::postfix),
    ("the_ftp_suites_against_vsftpd", &["vsftpd"], suites::vsftpd),
];

fn main() {
    let mut trials = Vec::new();
    for family in [Family::V4, Family::V6] {
        for security in [Security::Plain, Security::Upgraded, Security::Implicit] {
            trials.extend(in_every_way(security, family));
        }
        trials.extend(in_each_family(family));
    }
    trials.extend(ONCE.iter().map(|(name, programs, story)| trial(*name, programs, Family::V4, story)));
    trials.extend(BY_THE_SUPERUSER.iter().map(|(name, programs, story)| superuser_trial(*name, programs, story)));
    if cfg!(target_os = "linux") {
        // All of 127.0.0.0/8 is this machine, and /proc tells of processes.
        trials.push(trial("strangers_at_a_passive_port", &["python3"], Family::V6, ftp::strangers_at_a_passive_port));
        trials.push(trial("a_vast_directory_is_listed", &["curl"], Family::V4, ftp::a_vast_directory_is_listed));
    }
    let odd = corpus::odd_messages_are_carried_as_they_are_and_shown;
    let odd = trial("odd_messages_are_carried_as_they_are_and_shown", &["python3"], Family::V4, odd);
    trials.push(odd.with_ignored_flag(corpus::messages().is_empty()));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn in_every_way(security: Security, family: Family) -> Vec<Trial> {
    let story = |name: &str, programs, told: fn(Security, Family)| {
        trial(format!("{name}_{}_{}", security.name(), family.name()), programs, family, move || told(security, family))
    };
    vec![
        story("from_ftp_to_web_and_cache", &["curl", "lftp", "python3"], files::from_ftp_to_web_and_cache),
        story("ftplib_does_everything", &["python3"], ftp::ftplib_does_everything),
        story("curl_by_ftp", &["curl"], ftp::curl_by_ftp),
        story("lftp_mirrors_in_parallel", &["lftp"], ftp::lftp_mirrors_in_parallel),
        story("a_picture_by_mail", &["python3"], mail::a_picture_by_mail),
        story("curl_fetches_mail", &["curl"], mail::curl_fetches_mail),
    ]
}

fn in_each_family(family: Family) -> Vec<Trial> {
    let story = |name: &str, programs, told: fn(Family)| trial(format!("{name}_{}", family.name()), programs, family, move || told(family));
    vec![
        story("tnftp_puts_and_gets", &["tnftp"], ftp::tnftp_puts_and_gets),
        story("perl_does_everything_by_ftp", &["perl"], ftp::perl_does_everything_by_ftp),
        story("a_client_with_windows", &["python3"], ftp::a_client_with_windows),
        story("the_smtp_dialogue_by_hand", &[], dialogues::smtp_by_hand),
        story("the_pop3_dialogue_by_hand", &[], dialogues::pop3_by_hand),
        story("the_http_request_by_hand", &[], dialogues::http_by_hand),
    ]
}
