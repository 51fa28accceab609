//! GET and HEAD of files.

use std::time::SystemTime;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{
    Web,
    answer::{self, Plan, TagSource},
    beside::{Beside, Seen},
    negotiation, page, parts,
    reply::{Halt, Reply, Source},
    representation::Subject,
    request::Request,
};
use crate::{
    http::{
        Fault, Fields,
        validators::{EntityTag, Validators, format_date},
    },
    net::escape::escape,
    store::{StoreError, VirtualPath, tree::OpenFile},
};

/// Young files up to this many octets are read for their entity tag; larger ones get none until
/// they have settled.
const TAGGED_OCTETS: u64 = 256 * 1024;
/// Pages of one account must not act as another's: their scripts run in an origin of their own.
const SANDBOX: &str = "sandbox allow-scripts allow-forms allow-popups";
/// What is encoded in the path of a Location or a link.
pub(super) const PATH: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?').add(b'`').add(b'{').add(b'}').add(b'\\');

impl Web {
    pub(super) async fn read_file(&self, request: &Request, path: &VirtualPath) -> Result<Reply, Halt> {
        let reply = match request.names_folder() {
            true => Box::pin(self.read_folder(request, path)).await?,
            false => self.open(request, path).await?,
        };
        Ok(if is_personal(path) { reply.with("Content-Security-Policy", SANDBOX) } else { reply })
    }

    /// Answers with a file: the variant in the best language that there is.
    pub(super) async fn open(&self, request: &Request, path: &VirtualPath) -> Result<Reply, Halt> {
        if request.is_hidden(path) {
            return Err(refusal(StoreError::NotFound, &request.visible(path)).into());
        }
        let beside = self.shared.absent.beside(&*self.deps.tree, path, request.now);
        for (variant, language) in negotiation::variants(path, &request.head.fields) {
            if let Some(file) = beside.open(&variant) {
                let reply = self.represent(request, &variant, file, &beside).await?;
                return Ok(reply.with("Content-Language", language).with("Content-Location", request.link(&variant)));
            }
        }
        match self.deps.tree.open(path) {
            Ok(file) => {
                let facts = file.facts.clone();
                let reply = self.represent(request, path, file, &beside).await?;
                let source = |folder| Source { path: path.clone(), facts, folder };
                Ok(match beside.seen() {
                    Seen::Nothing => reply.made_of(source(None)),
                    Seen::Absence(folder, facts) => reply.made_of(source(Some((folder, facts)))),
                    Seen::Others => reply,
                })
            }
            Err(StoreError::IsFolder) => Ok(redirect(request, path)),
            Err(error) => Err(refusal(error, &request.visible(path)).into()),
        }
    }

    /// Answers with a file in the form that suits the client, or with why not.
    async fn represent(&self, request: &Request, path: &VirtualPath, file: OpenFile, beside: &Beside<'_>) -> Result<Reply, Fault> {
        let media_type = self.rules.media.of(path.name());
        let cache = self.rules.cache.of(path);
        let is_compressible = !self.deps.settings.codings.is_empty() && self.rules.media.is_compressible(&media_type);
        let validators = Validators { tag: tag(request, &file), modified: Some(answer::modified(&file.facts, request.now)) };
        let must_stay = cache.is_some_and(|cache| cache.forbids_transforming);
        let form = self.choose(request, Subject { path, file, validators, is_compressible, must_stay }, beside).await?;

        let head = |status: u16| {
            let mut reply = Reply::new(status);
            if let Some(cache) = cache {
                reply = reply.with("Cache-Control", &cache.value);
            }
            let reply = with_validators(reply, &form.validators);
            match vary(negotiation::is_negotiated(path), is_compressible || form.coding.is_some()) {
                Some(vary) => reply.with("Vary", vary),
                None => reply,
            }
        };
        let whole = 0..form.octets;
        let (status, parts) = match answer::plan(&request.head, &form.validators, form.octets, request.now) {
            Plan::Whole => (200, vec![whole]),
            Plan::Part(part) => (206, vec![part]),
            Plan::Parts(parts) => (206, parts),
            Plan::NotModified => return Ok(head(304)),
            Plan::Failed => return Err(Fault::new(412, "the file is not in the state that the request is made for", "RFC 9110, 13.1")),
            Plan::Unsatisfiable => return Ok(unsatisfiable(request, form.octets)),
        };
        let reply = match form.coding {
            Some(coding) => head(status).with("Content-Encoding", coding.name()),
            None => head(status).with("Accept-Ranges", "bytes"),
        };
        Ok(parts::with_parts(reply, form.content, parts, form.octets, &media_type))
    }
}

/// The fields that 200 and 304 have in common (RFC 9110, 15.4.5).
fn with_validators(reply: Reply, current: &Validators) -> Reply {
    let mut reply = reply;
    if let Some(modified) = current.modified {
        reply = reply.with("Last-Modified", format_date(modified));
    }
    match &current.tag {
        Some(tag) => reply.with("ETag", tag.to_field()),
        None => reply,
    }
}

/// The fields of a request that chose among several answers (RFC 9110, 12.5.5). They stand on each
/// of these answers, the plain one included: else a cache would give it to everybody.
fn vary(by_language: bool, by_coding: bool) -> Option<&'static str> {
    match (by_language, by_coding) {
        (true, true) => Some("Accept-Encoding, Accept-Language"),
        (true, false) => Some("Accept-Language"),
        (false, true) => Some("Accept-Encoding"),
        (false, false) => None,
    }
}

fn unsatisfiable(request: &Request, octets: u64) -> Reply {
    let fault = Fault::new(416, format!("the range begins beyond the end: there are {octets} octets"), "RFC 9110, 15.5.17");
    page::refusal(&fault, request.audience()).with("Content-Range", format!("bytes */{octets}"))
}

/// The entity tag of an open file; `None` where it would not be safe to give one.
pub(super) fn tag(request: &Request, file: &OpenFile) -> Option<EntityTag> {
    tag_for(&request.head.fields, request.now, file)
}

pub(super) fn tag_for(fields: &Fields, now: SystemTime, file: &OpenFile) -> Option<EntityTag> {
    if answer::tag_source(&file.facts, fields, now) == TagSource::Facts {
        return Some(answer::tag_of_facts(&file.facts));
    }
    if file.facts.octets > TAGGED_OCTETS {
        return None;
    }
    Some(answer::tag_of_content(&file.read().ok()?))
}

/// 301 to the same path with its slash, so that relative links in the folder's page hold. The
/// location is built from the normalised path: `//evil.example` must not become another host.
fn redirect(request: &Request, path: &VirtualPath) -> Reply {
    // The root has its slash already: with another one, `//` would begin an authority.
    let mut location = format!("{}/", request.link(path).trim_end_matches('/'));
    if let Some(query) = request.head.target.query() {
        location = format!("{location}?{query}");
    }
    let path = request.visible(path);
    let fault = Fault::new(301, format!("{} is a folder: it has moved to {location}", escape(path.as_str())), "RFC 9110, 15.4.2");
    page::refusal(&fault, request.audience()).with("Location", location)
}

