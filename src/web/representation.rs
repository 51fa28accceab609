//! The representations of a file, called its forms for short: as it is, from a file beside it that was
//! compressed beforehand, or compressed here; and which of them answers a request (RFC 9110, 12.5.3).
//!
//! The order is the client's: qualities first. Among equals a file that somebody compressed
//! beforehand goes before what would have to be compressed now, then the order of the settings
//! counts. Two things outrank all that:
//!
//! * A request that shows the entity tag of one of the forms is answered with that form: the client
//!   has it already, or a part of it.
//! * A range is cut out of the plain file unless If-Range says that the client has part of another
//!   form. Whoever asks for octets 0 to 499 means those of the file, and many libraries ask for
//!   compression without being able to make sense of a piece of it. Choosing so is the server's
//!   right; what RFC 9110, 14.2 demands, that ranges are those of the selected representation, holds.

use super::{Web, answer, beside::Beside, compressed::Key, files, request::Request};
use crate::{
    http::{
        Fault, Fields, Method,
        coding::{Accepted, Coding, Effort},
        validators::{self, Validators, Verdict},
    },
    store::{
        VirtualPath,
        tree::{Content, OpenFile},
    },
};

/// A file in the form in which it will be sent.
pub(super) struct Representation {
    pub coding: Option<Coding>,
    pub validators: Validators,
    pub content: Content,
    pub octets: u64,
}

/// A file and what the rules say of it.
pub(super) struct Subject<'a> {
    pub path: &'a VirtualPath,
    pub file: OpenFile,
    /// Of the plain file.
    pub validators: Validators,
    pub is_compressible: bool,
    /// Compressing would be a transformation that Cache-Control forbids.
    pub must_stay: bool,
}

/// A coded form that could be sent.
struct Offer {
    quality: u16,
    coding: Coding,
    validators: Validators,
    /// The file that holds it; `None`: it is to be made.
    sibling: Option<OpenFile>,
}

impl Web {
    /// Chooses the representation that answers; 406 where the client refuses all that there are.
    pub(super) async fn choose(&self, request: &Request, subject: Subject<'_>, beside: &Beside<'_>) -> Result<Representation, Fault> {
        let fields = &request.head.fields;
        if !fields.contains("accept-encoding") {
            return Ok(subject.plain());
        }
        let accepted = Accepted::of(fields);
        let refuses_plain = !accepted.allows_identity();
        let wanted = accepted.preferred(&self.deps.settings.codings);
        if wanted.is_empty() || (!subject.is_compressible && !refuses_plain) {
            return if refuses_plain { Err(not_acceptable()) } else { Ok(subject.plain()) };
        }
        let mut offers = self.offers(request, &subject, &wanted, refuses_plain, beside);
        let shown = offers.iter().position(|offer| is_shown(&offer.validators, fields));
        let is_plain = !refuses_plain && (is_shown(&subject.validators, fields) || wants_part(request));
        match shown.or((!is_plain && !offers.is_empty()).then_some(0)) {
            // Boxed, as all that is rare: what waits for the next request should be small.
            Some(chosen) => Box::pin(self.take(request, subject, offers.swap_remove(chosen), refuses_plain)).await,
            None if refuses_plain => Err(not_acceptable()),
            None => Ok(subject.plain()),
        }
    }

    /// All coded forms that the client takes, best first. Whoever refuses the plain form gets what
    /// would not be compressed otherwise.
    fn offers(&self, request: &Request, subject: &Subject<'_>, wanted: &[(u16, Coding)], must: bool, beside: &Beside<'_>) -> Vec<Offer> {
        let settings = &self.deps.settings;
        let octets = subject.file.facts.octets;
        let is_worth_it = must || (subject.is_compressible && octets >= settings.compress_from.0);
        let may_make = settings.compress && is_worth_it && !subject.must_stay && octets <= settings.compress_up_to.0;
        let offer = |(quality, coding): &(u16, Coding)| {
            let sibling = subject.is_compressible.then(|| sibling(subject, *coding, beside)).flatten();
            subject.offer(*quality, *coding, sibling, may_make, request)
        };
        let mut offers: Vec<Offer> = wanted.iter().filter_map(offer).collect();
        offers.sort_by_key(|offer| (std::cmp::Reverse(offer.quality), offer.sibling.is_none()));
        offers
    }

    async fn take(&self, request: &Request, subject: Subject<'_>, offer: Offer, must: bool) -> Result<Representation, Fault> {
        let Offer { coding, validators, sibling, .. } = offer;
        if let Some(file) = sibling {
            return Ok(Representation { coding: Some(coding), validators, octets: file.facts.octets, content: file.content });
        }
        // What is not going to be sent need not be made.
        if validators::weigh(&request.head.method, &request.head.fields, Some(&validators), request.now) != Verdict::Proceed {
            return Ok(Representation { coding: Some(coding), validators, ..subject.plain() });
        }
        let result = match &subject.validators.tag {
            Some(tag) => {
                let key = Key { path: subject.path.clone(), tag: tag.opaque.clone(), coding };
                self.shared.compressed.of(&key, &subject.file).await
            }
            // Too young for a tag, so there is nothing to keep a result under.
            None => self.shared.compressed.make(coding, Effort::Once, &subject.file).await,
        };
        match result {
            Ok(result) if must || (result.len() as u64) < subject.file.facts.octets => {
                Ok(Representation { coding: Some(coding), validators, octets: result.len() as u64, content: Content::Memory(result) })
            }
            Ok(_) => Ok(subject.plain()),
            Err(error) => {
                tracing::warn!(path = subject.path.as_str(), "could not be compressed: {error}");
                if must { Err(not_acceptable()) } else { Ok(subject.plain()) }
            }
        }
    }
}

impl Subject<'_> {
    fn offer(&self, quality: u16, coding: Coding, sibling: Option<OpenFile>, may_make: bool, request: &Request) -> Option<Offer> {
        if sibling.is_none() && !may_make {
            return None;
        }
        let plain = self.validators.tag.as_ref();
        let validators = match &sibling {
            Some(file) => Validators {
                tag: plain.zip(files::tag(request, file)).map(|(plain, own)| answer::coded_tag(plain, Some(&own), coding)),
                modified: Some(answer::modified(&file.facts, request.now)),
            },
            None => Validators { tag: plain.map(|plain| answer::coded_tag(plain, None, coding)), ..self.validators },
        };
        Some(Offer { quality, coding, validators, sibling })
    }

    fn plain(self) -> Representation {
        Representation { coding: None, validators: self.validators, octets: self.file.facts.octets, content: self.file.content }
    }
}

/// The file beside `subject` that holds it in this coding, unless the original has changed since.
fn sibling(subject: &Subject<'_>, coding: Coding, beside: &Beside<'_>) -> Option<OpenFile> {
    let path = VirtualPath::parse(&format!("{}{}", subject.path, coding.suffix())).ok()?;
    beside.open(&path).filter(|file| file.facts.modified >= subject.file.facts.modified)
}

fn is_shown(validators: &Validators, fields: &Fields) -> bool {
    validators.tag.as_ref().is_some_and(|tag| answer::is_shown(tag, fields))
}

fn wants_part(request: &Request) -> bool {
    request.head.method == Method::Get && request.head.fields.contains("range")
}

fn not_acceptable() -> Fault {
    Fault::new(406, "Accept-Encoding refuses every form in which this can be sent", "RFC 9110, 12.5.3")
}
