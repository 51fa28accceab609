//! One connection: read a head, answer it, go on or close.
//!
//! ```text
//! head --parse, framing--> Request + RequestBody --respond--> Reply --send--> next head
//!   \-- a fault: nobody knows where the next request begins --> refuse, close
//! ```

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;

use super::{
    Web,
    audience::Audience,
    body::RequestBody,
    mailbox,
    noting::Noted,
    page,
    ready::{self, Ready},
    reply::{After, Halt, Reply},
    request::{Request, Resource},
    trace,
};
use crate::{
    http::{Fault, Method, Version, framing, parse, secrets},
    net::{Conn, Ended, Entry, Exit, Farewell, Phase, Protocol, Received, suffer::FaultReply},
};

impl Protocol for Web {
    fn name(&self) -> &str {
        self.deps.service
    }

    async fn converse(&self, conn: &mut Conn, _entry: Entry) -> Result<Exit, Ended> {
        let limit = usize::try_from(self.deps.settings.max_head.0).unwrap_or(usize::MAX);
        let mut last = None;
        loop {
            let after = match conn.head_at_hand(limit, parse::request_end).await {
                Ok(Received::Whole(octets)) => match self.ready_reply(conn, octets, &mut last) {
                    Some(ready) => self.repeat(conn, octets, &ready).await?,
                    // Boxed: while it is idle a connection should be small.
                    None => Box::pin(self.exchange(conn, octets)).await?,
                },
                Ok(Received::TooLong) => {
                    let head = conn.buffered().to_vec();
                    self.refuse(conn, &too_long(&head, limit), &head)
                }
                Err(Ended::Closed) => After::Close,
                Err(ended) => {
                    self.note_ended(conn, &ended);
                    return Err(ended);
                }
            };
            if after == After::Close {
                return Ok(Exit::Done);
            }
            if conn.buffered().is_empty() {
                last = None;
            }
        }
    }

    /// 408 where a head or a body was begun and not finished in time; an idle connection is
    /// closed without a word, as RFC 9112, 9.5 has it.
    fn fault_reply(&self) -> fn(&str) -> FaultReply {
        FaultReply::response
    }

    fn farewell(&self, ended: &Ended) -> Option<Farewell> {
        let what = match ended {
            Ended::Slow(Phase::Line) => "the head of the request did not arrive in time",
            Ended::Slow(Phase::Body) => "the body of the request did not arrive in time",
            _ => return None,
        };
        Some(self.last_words(&Fault::new(408, what, "RFC 9110, 15.5.9")))
    }

    fn busy(&self, _peer: IpAddr) -> Option<Farewell> {
        Some(self.last_words(&Fault::new(503, "too many connections at this moment", "RFC 9110, 15.6.4")))
    }
}

impl Web {
    /// The reply to a request whose equal was answered before, unless somebody wants to know what
    /// goes on here: that takes the ordinary way.
    fn ready_reply(&self, conn: &Conn, octets: usize, last: &mut ready::Last) -> Option<Arc<Ready>> {
        if conn.tap().is_open() || self.begins().is_some() {
            return None;
        }
        self.ready.find(conn.buffered().get(..octets)?, conn.arrivals(), last, &*self.deps.tree)
    }

    async fn repeat(&self, conn: &mut Conn, octets: usize, ready: &Ready) -> Result<After, Ended> {
        conn.skip(octets);
        ready.send(conn, &self.dates.at(self.deps.clock.now())).await?;
        if ready.after == After::Close {
            conn.expect_no_more();
        }
        Ok(ready.after)
    }

    /// Answers one request, whose head of this length is at hand.
    async fn exchange(&self, conn: &mut Conn, octets: usize) -> Result<After, Ended> {
        let head = conn.take(octets);
        note_head(conn, &head);
        let began = self.begins();
        let (request, mut body) = match self.read_request(conn, &head) {
            Ok(read) => read,
            Err(fault) => return Ok(self.refuse(conn, &fault, &head)),
        };
        let reply = match self.respond(conn, &request, &mut body).await {
            Ok(reply) => reply,
            Err(Halt::Refused(fault)) => self.refusal(&request, &fault),
            Err(Halt::Ended(ended)) => {
                self.note_broken_off(conn, &request, &ended, began);
                return Err(ended);
            }
        };
        let (reply, is_finished) = match body.finish(conn).await {
            Ok(is_finished) => (reply, is_finished),
            Err(Halt::Refused(fault)) => (self.refusal(&request, &fault), false),
            Err(Halt::Ended(ended)) => {
                self.note_broken_off(conn, &request, &ended, began);
                return Err(ended);
            }
        };
        let reply = self.with_transport_security(&request, reply);
        let stays = is_finished && request.persists() && !reply.body.ends_with_connection(request.head.version);
        let after = if stays { After::KeepOpen } else { After::Close };
        if !request.persists() && body.is_empty() {
            conn.expect_no_more();
        }
        if let Some(ready) = Ready::of(&request, &body, &reply, after, &self.dates.at(request.now)) {
            self.ready.keep(ready);
        }
        let status = reply.status;
        let body_at = self.say_head(conn, &request, &reply, after);
        let sent = match request.head.method {
            Method::Head => Ok(()),
            _ => reply.body.send(conn, request.head.version).await,
        };
        if let Some(began) = began {
            let octets = if sent.is_ok() { conn.written() + conn.unsent() as u64 } else { conn.written() };
            self.note(conn, &Noted::of(&request, status, octets.saturating_sub(body_at)), began);
        }
        sent.map(|()| after)
    }

