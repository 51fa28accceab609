//! The cookie page: the four parts that the textbook names, on one page.
//!
//! The response sets a cookie, the browser keeps it in its cookie file, every later request
//! brings it back, and the site's database knows what it stands for.

use maud::{Markup, html};
use rand::random;

use super::{
    Web,
    body::RequestBody,
    cookies,
    form::{pairs, urlencoded},
    page,
    reply::{Halt, Reply},
    request::{Request, VISITOR},
};
use crate::{
    http::validators::format_date,
    net::Conn,
    store::{StoreError, VirtualPath, blocking, visitors::Visitor},
};

/// The choices that the page offers.
const CHOICES: [(&str, &str); 2] = [("name", "Your name"), ("colour", "Your favourite colour")];

impl Web {
    /// Counts the visit, or welcomes a new visitor with a cookie.
    pub(super) async fn greet_visitor(&self, request: &Request) -> Result<Reply, Halt> {
        let visitors = self.deps.visitors.clone();
        let (shown, now) = (token(request), request.now);
        let counted = blocking(move || {
            if let Some(token) = shown
                && let Some(visitor) = visitors.visit(&token, now)?
            {
                return Ok((visitor, None));
            }
            let token = fresh_token();
            Ok((visitors.welcome(&token, now)?, Some(token)))
        });
        let (visitor, token) = counted.await.map_err(refusal)?;
        let reply = page::reply(200, "Visitors and cookies", render(&visitor, token.is_some())).with("Cache-Control", "no-store");
        Ok(with_cookie(request, reply, token))
    }

    /// Notes what the visitor chose and shows the page again (303: by GET, so that reloading it
    /// sends nothing twice). Who is not known yet becomes a visitor: "noted" must be true.
    pub(super) async fn note_choice(&self, conn: &mut Conn, request: &Request, body: &mut RequestBody) -> Result<Reply, Halt> {
        let octets = urlencoded(conn, request, body).await?;
        let visitors = self.deps.visitors.clone();
        let (shown, now) = (token(request), request.now);
        let noted = blocking(move || {
            let pairs = pairs(&octets);
            let known = pairs.iter().filter(|(name, _)| CHOICES.iter().any(|(choice, _)| choice == name));
            let choices: Vec<(&str, &str)> = known.map(|(name, value)| (name.as_str(), value.as_str())).collect();
            if let Some(token) = shown
                && visitors.choose(&token, &choices)?.is_some()
            {
                return Ok(None);
            }
            let token = fresh_token();
            visitors.welcome(&token, now)?;
            visitors.choose(&token, &choices)?;
            Ok(Some(token))
        });
        let token = noted.await.map_err(refusal)?;
        let reply = Reply::text(303, "text/plain; charset=utf-8", "Noted.\n".into()).with("Location", VISITOR);
        Ok(with_cookie(request, reply, token))
    }
}

/// Gives a new visitor the cookie.
fn with_cookie(request: &Request, reply: Reply, token: Option<String>) -> Reply {
    match token {
        Some(token) => reply.with_secret("Set-Cookie", &cookies::to_keep(cookie_name(request), &token, request.is_secure)),
        None => reply,
    }
}

/// Over TLS a name that browsers let nobody else set: no other host, no plain page.
fn cookie_name(request: &Request) -> &'static str {
    if request.is_secure { "__Host-visitor" } else { "visitor" }
}

fn token(request: &Request) -> Option<String> {
    cookies::value_of(&request.head.fields, cookie_name(request)).map(str::to_owned)
}

/// 128 random bits: nobody guesses another visitor's.
fn fresh_token() -> String {
    random::<[u8; 16]>().iter().map(|octet| format!("{octet:02x}")).collect()
}

fn refusal(error: StoreError) -> Halt {
    super::files::refusal(error, &VirtualPath::root()).into()
}

fn render(visitor: &Visitor, is_new: bool) -> Markup {
    html! {
        p.figure { "You are visitor " b { (visitor.number) } "." }
        p {
            @if is_new {
                "This is your first visit. The response to it carried a " code { "Set-Cookie" } " field; your browser will send it back."
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
        }
        h2 { "Tell it more" }
        form action=(VISITOR) method="post" {
            @for (name, label) in CHOICES {
                label { (label) " " input name=(name) maxlength="60" value=(visitor.choices.get(name).map_or("", String::as_str)); }
            }
            button { "Remember this" }
        }
        h2 { "The four parts of it" }
        ol {
            li { "The field " code { "Set-Cookie" } " in the response to your first request." }
            li { "The field " code { "Cookie" } " in each request after it." }
            li { "The cookie file that your browser keeps." }
            li { "The database of the site, with the row above." }
        }
        p.quiet { "The cookie itself holds nothing but a random token. Delete it, and you come back as somebody else." }
    }
}
