//! Everything that the lab shows: one row each.

use super::{
    auth, caching,
    call::{Act, Call},
    codings, content, cookies, index, inspect, statuses, timing,
};
use crate::http::Fault;

/// What an exhibit says to a call.
type ActOf = fn(&Call) -> Result<Act, Fault>;

/// One address below `/lab/`.
pub(in crate::web) struct Exhibit {
    pub group: &'static str,
    /// The first segment after `/lab/`; one with a slash in it is two.
    pub name: &'static str,
    /// The segments after it; a `?` at the end of a name says that it may be left out.
    pub arguments: &'static [&'static str],
    pub methods: &'static str,
    pub says: &'static str,
    /// The rest of a curl command: switches, and behind a blank the rest of the address, which
    /// begins with `/` or `?`.
    pub example: &'static str,
    pub(super) act: ActOf,
}

const READ: &str = "GET, HEAD, OPTIONS";
/// PATCH too (RFC 5789): clients want to see what they send with it.
const ANY: &str = "GET, HEAD, OPTIONS, POST, PUT, DELETE, PATCH";

/// The exhibit at a path, if there is one.
pub(in crate::web) fn find(path: &str) -> Option<&'static Exhibit> {
    TABLE.iter().find(|exhibit| exhibit.is_at(path))
}

/// There is one of each name.
impl PartialEq for Exhibit {
    fn eq(&self, other: &Exhibit) -> bool {
        self.name == other.name
    }
}

impl Eq for Exhibit {}

impl std::fmt::Debug for Exhibit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Exhibit {
    fn is_at(&self, path: &str) -> bool {
        let Some(rest) = self.rest_of(path) else { return false };
        let given = rest.split('/').skip(1).count();
        let needed = self.arguments.iter().filter(|name| !name.ends_with('?')).count();
        let is_bare = rest == "/" && needed == 0;
        is_bare || (needed..=self.arguments.len()).contains(&given)
    }

    /// What follows the name: nothing, or something that begins with a slash.
    fn rest_of<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix("/lab")?;
        let rest = if self.name.is_empty() { rest } else { rest.strip_prefix('/')?.strip_prefix(self.name)? };
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }

    pub(super) fn arguments_in<'p>(&self, path: &'p str) -> impl Iterator<Item = &'p str> + use<'p> {
        self.rest_of(path).unwrap_or_default().split('/').skip(1)
    }

    pub(super) fn title(&self) -> String {
        let arguments: String = self.arguments.iter().map(|name| format!("/{}", name.trim_end_matches('?'))).collect();
        format!("/lab/{}{arguments}", self.name)
    }

    /// A command to copy.
    pub(super) fn command(&self, site: &str) -> String {
        let (switches, _) = self.split_example();
        format!("curl {switches}{}'{site}/lab/{}'", if switches.is_empty() { "" } else { " " }, self.address())
    }

    /// Where the example leads, below `/lab/`.
    pub(super) fn address(&self) -> String {
        format!("{}{}", self.name, self.split_example().1)
    }

    /// The switches of the example, and what follows the exhibit's name: the last word, if it
    /// begins as the rest of an address does.
    fn split_example(&self) -> (&'static str, &'static str) {
        let (switches, last) = self.example.rsplit_once(' ').unwrap_or(("", self.example));
        if last.starts_with(['/', '?']) { (switches, last) } else { (self.example, "") }
    }

    pub(in crate::web) fn allows(&self, method: &str) -> bool {
        self.methods.split(", ").any(|allowed| allowed == method)
    }
}

const INSPECT: &str = "What was asked";
const STATUS: &str = "Status codes and redirects";
const TIME: &str = "Time and framing";
const CONTENT: &str = "Content";
const CODING: &str = "Content codings";
const CACHE: &str = "Validators and caches";
const COOKIE: &str = "Cookies and passwords";

