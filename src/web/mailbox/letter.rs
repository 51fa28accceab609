//! One message on a page: the envelope apart from the head, the head apart from the body, and the
//! body as a tree of parts with what is in them.

use maud::{Markup, html};

use super::{
    MAILBOX, address,
    brief::{self, FIELD_CHARS, SHOWN_FIELDS, SHOWN_PARTS, short},
    look::Letter,
};
use crate::{
    mail::mime::tree::Part,
    units::grouped,
    web::{audience::Audience, page, reply::Reply},
};

/// Pictures and frames come from this server; everything else is in the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// Longest subject on top of the page, in characters.
const TITLE_CHARS: usize = 200;

pub(super) fn show(letter: &Letter, audience: Audience, token: &str) -> Reply {
    let reply = match audience {
        Audience::Browser => page::with_policy(200, &short(letter.subject(), TITLE_CHARS), as_page(letter, token), POLICY),
        Audience::Program => Reply::text(200, "application/json", brief::as_json(letter)),
        Audience::Anybody => Reply::text(200, page::TEXT, brief::as_text(letter)),
    };
    reply.with("Vary", "Accept")
}

fn as_page(letter: &Letter, token: &str) -> Markup {
    let here = address(&letter.facts.uid);
    html! {
        p.quiet {
            @if let Some(uid) = &letter.newer { a href=(address(uid)) { "newer" } " " }
            a href=(MAILBOX) { "the mailbox of " (letter.account) }
            @if let Some(uid) = &letter.older { " " a href=(address(uid)) { "older" } }
        }
        p.lead {
            @if letter.envelope().is_empty() { "It is one text: a " } @else { "It came by " b { "SMTP" } ", with an envelope. What came was one text: a " }
             b { "head" } ", an empty line, and a " b { "body" }
            ". You read it by " b { "HTTP" } "; POP3 would hand out the same " (grouped(letter.facts.octets)) " octets."
        }
        (envelope(letter))
        (way(letter))
        (head(letter))
        h2 { "The body" }
        (body(letter, &here))
        (tree(letter, &here))
        h2 { "The same, otherwise" }
        ul {
            li { a href={ (here) "/source" } { "The source" } ", octet for octet, as POP3 hands it out; "
                a href={ (here) "/source?as=file" } { "save it" } " for a mail program" }
            li { "By POP3: " code { "RETR " (letter.number) } ", as long as no message before it goes. For ever it is "
                code { (letter.facts.uid) } ", its unique id (UIDL)." }
            @if !letter.flags.is_empty() {
                li { "Flags: " @for flag in &letter.flags { (format!("{flag:?} ").to_lowercase()) } span.quiet { "(looking changes none)" } }
            }
        }
        form action=(MAILBOX) method="post" {
            input type="hidden" name="token" value=(token);
            input type="hidden" name="message" value=(letter.facts.uid);
            button.less { "Delete this message" }
        }
    }
}

fn envelope(letter: &Letter) -> Markup {
    html! {
        h2 { "The envelope" }
        p.quiet { "What the SMTP commands " code { "MAIL FROM" } " and " code { "RCPT TO" } " said. It is no part of the message; on delivery "
            "the server noted it in front. Mail goes where the envelope says, whatever From and To claim." }
        @if letter.envelope().is_empty() {
            p { "Nothing was noted: this message was put here by something else than SMTP." }
        } @else {
            (fields(letter.envelope().iter()))
        }
    }
}

fn way(letter: &Letter) -> Markup {
    html! {
        @if letter.trace().next().is_some() {
            h2 { "The way here" }
            p.quiet { "Each server puts a " code { "Received" } " line on top: read them from the last one up." }
            ol.trace { @for line in letter.trace().take(SHOWN_FIELDS) { li { bdi { (short(line, FIELD_CHARS)) } } } }
        }
    }
}

fn head(letter: &Letter) -> Markup {
    html! {
        h2 { "The head" }
        p.quiet { "Written by the sender, and carried like any other text: nobody has checked it." }
        (fields(letter.head().take(SHOWN_FIELDS)))
        @if letter.head().nth(SHOWN_FIELDS).is_some() { p.quiet { "There are more fields; the source has all of them." } }
    }
}

fn fields<'a>(fields: impl Iterator<Item = &'a (String, String)>) -> Markup {
    html! {
        table.head { @for (name, value) in fields { tr { th { (short(name, FIELD_CHARS)) } td { bdi { (short(value, FIELD_CHARS)) } } } } }
    }
}

fn body(letter: &Letter, here: &str) -> Markup {
    let leaves = || letter.parts().iter().filter(|part| !part.is_composite);
    html! {
        @if let Err(why) = &letter.tree {
            p { "It is not taken apart: " (why) ". This is how it begins:" }
            pre dir="auto" { (legible(&String::from_utf8_lossy(brief::bounded(letter.body())))) }
        }
        @for part in leaves().take(SHOWN_PARTS) { (one_part(letter, part, here)) }
        @if leaves().nth(SHOWN_PARTS).is_some() { p.quiet { "There are more parts; the tree names them all." } }
    }
}

fn one_part(letter: &Letter, part: &Part, here: &str) -> Markup {
    let (there, name) = (part.address(here), part.file_name());
    html! {
        div.part {
            @if part.is_picture() {
                a href=(there) { img src=(there) alt=(name) loading="lazy"; }
                p.quiet { a href={ (there) "?as=file" } { (name) } ", an address of its own: your browser has asked for it separately." }
            } @else if part.is_readable() {
                (text(letter, part, &there))
            } @else {
                p { a href={ (there) "?as=file" } { (name) } " " span.quiet { (short(&part.kind.media, FIELD_CHARS)) ", "
                    (grouped(letter.size_of(part) as u64)) " octets, to be saved" } }
            }
        }
    }
}

fn text(letter: &Letter, part: &Part, there: &str) -> Markup {
    let shown = brief::readable(letter, part);
    html! {
        @if part.is_html() { p.quiet { "HTML, without its tags:" } }
        pre dir="auto" { (legible(&shown.text)) }
        @if let Some(more) = shown.more { p.quiet { (more) ": " a href=(there) { "part " (part.number) } } }
        @if part.is_html() {
            // Lazy, and closed: nothing is fetched before somebody wants to see it.
            details {
                summary { "As its author laid it out, in a sandbox: no scripts, no forms, nothing of other servers" }
                iframe id={ "part-" (part.number) } src={ (there) "?as=page" } sandbox="" loading="lazy" referrerpolicy="no-referrer" title={ "part " (part.number) } {}
            }
            p.quiet { a href=(there) { "Its tags" } " " a href={ (there) "?as=page" } { "the sandbox by itself" } }
        }
    }
}

fn tree(letter: &Letter, here: &str) -> Markup {
    html! {
        @if !letter.parts().is_empty() {
            h2 { "Its parts" }
            p.quiet { "SMTP was made for lines of ASCII. MIME makes pictures into such lines (base64), and one body out of several parts, "
                "with a boundary between them." }
            pre.tree {
                @for part in letter.parts() {
                    ("   ".repeat(part.depth))
                    @let line = short(&brief::describe(letter, part), FIELD_CHARS);
                    @if part.number.is_empty() { (line) } @else { a href=(part.address(here)) { (line) } }
                    "\n"
                }
            }
        }
    }
}

fn legible(text: &str) -> String {
    text.chars().map(brief::visible).collect()
}