/// A path for a link or a Location.
pub(super) fn encoded(path: &VirtualPath) -> String {
    utf8_percent_encode(path.as_str(), PATH).to_string()
}

/// Below `/~name/`: written by one account.
fn is_personal(path: &VirtualPath) -> bool {
    path.as_str().starts_with("/~")
}

/// What a storage error becomes: the one place that decides.
pub(super) fn refusal(error: StoreError, path: &VirtualPath) -> Fault {
    let path = escape(path.as_str());
    match error {
        StoreError::NotFound => Fault::new(404, format!("there is no {path} on this server"), "RFC 9110, 15.5.5"),
        StoreError::NotFolder => Fault::new(404, format!("{path} lies below a file, not a folder"), "RFC 9110, 15.5.5"),
        StoreError::Denied => Fault::new(403, format!("{path} may not be touched"), "RFC 9110, 15.5.4"),
        StoreError::Changed => Fault::new(412, format!("{path} is not in the state that the request is made for"), "RFC 9110, 13.1"),
        StoreError::Exists => Fault::new(412, format!("{path} exists already"), "RFC 9110, 13.1.2"),
        StoreError::IsFolder => Fault::new(409, format!("{path} is a folder"), "RFC 9110, 15.5.10"),
        StoreError::NotEmpty => Fault::new(409, format!("the folder {path} is not empty"), "RFC 9110, 15.5.10"),
        StoreError::Busy => Fault::new(503, format!("{path} is in use"), "RFC 9110, 15.6.4"),
        StoreError::Full => Fault::new(507, "there is no space left", "RFC 4918, 11.5"),
        StoreError::OverQuota => Fault::new(507, "the account may not keep more", "RFC 4918, 11.5"),
        StoreError::Broken(error) => {
            tracing::error!(path, "storage failed: {error}");
            Fault::new(500, "the storage has failed; the log of the server says how", "RFC 9110, 15.6.1")
        }
    }
}
