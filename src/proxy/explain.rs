//! What the proxy's words mean.

use crate::explain::{Explained, row};

/// Directives, Cache-Status parameters and the status codes that the proxy itself sends.
pub(crate) const TABLE: &[Explained] = &[
    row("CONNECT", "Asks for a tunnel to host:port; what goes through it is not looked at.", "RFC 9110, 9.3.6"),
    row("PURGE", "Forgets what is stored for an address; only from the proxy's own machine.", "Portico"),
    row("Age", "Seconds since the response was made or last found good.", "RFC 9111, 5.1"),
    row("Via", "Every proxy on the way adds its name, so that loops are noticed.", "RFC 9110, 7.6.3"),
    row("Max-Forwards", "How many more proxies a TRACE or OPTIONS may pass.", "RFC 9110, 7.6.2"),
    row("Vary", "Request fields that the response depends on; other values need another response.", "RFC 9110, 12.5.5"),
    row("max-age", "Response: fresh for so many seconds. Request: no older than so many.", "RFC 9111, 5.2.2.1"),
    row("s-maxage", "As max-age, for shared caches only, and never stale.", "RFC 9111, 5.2.2.10"),
    row("no-cache", "May be stored, but must be validated each time.", "RFC 9111, 5.2.2.4"),
    row("no-store", "Must not be stored.", "RFC 9111, 5.2.2.5"),
    row("private", "Only the user's own cache may store it.", "RFC 9111, 5.2.2.7"),
    row("public", "A shared cache may store it even where it otherwise could not.", "RFC 9111, 5.2.2.9"),
    row("must-revalidate", "Once stale it must be validated, whatever the client would put up with.", "RFC 9111, 5.2.2.2"),
    row("proxy-revalidate", "As must-revalidate, for shared caches only.", "RFC 9111, 5.2.2.8"),
    row("must-understand", "May be stored only by caches that know its status code.", "RFC 9111, 5.2.2.3"),
    row("max-stale", "Request: a response that is stale by so many seconds will do.", "RFC 9111, 5.2.1.2"),
    row("min-fresh", "Request: it must stay fresh for so many more seconds.", "RFC 9111, 5.2.1.3"),
    row("only-if-cached", "Request: do not ask the origin; 504 where nothing is stored.", "RFC 9111, 5.2.1.7"),
    row("stale-if-error", "A stale response may stand in for a failing origin for so many seconds.", "RFC 5861, 4"),
    row("hit", "Cache-Status: the response came out of the cache.", "RFC 9211, 2.1"),
    row("fwd", "Cache-Status: why the request went to the origin.", "RFC 9211, 2.2"),
    row("fwd-status", "Cache-Status: what the origin answered.", "RFC 9211, 2.3"),
    row("ttl", "Cache-Status: seconds for which the response stays fresh; negative: stale.", "RFC 9211, 2.4"),
    row("stored", "Cache-Status: the response went into the cache.", "RFC 9211, 2.5"),
    row("key", "Cache-Status: the address that it is stored under.", "RFC 9211, 2.7"),
    row("detail", "Cache-Status: the rule that decided.", "RFC 9211, 2.8"),
    row("400", "The request can be read in two ways, or is not meant for a proxy.", "RFC 9110, 15.5.1"),
    row("403", "The client, the port or the address is not allowed.", "RFC 9110, 15.5.4"),
    row("501", "The address has a scheme that the proxy does not fetch.", "RFC 9110, 15.6.2"),
    row("502", "The origin can't be reached, or its response is not valid HTTP.", "RFC 9110, 15.6.3"),
    row("504", "The origin did not answer in time, or only-if-cached found nothing.", "RFC 9110, 15.6.5"),
    row("508", "The request has been here before.", "RFC 5842, 7.2"),
];
