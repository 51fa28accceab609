//! The list of messages: a page with a form that removes, JSON, or lines for a terminal.

use maud::{Markup, html};
use serde_json::json;

use super::{
    address::{MAILBOX, address},
    excerpt, plain,
    reading::{List, Row},
};
use crate::{
    store::mail::Flag,
    units::grouped,
    web::{audience::Audience, page, reply::Reply},
};

/// Longest name and subject in the list, in characters.
const SHOWN_CHARS: usize = 120;

pub(super) fn show(list: &Option<List>, audience: Audience, token: &str) -> Option<Reply> {
    let list = list.as_ref()?;
    let reply = match audience {
        Audience::Browser => page::reply(200, &format!("The mailbox of {}", list.account), as_page(list, token)),
        Audience::Program => Reply::text(200, "application/json", as_json(list, token)),
        Audience::Anybody => Reply::text(200, page::TEXT, as_text(list)),
    };
    Some(reply.with("Vary", "Accept"))
}

fn as_page(list: &List, token: &str) -> Markup {
    html! {
        p.lead { (grouped(list.messages as u64)) " messages, " (grouped(list.octets)) " octets. They came by " b { "SMTP" }
            ", lie in a Maildir on the server, and you read them by " b { "HTTP" } ". A mail program would fetch them by " b { "POP3" } "." }
        (pager(list))
        @if list.rows.is_empty() {
            p { "Nothing here. Send something: " code { "swaks --server localhost:8025 --to " (list.account) "@portico.test" } }
        } @else {
            form.plain action=(MAILBOX) method="post" {
                input type="hidden" name="token" value=(token);
                table.mails {
                    tr { th { "No." } th { "From" } th { "Subject" } th { "Date" } th.number { "Octets" } th { } }
                    @for row in &list.rows { (line(row)) }
                }
                button.less { "Delete what is marked" }
            }
        }
        (pager(list))
        p.quiet {
            "The numbers are those of POP3 at this moment. Looking changes nothing: a new message stays new. What is deleted here is "
            "gone there too, at once and for good; while a POP3 session has the mailbox locked, nothing can be deleted here."
        }
        p.quiet {
            "HTTP remembers nothing: your browser sends your name and password along with every request (" code { "Authorization: Basic" }
            "), and forgets them when you close it. Over plain HTTP anyone on the way could read them: elsewhere than on this machine "
            "this page is for https only. By hand: " code { "curl -u " (list.account) " http://localhost:8080" (MAILBOX) }
        }
    }
}

fn line(row: &Row) -> Markup {
    let [from, subject, date] = excerpt::summary(&row.summary).map(|text| excerpt::for_page(&text, SHOWN_CHARS));
    let is_new = row.flags.contains(&Flag::New);
    html! {
        tr.new[is_new] {
            td.number { (row.number) }
            td { bdi { (from) } }
            td { a href=(address(&row.facts.uid)) { bdi { (subject) } } @if is_new { " " span.quiet { "new" } } }
            td { (date) }
            td.number { (grouped(row.facts.octets)) }
            td { input type="checkbox" name="message" value=(row.facts.uid) aria-label={ "mark message " (row.number) }; }
        }
    }
}

fn pager(list: &List) -> Markup {
    let (page, pages) = (list.page, list.pages);
    html! {
        @if pages > 1 {
            p.quiet {
                @if page > 1 { a href={ (MAILBOX) "?page=" (page - 1) } { "newer" } " " }
                "page " (page) " of " (pages)
                @if page < pages { " " a href={ (MAILBOX) "?page=" (page + 1) } { "older" } }
            }
        }
    }
}

fn as_json(list: &List, token: &str) -> String {
    let row = |row: &Row| {
        json!({
            "number": row.number,
            "uid": row.facts.uid,
            "octets": row.facts.octets,
            "flags": row.flags,
            "from": row.summary.from,
            "subject": row.summary.subject,
            "date": row.summary.date,
            "address": address(&row.facts.uid),
        })
    };
    plain::json(&json!({
        "account": list.account,
        "messages": list.messages,
        "octets": list.octets,
        "page": list.page,
        "pages": list.pages,
        "token": token,
        "list": list.rows.iter().map(row).collect::<Vec<_>>(),
    }))
}

fn as_text(list: &List) -> String {
    let (page, pages) = (list.page, list.pages);
    let mut text = format!("The mailbox of {}: {} messages, {} octets\n", list.account, list.messages, list.octets);
    for row in &list.rows {
        let [from, subject, date] = excerpt::summary(&row.summary).map(|text| excerpt::for_terminal(&text, SHOWN_CHARS));
        let new = if row.flags.contains(&Flag::New) { "new, " } else { "" };
        text.push_str(&format!("\n{:>5}  {from}\n       {subject}\n", row.number));
        text.push_str(&format!("       {date}, {new}{} octets, {}\n", row.facts.octets, address(&row.facts.uid)));
    }
    if pages > 1 {
        let next = if page < pages { format!("; the next one: {MAILBOX}?page={}", page + 1) } else { String::new() };
        text.push_str(&format!("\nPage {page} of {pages}{next}\n"));
    }
    text
}
