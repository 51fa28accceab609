//! What is answered before any file is looked at: requests for hosts that are not ours, plain ones
//! that belong on https, and those for what has moved.

use super::{
    Web, page,
    reply::Reply,
    request::{self, Request},
};
use crate::http::{Fault, Form, Method, head::reason, target::split_authority};

impl Web {
    /// The answer to a request for what is elsewhere; `None` where it is here.
    pub(super) fn moved(&self, request: &Request) -> Result<Option<Reply>, Fault> {
        self.rules.sites.root(request.host())?;
        if request.head.target.form() == Form::Asterisk {
            return Ok(None);
        }
        if let Some(port) = self.deps.settings.https_port.filter(|_| self.deps.settings.redirect_to_https && !request.is_secure) {
            return Ok(Some(self.to_https(request, port)));
        }
        if self.rules.redirects.is_empty() {
            return Ok(None);
        }
        // A path that is none has not moved either; whoever looks for the file will say so.
        let path = request::tree_path(request.head.target.path()).ok();
        let moved = path.and_then(|path| self.rules.redirects.of(&path, request.names_folder(), request.head.target.query()));
        Ok(moved.map(|moved| elsewhere(request, moved.status, &moved.location)))
    }

    /// Tells browsers to come by https only, from now on (RFC 6797). Over plain connections anybody
    /// could have said so, and it must not be said there (7.2).
    pub(super) fn with_transport_security(&self, request: &Request, reply: Reply) -> Reply {
        let seconds = self.deps.settings.hsts.0.as_secs();
        match request.is_secure && seconds > 0 {
            true => reply.with("Strict-Transport-Security", format!("max-age={seconds}")),
            false => reply,
        }
    }

    /// 301 is turned into GET by many clients (RFC 9110, 15.4.2); 308 keeps the method.
    fn to_https(&self, request: &Request, port: u16) -> Reply {
        let host = split_authority(request.host().as_bytes()).map_or("", |(host, _)| host);
        let host = if host.is_empty() { self.deps.domains.first().map_or("localhost", String::as_str) } else { host };
        let port = if port == 443 { String::new() } else { format!(":{port}") };
        let is_reading = matches!(request.head.method, Method::Get | Method::Head);
        let location = format!("https://{host}{port}{}", request.head.target.origin_form());
        elsewhere(request, if is_reading { 301 } else { 308 }, &location)
    }
}

fn elsewhere(request: &Request, status: u16, location: &str) -> Reply {
    let source = match status {
        301 => "RFC 9110, 15.4.2",
        302 => "RFC 9110, 15.4.3",
        303 => "RFC 9110, 15.4.4",
        307 => "RFC 9110, 15.4.8",
        _ => "RFC 9110, 15.4.9",
    };
    let fault = Fault::new(status, format!("{}: it is at {location}", reason(status).to_lowercase()), source);
    page::refusal(&fault, request.audience()).with("Location", location)
}
