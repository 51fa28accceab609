//! The cookie page: the four parts that the textbook names, on one page.
//!
//! The response sets a cookie, the browser keeps it in its cookie file, every later request
//! brings it back, and the site's database knows what it stands for: how often the visitor came,
//! what the visitor chose, what lies in the basket.

use maud::{Markup, html};
use serde_json::json;

use super::{
    Web,
    audience::Audience,
    body::RequestBody,
    cookies::{self, SameSite},
    files, form, page,
    reply::{Halt, Reply},
    request::{Request, VISITOR},
};
use crate::{
    http::validators::format_date,
    net::{Conn, escape::escape},
    store::{
        StoreError, VirtualPath, blocking,
        visitors::{Met, Realm, Visitor},
    },
};

/// The choices that the page offers.
const CHOICES: [(&str, &str); 2] = [("name", "Your name"), ("colour", "Your favourite colour")];
/// What can be put into the basket.
const GOODS: [(&str, &str); 5] =
    [("hamburger", "Hamburger"), ("ketchup", "Ketchup"), ("pickles", "Pickles"), ("bananas", "Bananas"), ("textbook", "A textbook")];

impl Web {
    /// Counts the visit, or welcomes a new visitor with a cookie.
    pub(super) async fn greet_visitor(&self, request: &Request) -> Result<Reply, Halt> {
        let (met, token) = self.meet_visitor(request, Visitor::count_visit).await?;
        let reply = match request.audience() {
            Audience::Browser => page::reply(200, "Visitors and cookies", render(&met)),
            Audience::Program => Reply::text(200, "application/json", as_json(&met)),
            Audience::Anybody => Reply::text(200, page::TEXT, as_text(&met)),
        };
        Ok(with_cookie(request, reply.with("Cache-Control", "no-store").with("Vary", "Accept"), token))
    }

    /// Notes what the visitor chose and shows the page again (303: by GET, so that reloading it
    /// sends nothing twice). Who is not known yet becomes a visitor: "noted" must be true.
    pub(super) async fn note_choice(&self, conn: &mut Conn, request: &Request, body: &mut RequestBody) -> Result<Reply, Halt> {
        let octets = form::urlencoded(conn, request, body).await?;
        let pairs = form::pairs(&octets);
        let (_, token) = self.meet_visitor(request, move |visitor| note(visitor, &pairs)).await?;
        let reply = Reply::text(303, page::TEXT, "Noted.\n".into()).with("Location", VISITOR);
        Ok(with_cookie(request, reply, token))
    }

    /// Answers with a token where the visitor is new.
    async fn meet_visitor(&self, request: &Request, change: impl Fn(&mut Visitor) + Send + 'static) -> Result<(Met, Option<String>), Halt> {
        let visitors = self.deps.visitors.clone();
        let shown = cookies::value_of(&request.head.fields, cookie_name(request)).map(str::to_owned);
        let (now, fresh) = (request.now, cookies::fresh_token());
        let met = blocking(move || {
            let met = visitors.meet(Realm::Site, shown.as_deref(), &fresh, now, &mut |visitor| change(visitor))?;
            let token = met.is_new.then_some(fresh);
            Ok((met, token))
        });
        met.await.map_err(refusal)
    }
}

/// What a form of the page says. Anything else in it means nothing.
fn note(visitor: &mut Visitor, pairs: &[(String, String)]) {
    // Who begins with the form has been here for the first time all the same.
    visitor.visits = visitor.visits.max(1);
    for (name, value) in pairs {
        let is_goods = GOODS.iter().any(|(item, _)| item == value);
        match name.as_str() {
            "add" if is_goods => visitor.put(value),
            "remove" => visitor.take(value),
            _ if CHOICES.iter().any(|(choice, _)| choice == name) => visitor.choose(name, value),
            _ => {}
        }
    }
}

/// Gives a new visitor the cookie. Other sites' pages don't send it (SameSite), so that no form of
/// theirs fills the basket here.
fn with_cookie(request: &Request, reply: Reply, token: Option<String>) -> Reply {
    match token {
        Some(token) => {
            reply.with_secret("Set-Cookie", &cookies::to_keep(cookie_name(request), &token, "/", SameSite::Lax, request.is_secure))
        }
        None => reply,
    }
}

