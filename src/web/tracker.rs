//! A third party that follows a visitor from site to site, as the textbook's page on cookies and
//! privacy tells.
//!
//! `/tracker/site` is a page of whichever site it is asked for under: a school, a shop. It embeds
//! a banner from `ads.tracker.test`. With the banner comes the tracker's own cookie, and with every
//! further banner, on any site, the browser sends it back together with the page that it is for.
//! All names lead to this one server; only the browser's rules keep them apart.

use maud::{Markup, PreEscaped, html};
use serde_json::json;

use super::{
    Web,
    audience::Audience,
    cookies::{self, SameSite},
    form, page,
    reply::{Halt, Reply},
    request::Request,
    visitor,
};
use crate::{
    http::{target::split_authority, validators::format_date},
    store::{
        blocking,
        visitors::{Met, Realm, Visitor},
    },
};

/// The tracker's name in the lab: a name under which none of the sites is known.
const HOST: &str = "ads.tracker.test";
const HOME: &str = "/tracker/";
const SITE: &str = "/tracker/site";
const BANNER: &str = "/tracker/banner.svg";

/// What the tracker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tracker {
    /// Whom it knows, and what about them.
    Profile,
    /// A page of a site that embeds the banner.
    Site,
    /// What is embedded.
    Banner,
}

/// What is there at a path.
pub(super) fn find(path: &str) -> Option<Tracker> {
    match path {
        HOME | "/tracker" => Some(Tracker::Profile),
        SITE => Some(Tracker::Site),
        BANNER => Some(Tracker::Banner),
        _ => None,
    }
}

impl Web {
    pub(super) async fn track(&self, request: &Request, what: Tracker) -> Result<Reply, Halt> {
        self.check_lab(request)?;
        match what {
            Tracker::Profile => self.show_profile(request).await,
            Tracker::Site => Ok(show_site(request)),
            Tracker::Banner => self.show_banner(request).await,
        }
    }

    async fn show_profile(&self, request: &Request) -> Result<Reply, Halt> {
        let visitors = self.deps.visitors.clone();
        let token = shown_token(request);
        let known = blocking(move || token.map_or(Ok(None), |token| visitors.look(Realm::Tracker, &token)));
        let known = known.await.map_err(visitor::refusal)?;
        let reply = match request.audience() {
            Audience::Browser => page::reply(200, "The tracker", profile(request, known.as_ref())),
            _ => Reply::text(200, "application/json", as_json(known.as_ref())),
        };
        Ok(reply.with("Cache-Control", "no-store").with("Vary", "Accept"))
    }

    /// The banner, and what it is for: the note of who saw it where.
    async fn show_banner(&self, request: &Request) -> Result<Reply, Halt> {
        let visitors = self.deps.visitors.clone();
        let (site, seen) = seen_at(request);
        let (shown, now, fresh) = (shown_token(request), request.now, cookies::fresh_token());
        let met = blocking(move || {
            let mut note = |visitor: &mut Visitor| {
                visitor.count_visit();
                visitor.sight(now, &site, &seen);
            };
            let met = visitors.meet(Realm::Tracker, shown.as_deref(), &fresh, now, &mut note)?;
            Ok((met, fresh))
        });
        let (met, fresh) = met.await.map_err(visitor::refusal)?;
        let reply = Reply::text(200, "image/svg+xml", banner(&met)).with("Cache-Control", "no-store");
        // Pages of other sites may show it: that is its trade.
        let reply = reply.with("Cross-Origin-Resource-Policy", "cross-origin").with("Content-Security-Policy", page::SANDBOX);
        if !met.is_new {
            return Ok(reply);
        }
        let same_site = if request.is_secure { SameSite::None } else { SameSite::Unsaid };
        let cookie = cookies::to_keep(cookie_name(request), &fresh, "/tracker", same_site, request.is_secure);
        Ok(reply.with_secret("Set-Cookie", &cookie))
    }
}

fn cookie_name(request: &Request) -> &'static str {
    if request.is_secure { "__Secure-tracker" } else { "tracker" }
}

fn shown_token(request: &Request) -> Option<String> {
    cookies::value_of(&request.head.fields, cookie_name(request)).map(str::to_owned)
}

/// Which site's page the banner is on. Browsers tell the site in Referer; the page stands in the
/// banner's address, since they tell no more than the site to others (Referrer Policy).
fn seen_at(request: &Request) -> (String, String) {
    let referer = request.head.fields.text("referer").unwrap_or_default();
    let site = referer.split_once("://").map_or("", |(_, rest)| rest).split(['/', '?']).next().unwrap_or_default();
    let asked = form::pairs(request.head.target.query().unwrap_or_default().as_bytes());
    let page = asked.into_iter().find(|(name, _)| name == "page").map(|(_, page)| page);
    let or_unknown = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
    (or_unknown(site), page.unwrap_or_else(|| "unknown".into()))
}

