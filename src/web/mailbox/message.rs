//! One message on a page: the envelope apart from the head, the head apart from the body, and the
//! body as a tree of parts with what is in them.

use maud::{Markup, html};

use super::{
    address::{MAILBOX, address},
    excerpt::{self, FIELD_CHARS, SHOWN_FIELDS, SHOWN_PARTS, for_page, legible},
    plain,
    reading::Message,
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

pub(super) fn show(message: &Message, audience: Audience, token: &str) -> Reply {
    let reply = match audience {
        Audience::Browser => page::with_policy(200, &for_page(message.subject(), TITLE_CHARS), as_page(message, token), POLICY),
        Audience::Program => Reply::text(200, "application/json", plain::as_json(message)),
        Audience::Anybody => Reply::text(200, page::TEXT, plain::as_text(message)),
    };
    reply.with("Vary", "Accept")
}

fn as_page(message: &Message, token: &str) -> Markup {
    let here = address(&message.facts.uid);
    html! {
        p.quiet {
            @if let Some(uid) = &message.newer { a href=(address(uid)) { "newer" } " " }
            a href=(MAILBOX) { "the mailbox of " (message.account) }
            @if let Some(uid) = &message.older { " " a href=(address(uid)) { "older" } }
        }
        p.lead {
            @if message.envelope().is_empty() { "It is one text: a " } @else { "It came by " b { "SMTP" } ", with an envelope. What came was one text: a " }
             b { "head" } ", an empty line, and a " b { "body" }
            ". You read it by " b { "HTTP" } "; POP3 would hand out the same " (grouped(message.facts.octets)) " octets."
        }
        (envelope(message))
        (way(message))
        (head(message))
        h2 { "The body" }
        (body(message, &here))
        (tree(message, &here))
        h2 { "The same, otherwise" }
        ul {
            li { a href={ (here) "/source" } { "The source" } ", octet for octet, as POP3 hands it out; "
                a href={ (here) "/source?as=file" } { "save it" } " for a mail program" }
            li { "By POP3: " code { "RETR " (message.number) } ", as long as no message before it goes. For ever it is "
                code { (message.facts.uid) } ", its unique id (UIDL)." }
            @if !message.flags.is_empty() {
                li { "Flags: " @for flag in &message.flags { (format!("{flag:?} ").to_lowercase()) } span.quiet { "(looking changes none)" } }
            }
        }
        form action=(MAILBOX) method="post" {
            input type="hidden" name="token" value=(token);
            input type="hidden" name="message" value=(message.facts.uid);
            button.less { "Delete this message" }
        }
    }
}

fn envelope(message: &Message) -> Markup {
    html! {
        h2 { "The envelope" }
        p.quiet { "What the SMTP commands " code { "MAIL FROM" } " and " code { "RCPT TO" } " said. It is no part of the message; on delivery "
            "the server noted it in front. Mail goes where the envelope says, whatever From and To claim." }
        @if message.envelope().is_empty() {
            p { "Nothing was noted: this message was put here by something else than SMTP." }
        } @else {
            (fields(message.envelope().iter()))
        }
    }
}

fn way(message: &Message) -> Markup {
    html! {
        @if message.trace().next().is_some() {
            h2 { "The way here" }
            p.quiet { "Each server puts a " code { "Received" } " line on top: read them from the last one up." }
            ol.trace { @for line in message.trace().take(SHOWN_FIELDS) { li { bdi { (for_page(line, FIELD_CHARS)) } } } }
        }
    }
}

fn head(message: &Message) -> Markup {
    html! {
        h2 { "The head" }
        p.quiet { "Written by the sender, and carried like any other text: nobody has checked it." }
        (fields(message.head().take(SHOWN_FIELDS)))
        @if message.head().nth(SHOWN_FIELDS).is_some() { p.quiet { "There are more fields; the source has all of them." } }
    }
}

fn fields<'a>(fields: impl Iterator<Item = &'a (String, String)>) -> Markup {
    html! {
        table.head { @for (name, value) in fields { tr { th { (for_page(name, FIELD_CHARS)) } td { bdi { (for_page(value, FIELD_CHARS)) } } } } }
    }
}

fn body(message: &Message, here: &str) -> Markup {
    let leaves = || message.parts().iter().filter(|part| !part.is_composite);
    html! {
        @if let Err(why) = &message.tree {
            p { "It is not taken apart: " (why) ". This is how it begins:" }
            pre dir="auto" { (legible(&excerpt::of_whole(message, why).text)) }
        }
        @for part in leaves().take(SHOWN_PARTS) { (one_part(message, part, here)) }
        @if leaves().nth(SHOWN_PARTS).is_some() { p.quiet { "There are more parts; the tree names them all." } }
    }
}

fn one_part(message: &Message, part: &Part, here: &str) -> Markup {
    let (there, name) = (part.address(here), part.file_name());
    html! {
        div.part {
            @if part.is_picture() {
                a href=(there) { img src=(there) alt=(name) loading="lazy"; }
                p.quiet { a href={ (there) "?as=file" } { (name) } ", an address of its own: your browser has asked for it separately." }
            } @else if part.is_readable() {
                (text(message, part, &there))
            } @else {
                p { a href={ (there) "?as=file" } { (name) } " " span.quiet { (for_page(&part.kind.media, FIELD_CHARS)) ", "
                    (grouped(message.size_of(part) as u64)) " octets, to be saved" } }
            }
        }
    }
}

fn text(message: &Message, part: &Part, there: &str) -> Markup {
    let shown = excerpt::of_part(message, part);
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

fn tree(message: &Message, here: &str) -> Markup {
    html! {
        @if !message.parts().is_empty() {
            h2 { "Its parts" }
            p.quiet { "SMTP was made for lines of ASCII. MIME makes pictures into such lines (base64), and one body out of several parts, "
                "with a boundary between them." }
            pre.tree {
                @for part in message.parts() {
                    ("   ".repeat(part.depth))
                    @let line = for_page(&excerpt::part_line(message, part), FIELD_CHARS);
                    @if part.number.is_empty() { (line) } @else { a href=(part.address(here)) { (line) } }
                    "\n"
                }
            }
        }
    }
}