/// Over TLS a name that browsers let nobody else set: no other host, no plain page.
fn cookie_name(request: &Request) -> &'static str {
    if request.is_secure { "__Host-visitor" } else { "visitor" }
}

pub(super) fn refusal(error: StoreError) -> Halt {
    files::refusal(error, &VirtualPath::root()).into()
}

fn as_json(met: &Met) -> String {
    let visitor = &met.visitor;
    let value = json!({
        "visitor": visitor.number,
        "visits": visitor.visits,
        "first": format_date(visitor.first),
        "last": format_date(visitor.last),
        "choices": visitor.choices,
        "basket": visitor.basket,
    });
    format!("{value:#}\n")
}

fn as_text(met: &Met) -> String {
    let visitor = &met.visitor;
    let mut text = format!("You are visitor {}. This is visit number {}.\n", visitor.number, visitor.visits);
    for (name, value) in &visitor.choices {
        text.push_str(&format!("{name}: {}\n", escape(value)));
    }
    for (item, pieces) in &visitor.basket {
        text.push_str(&format!("in the basket: {pieces} {item}\n"));
    }
    text
}

fn render(met: &Met) -> Markup {
    let visitor = &met.visitor;
    html! {
        p.figure { "You are visitor " b { (visitor.number) } "." }
        p {
            @if met.is_new {
                "This is your first visit. The response to it carried a " code { "Set-Cookie" } " field; your browser will send it back. "
                a href=(VISITOR) { "Come again" } " to see that."
            } @else {
                "This is visit number " b { (visitor.visits) } ". Your browser sent its cookie along, and so the site knew you again."
            }
        }
        h2 { "Your row in the site's database" }
        table {
            tr { th { "visitor" } td { (visitor.number) } }
            tr { th { "visits" } td { (visitor.visits) } }
            tr { th { "first visit" } td { (format_date(visitor.first)) } }
            tr { th { "last visit" } td { (format_date(visitor.last)) } }
            @for (name, value) in &visitor.choices { tr { th { (name) } td { (value) } } }
            @for (item, pieces) in &visitor.basket { tr { th { "in the basket" } td { (pieces) " " (item) } } }
        }
        h2 { "Tell it more" }
        form action=(VISITOR) method="post" {
            @for (name, label) in CHOICES {
                label { (label) " " input name=(name) maxlength="60" value=(visitor.choices.get(name).map_or("", String::as_str)); }
            }
            button { "Remember this" }
        }
        h2 { "Your basket" }
        (basket(visitor))
        (four_parts())
    }
}

fn basket(visitor: &Visitor) -> Markup {
    html! {
        form action=(VISITOR) method="post" {
            @for (item, label) in GOODS { button name="add" value=(item) { "+ " (label) } }
        }
        @if !visitor.basket.is_empty() {
            form action=(VISITOR) method="post" {
                @for item in visitor.basket.keys() { button.less name="remove" value=(item) { "− " (item) } }
            }
        }
    }
}

fn four_parts() -> Markup {
    html! {
        h2 { "The four parts of it" }
        ol {
            li { b { "In the response" } " to your first request: the field " code { "Set-Cookie" } "." }
            li { b { "In each request" } " after it: the field " code { "Cookie" } "." }
            li { b { "In your browser:" } " the cookie file, where it lies until it is a year old." }
            li { b { "On the site:" } " the database, with the row above. It is on the server's disk before you see this page: "
                "kill the server, start it again, and it still knows you." }
        }
        p { "HTTP itself remembers nothing between two requests. See the fields for yourself:" }
        pre { "curl -i -c jar.txt http://localhost:8080/visitor\ncurl -i -b jar.txt http://localhost:8080/visitor\ncat jar.txt" }
        p.quiet {
            "The cookie itself holds nothing but a random token: delete it, and you come back as somebody else. "
            code { "HttpOnly" } " hides it from scripts, " code { "SameSite=Lax" } " keeps it out of the requests that other sites' pages make. "
            a href="/tracker/" { "Those who want to follow you" } " don't set that."
        }
    }
}