    fn read_request(&self, conn: &Conn, octets: &Bytes) -> Result<(Request, RequestBody), Fault> {
        let head = parse::request(octets, parse::LineEnds::Either)?;
        let framing = framing::of_request(&head)?;
        let body = RequestBody::new(framing, &head, self.deps.settings.max_body.0);
        let mut request = Request::new(octets.clone(), head, conn, self.deps.clock.now());
        request.root = self.rules.sites.root(request.host()).ok().flatten().cloned();
        Ok((request, body))
    }

    /// Does what the request asks for.
    async fn respond(&self, conn: &mut Conn, request: &Request, body: &mut RequestBody) -> Result<Reply, Halt> {
        request.check_method()?;
        request.check_single()?;
        request.check_expectation()?;
        request.check_origin()?;
        if let Some(elsewhere) = self.moved(request)? {
            return Ok(elsewhere);
        }
        let resource = request.resource()?;
        match (&request.head.method, &resource) {
            (Method::Get | Method::Head, Resource::File(path)) => self.read_file(request, path).await,
            (Method::Options, _) => Ok(Reply::new(204).with("Allow", self.allowed(&resource))),
            (Method::Trace, _) if self.deps.settings.trace => Ok(trace::echo(request, body)?),
            (Method::Put, Resource::File(path)) if !path.is_root() => self.put(conn, request, path, body).await,
            (Method::Delete, Resource::File(path)) if !path.is_root() => self.delete(conn, request, path).await,
            (Method::Get | Method::Head, Resource::Visitor) => self.greet_visitor(request).await,
            (Method::Post, Resource::Visitor) => self.note_choice(conn, request, body).await,
            (Method::Get | Method::Head, Resource::Form) => Ok(self.show_form(request)?),
            (Method::Post, Resource::Form) => self.echo_form(conn, request, body).await,
            (Method::Get | Method::Head, Resource::Tracker(what)) => self.track(request, *what).await,
            (Method::Get | Method::Head, Resource::Mail(page)) => Box::pin(self.read_mail(request, page)).await,
            (Method::Post, Resource::Mail(mailbox::Page::List)) => Box::pin(self.remove_marked(conn, request, body)).await,
            (Method::Delete, Resource::Mail(mailbox::Page::Message(uid))) => Box::pin(self.remove_one(conn, request, uid)).await,
            // Boxed: it holds a body and a connection's facts, which idle conversations need not.
            (method, Resource::Exhibit(exhibit)) if exhibit.allows(method.as_str()) => {
                Box::pin(self.lab(conn, request, body, exhibit)).await
            }
            (method, _) => {
                let fault = match method {
                    Method::Connect => Fault::new(405, "tunnels begin at a proxy, and this is no proxy", "RFC 9110, 9.3.6"),
                    Method::Trace => Fault::new(405, "TRACE is switched off here", "RFC 9110, 9.3.8"),
                    _ => Fault::new(405, format!("{method} is not for {}", request.head.target.path()), "RFC 9110, 15.5.6"),
                };
                Ok(page::refusal(&fault, request.audience()).with("Allow", self.allowed(&resource)))
            }
        }
    }

    /// What goes into `Allow` (RFC 9110, 10.2.1).
    fn allowed(&self, resource: &Resource) -> String {
        let trace = if self.deps.settings.trace { ", TRACE" } else { "" };
        format!("{}{trace}", resource.methods())
    }

    /// Says the head, and answers where in the stream of this connection the body begins.
    fn say_head(&self, conn: &mut Conn, request: &Request, reply: &Reply, after: After) -> u64 {
        let head = reply.head(&self.dates.at(request.now), after, request.head.version);
        match reply.is_secret {
            true => conn.say_masked(&head, secrets::masked(&head)),
            false => conn.say(&head),
        }
        conn.written() + conn.unsent() as u64
    }

    /// Refuses what can't be answered in any other way: the connection is closed, since nobody
    /// knows where the next request would begin.
    fn refuse(&self, conn: &mut Conn, fault: &Fault, head: &[u8]) -> After {
        conn.tap().event(format_args!("refused: {}", fault.what));
        let reply = page::refusal(fault, Audience::guess(head));
        if let Some(began) = self.begins() {
            self.note(conn, &Noted::unread(head, self.deps.clock.now(), fault.status, reply.body.octets().len() as u64), began);
        }
        conn.say(self.whole(reply));
        After::Close
    }

    fn last_words(&self, fault: &Fault) -> Farewell {
        self.whole(page::refusal(fault, Audience::Anybody)).into()
    }

    /// Head and body of a reply after which the connection closes.
    fn whole(&self, reply: Reply) -> Vec<u8> {
        let date = self.dates.at(self.deps.clock.now());
        let mut octets = reply.head(&date, After::Close, Version::Http11);
        octets.extend_from_slice(reply.body.octets());
        octets
    }
}

/// 414 where the request line alone fills the limit, 431 otherwise.
fn too_long(head: &[u8], limit: usize) -> Fault {
    match memchr::memchr(b'\n', head) {
        None if !head.contains(&b' ') => Fault::bad(format!("no method is longer than {limit} octets"), "RFC 9112, 3"),
        None => Fault::new(414, format!("the request line is longer than {limit} octets"), "RFC 9110, 15.5.15"),
        Some(_) => Fault::new(431, format!("the head is longer than {limit} octets"), "RFC 6585, 5"),
    }
}

/// Notes a head in the transcript, without its secrets.
fn note_head(conn: &Conn, octets: &[u8]) {
    if conn.tap().is_open() {
        for (line, secret) in secrets::lines(octets) {
            conn.tap().received(line, secret);
        }
    }
}
