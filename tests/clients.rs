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

use libtest_mimic::Arguments;
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

fn main() {
    let mut trials = Vec::new();
    for family in [Family::V4, Family::V6] {
        for security in [Security::Plain, Security::Upgraded, Security::Implicit] {
            let name = |story: &str| format!("{story}_{}_{}", security.name(), family.name());
            trials.push(trial(name("from_ftp_to_web_and_cache"), &["curl", "lftp", "python3"], family, move || {
                files::from_ftp_to_web_and_cache(security, family);
            }));
            trials.push(trial(name("ftplib_does_everything"), &["python3"], family, move || ftp::ftplib_does_everything(security, family)));
            trials.push(trial(name("curl_by_ftp"), &["curl"], family, move || ftp::curl_by_ftp(security, family)));
            trials.push(trial(name("lftp_mirrors_in_parallel"), &["lftp"], family, move || {
                ftp::lftp_mirrors_in_parallel(security, family);
            }));
            trials.push(trial(name("a_picture_by_mail"), &["python3"], family, move || mail::a_picture_by_mail(security, family)));
            trials.push(trial(name("curl_fetches_mail"), &["curl"], family, move || mail::curl_fetches_mail(security, family)));
        }
        let name = |story: &str| format!("{story}_{}", family.name());
        trials.push(trial(name("tnftp_puts_and_gets"), &["tnftp"], family, move || ftp::tnftp_puts_and_gets(family)));
        trials.push(trial(name("perl_does_everything_by_ftp"), &["perl"], family, move || ftp::perl_does_everything_by_ftp(family)));
        trials.push(trial(name("a_client_with_windows"), &["python3"], family, move || ftp::a_client_with_windows(family)));
        trials.push(trial(name("the_smtp_dialogue_by_hand"), &[], family, move || dialogues::smtp_by_hand(family)));
        trials.push(trial(name("the_pop3_dialogue_by_hand"), &[], family, move || dialogues::pop3_by_hand(family)));
        trials.push(trial(name("the_http_request_by_hand"), &[], family, move || dialogues::http_by_hand(family)));
    }
    let v4 = Family::V4;
    trials.push(trial("a_broken_mailbox_holds_up_nobody_else", &[], v4, dialogues::a_broken_mailbox_holds_up_nobody_else));
    trials.push(trial("lftp_mirrors_a_folder_both_ways", &["lftp"], v4, files::lftp_mirrors));
    trials.push(superuser_trial("postfix_as_the_next_hop", &["postfix", "postconf"], postfix::as_the_next_hop));
    trials.push(superuser_trial("postfix_as_a_client", &["postfix", "postconf"], postfix::as_a_client));
    trials.push(trial("ncftp_puts_and_gets", &["ncftpput", "ncftpget", "ncftpls"], v4, ftp::ncftp_puts_and_gets));
    trials.push(trial("lftp_does_not_wait_for_what_is_not_there", &["lftp"], v4, ftp::lftp_does_not_wait_for_what_is_not_there));
    trials.push(trial("wget_fetches_a_tree_by_ftp", &["wget"], v4, ftp::wget_fetches_a_tree_by_ftp));
    if cfg!(target_os = "linux") {
        // All of 127.0.0.0/8 is this machine, and /proc tells of processes.
        trials.push(trial("strangers_at_a_passive_port", &["python3"], Family::V6, ftp::strangers_at_a_passive_port));
        trials.push(trial("a_vast_directory_is_listed", &["curl"], v4, ftp::a_vast_directory_is_listed));
    }
    trials.push(trial("sessions_are_resumed", &["python3", "curl", "lftp"], v4, ftp::sessions_are_resumed));
    trials.push(trial("curl_puts_and_deletes_over_http", &["curl"], v4, files::curl_puts_and_deletes));
    trials.push(trial("compressed_for_curl_and_wget", &["curl", "wget"], v4, web::compressed_for_curl_and_wget));
    trials.push(trial("the_access_log_is_rotated", &["curl"], v4, web::the_access_log_is_rotated));
    trials.push(trial("swaks_sends_and_curl_reads", &["swaks", "curl"], v4, mailbox::swaks_sends_and_curl_reads));
    trials.push(trial(
        "chromium_does_nothing_that_a_message_says",
        &["chromium", "curl"],
        v4,
        mailbox::chromium_does_nothing_that_a_message_says,
    ));
    trials.push(trial("chromium_deletes_by_the_form", &["chromium", "curl"], v4, mailbox::chromium_deletes_by_the_form));
    trials.push(trial("curl_logs_in_to_the_proxy", &["curl"], v4, proxy::curl_logs_in_to_the_proxy));
    trials.push(trial("curl_fetches_ftp_through_the_proxy", &["curl"], v4, proxy::curl_fetches_ftp_through_the_proxy));
    trials.push(trial(
        "curl_gets_compressed_responses_from_the_proxy",
        &["curl"],
        v4,
        proxy::curl_gets_compressed_responses_from_the_proxy,
    ));
    trials.push(trial("curl_uploads_through_the_proxy", &["curl"], v4, proxy::curl_uploads_through_the_proxy));
    trials.push(trial("fetchmail_keeps_and_deletes", &["fetchmail"], v4, mail::fetchmail_keeps_and_deletes));
    trials.push(trial("mpop_keeps_and_deletes", &["mpop"], v4, mail::mpop_keeps_and_deletes));
    trials.push(trial("getmail_keeps_and_deletes", &["getmail"], v4, fetching::getmail_keeps_and_deletes));
    trials.push(trial("mutt_deletes_what_was_tagged", &["mutt", "script"], v4, fetching::mutt_deletes_what_was_tagged));
    trials.push(trial("two_thousand_messages_by_poplib", &["python3"], v4, fetching::two_thousand_messages_by_poplib));
    trials.push(trial("swaks_and_msmtp_submit", &["swaks", "msmtp"], v4, mail::swaks_and_msmtp_submit));
    trials.push(trial("swaks_attaches", &["swaks", "curl"], v4, sending::swaks_attaches));
    trials.push(trial("s_nail_attaches", &["s-nail", "curl"], v4, sending::s_nail_attaches));
    trials.push(trial("mutt_attaches", &["mutt", "curl"], v4, sending::mutt_attaches));
    trials.push(trial("curl_attaches", &["curl"], v4, sending::curl_attaches));
    trials.push(trial("msmtp_sends_what_portico_wrote", &["msmtp", "curl"], v4, sending::msmtp_sends_what_portico_wrote));
    trials.push(trial("portico_sends", &["curl"], v4, sending::portico_sends));
    trials.push(trial("smtplib_attaches", &["python3", "curl"], v4, sending::smtplib_attaches));
    trials.push(trial("smtplib_sends_utf8_addresses", &["python3", "curl"], v4, sending::smtplib_sends_utf8_addresses));
    let corpus =
        trial("odd_messages_are_carried_as_they_are_and_shown", &["python3"], v4, corpus::odd_messages_are_carried_as_they_are_and_shown);
    trials.push(corpus.with_ignored_flag(corpus::messages().is_empty()));
    trials.push(trial("curl_asks_for_changes_only", &["curl"], v4, downloads::curl_asks_for_changes_only));
    trials.push(trial("downloads_go_on_where_they_broke_off", &["curl", "wget"], v4, downloads::downloads_go_on_where_they_broke_off));
    trials.push(trial("curl_uploads_in_every_way", &["curl"], v4, downloads::curl_uploads_in_every_way));
    trials.push(trial("wget_keeps_a_copy_of_the_site", &["wget"], v4, downloads::wget_keeps_a_copy_of_the_site));
    trials.push(trial("lftp_fetches_in_pieces", &["lftp"], v4, downloads::lftp_fetches_in_pieces));
    trials.push(trial("python_keeps_one_connection", &["python3"], v4, downloads::python_keeps_one_connection));
    trials.push(trial("curl_is_recorded_and_played_again", &["curl"], v4, recording::curl_is_recorded_and_played_again));
    trials.push(trial("swaks_is_recorded_and_played_again", &["swaks"], v4, recording::swaks_is_recorded_and_played_again));
    trials.push(trial("lftp_is_recorded_and_played_again", &["lftp", "curl"], v4, recording::lftp_is_recorded_and_played_again));
    trials.push(trial("own_recordings_are_compared", &["curl"], v4, recording::own_recordings_are_compared));
    trials.push(trial("tshark_reads_the_export", &["curl", "tshark"], v4, recording::tshark_reads_the_export));
    trials.push(trial("a_conversation_is_watched", &["curl", "script"], v4, recording::a_conversation_is_watched));
    trials.push(trial("the_web_suites_against_nginx", &["nginx"], v4, suites::nginx));
    trials.push(superuser_trial("the_pop3_suites_against_dovecot", &["dovecot"], suites::dovecot));
    trials.push(superuser_trial("the_smtp_suites_against_postfix", &["postfix"], suites::postfix));
    trials.push(superuser_trial("the_ftp_suites_against_vsftpd", &["vsftpd"], suites::vsftpd));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