/// A row. Name and arguments stand together, as they do in the address.
const fn row(
    group: &'static str,
    (name, arguments): (&'static str, &'static [&'static str]),
    methods: &'static str,
    says: &'static str,
    example: &'static str,
    act: ActOf,
) -> Exhibit {
    Exhibit { group, name, arguments, methods, says, example, act }
}

/// Longer names stand before their own beginnings.
pub(super) const TABLE: &[Exhibit] = &[
    row(INSPECT, ("echo", &[]), ANY, "The request as it came on the wire, octet by octet.", "-d hello", inspect::echo),
    row(
        INSPECT,
        ("request", &[]),
        ANY,
        "Everything about the request, in its order; the connection and TLS too.",
        "-F name=value",
        inspect::request,
    ),
    row(
        INSPECT,
        ("anything", &["MORE?"]),
        ANY,
        "The request in the shape that users of httpbin know, by any method.",
        "-X PATCH -d a=b",
        inspect::anything,
    ),
    row(INSPECT, ("get", &[]), READ, "The same for GET alone.", "?a=b", inspect::anything),
    row(INSPECT, ("post", &[]), "OPTIONS, POST", "The same for POST alone.", "-d a=b", inspect::anything),
    row(INSPECT, ("put", &[]), "OPTIONS, PUT", "The same for PUT alone.", "-X PUT -d a=b", inspect::anything),
    row(INSPECT, ("patch", &[]), "OPTIONS, PATCH", "The same for PATCH alone.", "-X PATCH -d a=b", inspect::anything),
    row(INSPECT, ("delete", &[]), "OPTIONS, DELETE", "The same for DELETE alone.", "-X DELETE", inspect::anything),
    row(INSPECT, ("headers", &[]), READ, "The fields of the request.", "-H 'X-Mine: 1'", inspect::headers),
    row(INSPECT, ("ip", &[]), READ, "Your address, as the server sees it.", "", inspect::ip),
    row(INSPECT, ("user-agent", &[]), READ, "The name that your client gives itself.", "", inspect::user_agent),
    row(
        STATUS,
        ("status", &["CODES"]),
        ANY,
        "Any status from 200 to 599; an interim one (102, 103) comes before a 200; of a list, weighted or not, one by chance.",
        "-i /418",
        statuses::status,
    ),
    row(
        STATUS,
        ("redirect", &["TIMES"]),
        ANY,
        "So many redirects, one after another; `?absolute` names the site too, `?status=307` keeps the method.",
        "-iL /3",
        statuses::redirect,
    ),
    row(STATUS, ("relative-redirect", &["TIMES"]), ANY, "The same, with relative locations.", "-iL /3", statuses::redirect),
    row(STATUS, ("absolute-redirect", &["TIMES"]), ANY, "The same, with absolute locations.", "-iL /3", statuses::redirect),
    row(
        STATUS,
        ("redirect-to", &[]),
        ANY,
        "One redirect to a path of this server.",
        "-iL ?url=/hello.txt&status=308",
        statuses::redirect_to,
    ),
    row(TIME, ("delay", &["SECONDS"]), ANY, "The answer comes after a while, 60 seconds at most.", "/2.5", timing::delay),
    row(
        TIME,
        ("drip", &[]),
        READ,
        "Octets one by one, over `duration` seconds, after `delay` seconds, with status `code`.",
        "-N ?duration=2&octets=10&delay=1&code=200",
        timing::drip,
    ),
    row(
        TIME,
        ("stream", &["LINES"]),
        READ,
        "So many lines of JSON, as a body whose length nobody knows beforehand.",
        "-N /20",
        timing::stream,
    ),
    row(
        TIME,
        ("chunked", &["CHUNKS"]),
        READ,
        "So many chunks of `size` octets; `?extension` puts an extension on each, `?trailer` fields after the last, `?pause=0.5` time between them.",
        "-i --raw /3?size=5&extension&trailer",
        timing::chunked,
    ),
    row(
        TIME,
        ("close", &[]),
        ANY,
        "The connection is closed without an answer; with `?octets=10&length=100`, or `?octets=10&chunked`, in the middle of the body.",
        "-i ?octets=10&length=100",
        timing::close,
    ),
    row(
        CONTENT,
        ("bytes", &["OCTETS"]),
        READ,
        "So many octets, the same ones each time for the same `seed`; ranges work.",
        "-r 0-15 /1024?seed=1",
        content::bytes,
    ),
    row(
        CONTENT,
        ("stream-bytes", &["OCTETS"]),
        READ,
        "The same octets in chunks of `chunk_size`.",
        "--raw /1024?seed=1&chunk_size=256",
        content::stream_bytes,
    ),
    row(
        CONTENT,
        ("range", &["OCTETS"]),
        READ,
        "The alphabet over and over, to see which part of it came.",
        "-i -r 24-27 /1024",
        content::range,
    ),
    row(CONTENT, ("json", &[]), READ, "A JSON document.", "", content::json),
    row(CONTENT, ("xml", &[]), READ, "An XML document.", "", content::xml),
    row(CONTENT, ("html", &[]), READ, "An HTML document.", "", content::html),
    row(CONTENT, ("encoding/utf8", &[]), READ, "Text in many scripts.", "", content::utf8),
    row(
        CONTENT,
        ("image", &["KIND?"]),
        READ,
        "A picture: png, jpeg or svg, or whichever of them `Accept` prefers.",
        "-i -H 'Accept: image/svg+xml'",
        content::image,
    ),
    row(CONTENT, ("uuid", &[]), READ, "A random identifier (RFC 9562), another one each time.", "", content::uuid),
    row(CONTENT, ("base64/decode", &["TEXT"]), READ, "What the text stands for.", "/SGVsbG8", content::base64_decode),
    row(CONTENT, ("base64/encode", &["TEXT"]), READ, "The text in base64.", "/Hello", content::base64_encode),
    row(CONTENT, ("base64", &["TEXT"]), READ, "What the text stands for.", "/SGVsbG8", content::base64_decode),
    row(
        CONTENT,
        ("links", &["COUNT", "AT?"]),
        READ,
        "A page that links to so many others like it: for those who follow links.",
        "/10",
        content::links,
    ),
    row(CODING, ("gzip", &[]), READ, "The request in gzip (RFC 1952), whatever `Accept-Encoding` says.", "--compressed", codings::gzip),
    row(CODING, ("br", &[]), READ, "The same in Brotli (RFC 7932).", "--compressed", codings::brotli),
    row(CODING, ("brotli", &[]), READ, "The same in Brotli (RFC 7932).", "--compressed", codings::brotli),
    row(CODING, ("zstd", &[]), READ, "The same in Zstandard (RFC 8878).", "--compressed", codings::zstd),
    row(CODING, ("deflate", &[]), READ, "The same in deflate, which is zlib (RFC 1950).", "--compressed", codings::deflate),
    row(
        CACHE,
        ("etag", &["TAG"]),
        "GET, HEAD, OPTIONS, PUT",
        "Something with this entity tag: 304 and 412 as `If-None-Match` and `If-Match` have it.",
        "-i -H 'If-None-Match: \"a\"' /a",
        caching::etag,
    ),
    row(
        CACHE,
        ("cache", &["SECONDS?"]),
        READ,
        "Fresh for so many seconds, then made anew; with both validators. Without a number it never changes.",
        "-i /60",
        caching::cache,
    ),
    row(
        CACHE,
        ("response-headers", &[]),
        READ,
        "The fields of the query as fields of the response.",
        "-i ?Cache-Control=max-age%3D5&X-Mine=1",
        caching::response_headers,
    ),
    row(
        COOKIE,
        ("cookies/set", &["NAME?", "VALUE?"]),
        READ,
        "Sets the cookies of the query, then shows them.",
        "-L -c jar.txt ?colour=green",
        cookies::set,
    ),
    row(
        COOKIE,
        ("cookies/delete", &[]),
        READ,
        "Deletes the cookies that the query names, then shows the rest.",
        "-L -b jar.txt -c jar.txt ?colour",
        cookies::delete,
    ),
    row(COOKIE, ("cookies", &[]), READ, "The cookies that came with the request.", "-b a=1", cookies::show),
    row(
        COOKIE,
        ("basic-auth", &["USER", "PASSWORD"]),
        READ,
        "Wants this name and password (RFC 7617), else 401.",
        "-i -u bob:hungry /bob/hungry",
        auth::basic_auth,
    ),
    row(
        COOKIE,
        ("hidden-basic-auth", &["USER", "PASSWORD"]),
        READ,
        "The same, but 404 for those who don't know.",
        "-i -u bob:hungry /bob/hungry",
        auth::hidden_basic_auth,
    ),
    row(COOKIE, ("bearer", &[]), READ, "Wants any bearer token (RFC 6750).", "-i -H 'Authorization: Bearer abc'", auth::bearer),
    row("", ("", &[]), READ, "All of the lab.", "", index::index),
];
