//! GET and HEAD of folders: their index page, else their listing.

use tokio::sync::Semaphore;

use super::{
    Web, answer, files,
    listing::{self, Format, Listed, Wish},
    page,
    reply::{Body, Halt, Reply},
    request::Request,
};
use crate::{
    http::{
        Fault,
        coding::{Accepted, Coding, Effort},
        validators::{self, EntityTag, Validators, Verdict},
    },
    store::{StoreError, VirtualPath, blocking},
};

/// What a folder shows in place of its listing.
const INDEX: &str = "index.html";
/// Folders that are listed at the same time. One with 100,000 entries takes 30 MB and a good part of
/// a second; further requests wait their turn, and no reactor waits with them.
const LISTINGS: usize = 4;

/// Whose turn it is to list a folder.
pub(super) struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Turns {
        Turns(Semaphore::new(LISTINGS))
    }
}

/// A listing as it is sent.
struct Made {
    octets: Vec<u8>,
    format: Format,
    coding: Option<Coding>,
    tag: EntityTag,
    /// Other pages of the same listing, for `Link`.
    links: Option<String>,
}

impl Web {
    pub(super) async fn read_folder(&self, request: &Request, path: &VirtualPath) -> Result<Reply, Halt> {
        let index = path.join(INDEX).map_err(|error| files::refusal(error, path))?;
        match self.open(request, &index).await {
            Err(Halt::Refused(fault)) if fault.status == 404 && !request.is_hidden(path) => {}
            answer => return answer,
        }
        let visible = request.visible(path);
        if !self.deps.settings.listings && self.deps.tree.facts(path).is_ok() {
            return Err(Fault::new(403, "this folder is not listed", "RFC 9110, 15.5.4").into());
        }
        let made = self.list(request, path).await.map_err(|error| files::refusal(error, &visible))?;
        Ok(made.reply(request)?)
    }

    /// Lists a folder. What takes long runs on the threads for work that blocks.
    async fn list(&self, request: &Request, path: &VirtualPath) -> Result<Made, StoreError> {
        let wish = Wish::read(request.head.target.query(), request.audience());
        let (tree, folder, title) = (self.deps.tree.clone(), path.clone(), request.visible(path));
        let coding = self.coding_for(request);
        let _turn = self.shared.listings.0.acquire().await;
        blocking(move || Ok(Made::new(listing::render(&title, tree.list(&folder)?, &wish), wish.format, coding))).await
    }

    /// The coding for a page that is made for one request, and the least size that is worth it.
    fn coding_for(&self, request: &Request) -> Option<(Coding, u64)> {
        let settings = &self.deps.settings;
        let preferred = Accepted::of(&request.head.fields).preferred(&settings.codings);
        let (_, coding) = preferred.first().filter(|_| settings.compress)?;
        Some((*coding, settings.compress_from.0))
    }
}

impl Made {
    fn new(listed: Listed, format: Format, coding: Option<(Coding, u64)>) -> Made {
        let plain = listed.text.into_bytes();
        let tag = answer::tag_of_content(&plain);
        let coding = coding.filter(|(_, least)| plain.len() as u64 >= *least).map(|(coding, _)| coding);
        match coding.and_then(|coding| Some((coding, coding.encode(&plain, Effort::Once).ok()?))) {
            Some((coding, octets)) => {
                Made { octets, format, coding: Some(coding), tag: answer::coded_tag(&tag, None, coding), links: listed.links }
            }
            None => Made { octets: plain, format, coding: None, tag, links: listed.links },
        }
    }

    fn reply(self, request: &Request) -> Result<Reply, Fault> {
        let current = Validators { tag: Some(self.tag.clone()), modified: None };
        let status = match validators::weigh(&request.head.method, &request.head.fields, Some(&current), request.now) {
            Verdict::Proceed => 200,
            Verdict::NotModified => 304,
            Verdict::Failed => {
                return Err(Fault::new(412, "the folder is not in the state that the request is made for", "RFC 9110, 13.1"));
            }
        };
        // It changes with every file in the folder: ask each time.
        let reply = Reply::new(status).with("Cache-Control", "no-cache").with("Vary", "Accept, Accept-Encoding");
        let reply = reply.with("ETag", self.tag.to_field());
        Ok(if status == 200 { self.whole(reply) } else { reply })
    }

    fn whole(self, reply: Reply) -> Reply {
        let is_json = self.format == Format::Json;
        let mut reply = reply.with("Content-Type", if is_json { "application/json" } else { page::HTML });
        if !is_json {
            reply = reply.with("Content-Security-Policy", page::POLICY);
        }
        if let Some(coding) = self.coding {
            reply = reply.with("Content-Encoding", coding.name());
        }
        if let Some(links) = self.links {
            reply = reply.with("Link", links);
        }
        reply.body = Body::Octets(self.octets);
        reply
    }
}
