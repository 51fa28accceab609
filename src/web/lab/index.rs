//! What there is to see, for people as a page, for programs as a list.

use maud::html;
use serde_json::json;

use super::{
    call::{Act, Call, json},
    table::{Exhibit, TABLE},
};
use crate::{
    http::Fault,
    web::{audience::Audience, page, reply::Reply},
};

pub(super) fn index(call: &Call) -> Result<Act, Fault> {
    let reply = match call.request.audience() {
        Audience::Browser => for_people(call),
        Audience::Program => for_programs(call),
        Audience::Anybody => as_text(call),
    };
    Ok(reply.with("Vary", "Accept").into())
}

/// The groups in their order, each with its exhibits.
fn groups() -> impl Iterator<Item = (&'static str, impl Iterator<Item = &'static Exhibit>)> {
    let mut names: Vec<&str> = TABLE.iter().map(|exhibit| exhibit.group).filter(|group| !group.is_empty()).collect();
    names.dedup();
    names.into_iter().map(|group| (group, TABLE.iter().filter(move |exhibit| exhibit.group == group)))
}

fn for_people(call: &Call) -> Reply {
    let site = call.site();
    let content = html! {
        p.lead { "Addresses that answer as you wish: to test a client, a proxy, or your own understanding of HTTP." }
        p { "A browser gets pages, everything else gets JSON. " a href="/lab/form" { "The form" } " shows what browsers send, "
            a href="/lab/mail/" { "the mailbox" } " what mail has come for you, "
            a href="/visitor" { "the cookie page" } " who you are, and " a href="/tracker/" { "the tracker" } " who else knows." }
        @for (group, exhibits) in groups() {
            h2 { (group) }
            dl.exhibits {
                @for exhibit in exhibits {
                    dt { @if exhibit.allows("GET") { a href={ "/lab/" (exhibit.address()) } { (exhibit.title()) } } @else { (exhibit.title()) } }
                    dd { (exhibit.says) code { (exhibit.command(&site)) } }
                }
            }
        }
    };
    page::reply(200, "The lab", content)
}

fn for_programs(call: &Call) -> Reply {
    let site = call.site();
    let exhibits = groups().flat_map(|(_, exhibits)| exhibits).map(|exhibit| {
        json!({
            "address": exhibit.title(),
            "methods": exhibit.methods.split(", ").collect::<Vec<_>>(),
            "says": exhibit.says,
            "example": exhibit.command(&site),
        })
    });
    Reply::text(200, "application/json", json(&exhibits.collect()))
}

fn as_text(call: &Call) -> Reply {
    let site = call.site();
    let mut text = String::from("The lab: addresses that answer as you wish.\n");
    for (group, exhibits) in groups() {
        text.push_str(&format!("\n{group}\n"));
        for exhibit in exhibits {
            text.push_str(&format!("\n  {}\n    {}\n    {}\n", exhibit.title(), exhibit.says, exhibit.command(&site)));
        }
    }
    Reply::text(200, page::TEXT, text)
}