/// The sites, by the first label that says something, and their pages.
const SITES: [(&str, &str, [&str; 3]); 3] = [
    ("someschool", "Some school", ["timetable", "exams", "canteen"]),
    ("shop", "The shop", ["shoes", "books", "medicine"]),
    ("", "Some site", ["news", "weather", "sports"]),
];

fn show_site(request: &Request) -> Reply {
    let host = request.host();
    let (_, title, pages) = SITES.iter().find(|(label, ..)| host.contains(label)).unwrap_or(&SITES[2]);
    let asked = form::pairs(request.head.target.query().unwrap_or_default().as_bytes());
    let here = asked.iter().find(|(name, _)| name == "page").map(|(_, page)| page.as_str());
    let here = pages.iter().find(|page| here == Some(**page)).copied().unwrap_or("home");
    let tracker = at_host(request, HOST);
    let content = html! {
        p.lead { "A page of " b { (host) } ": " (here) "." }
        p { @for page in pages { a href={ (SITE) "?page=" (page) } { (page) } " " } }
        figure.banner {
            a href={ (tracker) (HOME) } { img src={ (tracker) (BANNER) "?page=" (here) } width="468" height="60" alt="An advertisement"; }
            figcaption.quiet { "This banner comes from " (HOST) ". Your browser asked for it by itself, and told who it is for." }
        }
        p { "Go on to " @for other in ["www.someschool.test", "www.shop.test"] { a href={ (at_host(request, other)) (SITE) } { (other) } " " }
            " and then see " a href={ (tracker) (HOME) } { "what the tracker knows" } "." }
    };
    let policy = format!("default-src 'none'; style-src 'unsafe-inline'; img-src {tracker}; frame-ancestors 'none'");
    page::with_policy(200, title, content, &policy).with("Cache-Control", "no-store")
}

/// `http://host:port` of another name of this server, at the port that was asked for.
fn at_host(request: &Request, host: &str) -> String {
    let scheme = if request.is_secure { "https" } else { "http" };
    match split_authority(request.host().as_bytes()) {
        Some((_, Some(port))) => format!("{scheme}://{host}:{port}"),
        _ => format!("{scheme}://{host}"),
    }
}

fn banner(met: &Met) -> String {
    let visitor = &met.visitor;
    let text = match met.is_new {
        true => format!("Hello, stranger. You are number {} now.", visitor.number),
        false => format!("Hello again, number {}. Banner {} for you.", visitor.number, visitor.visits),
    };
    let svg = html! {
        svg xmlns="http://www.w3.org/2000/svg" width="468" height="60" viewBox="0 0 468 60" {
            rect width="468" height="60" rx="6" fill="#9c4a2f" {}
            text x="234" y="36" text-anchor="middle" font-family="Georgia, serif" font-size="18" fill="#faf6ef" { (text) }
        }
    };
    svg.into_string()
}

fn as_json(known: Option<&Visitor>) -> String {
    let value = known.map(|visitor| {
        let sightings: Vec<_> =
            visitor.sightings.iter().map(|seen| json!({"at": format_date(seen.at), "site": seen.site, "page": seen.page})).collect();
        json!({"number": visitor.number, "banners": visitor.visits, "sightings": sightings})
    });
    format!("{:#}\n", json!({ "known": value }))
}

fn profile(request: &Request, known: Option<&Visitor>) -> Markup {
    html! {
        @match known {
            Some(visitor) => {
                p.figure { "You are number " b { (visitor.number) } "." }
                p { "You never came to this site, yet it has a row about you: " (visitor.visits) " banners, on these pages." }
                table {
                    tr { th { "When" } th { "Site" } th { "Page" } }
                    @for seen in visitor.sightings.iter().rev() {
                        tr { td { (format_date(seen.at)) } td { (seen.site) } td { (seen.page) } }
                    }
                }
            }
            None => {
                p.figure { "The tracker does not know you." }
                p { "Your browser has sent no cookie of its own along with this request. Look at "
                    a href={ (at_host(request, "www.someschool.test")) (SITE) } { "a page of the school" } " and "
                    a href={ (at_host(request, "www.shop.test")) (SITE) } { "one of the shop" } ", then come back." }
            }
        }
        (PreEscaped(EXPLANATION))
    }
}

const EXPLANATION: &str = include_str!("tracker.html");
