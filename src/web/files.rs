//! GET and HEAD of files and folders.

use std::{os::unix::fs::FileExt, time::SystemTime};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{
    Web,
    answer::{self, Plan, TagSource},
    listing, negotiation, page,
    reply::{Body, Halt, Reply},
    request::Request,
};
use crate::{
    http::{
        Fault, Fields,
        range::content_range,
        validators::{EntityTag, Validators, format_date},
    },
    net::escape::escape,
    store::{
        StoreError, VirtualPath, blocking,
        tree::{Content, OpenFile},
    },
};

/// Young files up to this many octets are read for their entity tag; larger ones get none until
/// they have settled.
const TAGGED_OCTETS: u64 = 256 * 1024;
/// What a folder shows in place of its listing.
const INDEX: &str = "index.html";
/// Pages of one account must not act as another's: their scripts run in an origin of their own.
const SANDBOX: &str = "sandbox allow-scripts allow-forms allow-popups";
/// What is encoded in the path of a Location or a link.
pub(super) const PATH: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?').add(b'`').add(b'{').add(b'}').add(b'\\');

impl Web {
    pub(super) async fn read_file(&self, request: &Request, path: &VirtualPath) -> Result<Reply, Halt> {
        let reply = match request.names_folder() {
            true => self.read_folder(request, path).await?,
            false => self.open(request, path)?,
        };
        Ok(if is_personal(path) { reply.with("Content-Security-Policy", SANDBOX) } else { reply })
    }

    fn open(&self, request: &Request, path: &VirtualPath) -> Result<Reply, Halt> {
        if path.is_hidden() {
            return Err(refusal(StoreError::NotFound, path).into());
        }
        for (variant, language) in negotiation::variants(path, &request.head.fields) {
            if let Ok(file) = self.deps.tree.open(&variant) {
                let reply = represent(request, path, file)?;
                return Ok(reply.with("Content-Language", language).with("Content-Location", encoded(&variant)));
            }
        }
        match self.deps.tree.open(path) {
            Ok(file) => Ok(represent(request, path, file)?),
            Err(StoreError::IsFolder) => Ok(redirect(request, path)),
            Err(error) => Err(refusal(error, path).into()),
        }
    }

    /// A folder's index page, else its listing.
    async fn read_folder(&self, request: &Request, path: &VirtualPath) -> Result<Reply, Halt> {
        let index = path.join(INDEX).map_err(|error| refusal(error, path))?;
        match self.open(request, &index) {
            Err(Halt::Refused(fault)) if fault.status == 404 && !path.is_hidden() => {}
            answer => return answer,
        }
        let (tree, folder) = (self.deps.tree.clone(), path.clone());
        let entries = blocking(move || tree.list(&folder)).await.map_err(|error| refusal(error, path))?;
        let up = (!path.is_root()).then_some("../");
        Ok(Reply::text(200, page::HTML, listing::render(path, up, &entries)))
    }
}

/// Answers with a file, or with why not.
fn represent(request: &Request, path: &VirtualPath, file: OpenFile) -> Result<Reply, Fault> {
    let octets = file.facts.octets;
    let current = Validators { tag: tag(request, &file), modified: Some(answer::modified(&file.facts, request.now)) };
    let (status, part) = match answer::plan(&request.head, &current, octets, request.now) {
        Plan::Whole => (200, 0..octets),
        Plan::Part(part) => (206, part),
        Plan::Parts(_) => (200, 0..octets),
        Plan::NotModified => return Ok(with_validators(Reply::new(304), path, &current)),
        Plan::Failed => return Err(Fault::new(412, "the file is not in the state that the request is made for", "RFC 9110, 13.1")),
        Plan::Unsatisfiable => {
            let fault = Fault::new(416, format!("the range begins beyond the end: there are {octets} octets"), "RFC 9110, 15.5.17");
            return Ok(page::refusal(&fault, request.audience()).with("Content-Range", format!("bytes */{octets}")));
        }
    };
    let mut reply = with_validators(Reply::new(status), path, &current).with("Accept-Ranges", "bytes");
    if status == 206 {
        reply = reply.with("Content-Range", content_range(&part, octets));
    }
    reply = negotiation::with_content_type(reply, path.name());
    reply.body = Body::File(file.content, part);
    Ok(reply)
}

/// The fields that 200 and 304 have in common (RFC 9110, 15.4.5).
fn with_validators(reply: Reply, path: &VirtualPath, current: &Validators) -> Reply {
    let mut reply = reply;
    if let Some(modified) = current.modified {
        reply = reply.with("Last-Modified", format_date(modified));
    }
    if let Some(tag) = &current.tag {
        reply = reply.with("ETag", tag.to_field());
    }
    if negotiation::is_negotiated(path) { reply.with("Vary", "Accept-Language") } else { reply }
}

/// The entity tag of an open file; `None` where it would not be safe to give one.
pub(super) fn tag(request: &Request, file: &OpenFile) -> Option<EntityTag> {
    tag_for(&request.head.fields, request.now, file)
}

pub(super) fn tag_for(fields: &Fields, now: SystemTime, file: &OpenFile) -> Option<EntityTag> {
    if answer::tag_source(&file.facts, fields, now) == TagSource::Facts {
        return Some(answer::tag_of_facts(&file.facts));
    }
    match &file.content {
        _ if file.facts.octets > TAGGED_OCTETS => None,
        Content::Memory(octets) => Some(answer::tag_of_content(octets)),
        Content::Disk(disk) => {
            let mut octets = vec![0; usize::try_from(file.facts.octets).ok()?];
            disk.read_exact_at(&mut octets, 0).ok()?;
            Some(answer::tag_of_content(&octets))
        }
    }
}

/// 301 to the same path with its slash, so that relative links in the folder's page hold. The
/// location is built from the normalised path: `//evil.example` must not become another host.
fn redirect(request: &Request, path: &VirtualPath) -> Reply {
    // The root has its slash already: with another one, `//` would begin an authority.
    let mut location = format!("{}/", encoded(path).trim_end_matches('/'));
    if let Some(query) = request.head.target.query() {
        location = format!("{location}?{query}");
    }
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
        StoreError::Broken(error) => {
            tracing::error!(path, "storage failed: {error}");
            Fault::new(500, "the storage has failed; the log of the server says how", "RFC 9110, 15.6.1")
        }
    }
}
