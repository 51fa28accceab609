//! A client that fetches by HTTP/1.1 and looks at the clock.

use std::net::SocketAddr;

use super::stage::{Stage, connect};
use crate::{
    http::{
        Fields, Method,
        body::{Decoder, Step},
        framing,
        parse::{self, LineEnds},
    },
    net::{Conn, Parse, Received, dial::Dialer},
};

const HEAD_OCTETS: usize = 64 * 1024;

/// A connection to an HTTP server.
pub(super) struct Visit<'a> {
    stage: &'a Stage,
    conn: Conn,
    /// When it was begun, and when it stood; in seconds.
    pub dialled: f64,
    pub connected: f64,
}

/// A response that has come, whole.
#[derive(Debug)]
pub(super) struct Fetched {
    pub status: u16,
    pub fields: Fields,
    pub body: Vec<u8>,
    /// On the wire, head and framing included.
    pub octets: u64,
    pub first: f64,
    pub done: f64,
}

/// A GET request for `path` with further fields, each with its CR LF.
pub(super) fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

impl<'a> Visit<'a> {
    pub(super) async fn to(stage: &'a Stage, dialer: &Dialer, at: SocketAddr) -> Result<Visit<'a>, String> {
        let dialled = stage.now();
        let conn = connect(dialer, at).await?;
        Ok(Visit { stage, conn, dialled, connected: stage.now() })
    }

    /// Sends a request, and waits for nothing.
    pub(super) async fn ask(&mut self, request: &str) -> Result<(), String> {
        self.conn.push(request.as_bytes());
        self.conn.flush().await.map_err(|ended| ended.to_string())
    }

    /// The next response.
    pub(super) async fn receive(&mut self) -> Result<Fetched, String> {
        let ended = |ended: crate::net::Ended| ended.to_string();
        let head = match self.conn.answer(HEAD_OCTETS, parse::head_end).await.map_err(ended)? {
            Received::Whole(head) => head,
            Received::TooLong => return Err("the head is too long".into()),
        };
        let first = self.stage.now();
        let parsed = parse::response(&head, LineEnds::Either).map_err(|fault| fault.what.to_string())?;
        let framing = framing::of_response(&Method::Get, &parsed).map_err(|fault| fault.what.to_string())?;
        let (mut decoder, mut body, mut octets) = (Decoder::new(framing), Vec::new(), head.len() as u64);
        while !decoder.is_over() {
            let take = |input: &[u8]| match decoder.step(input) {
                Ok(Step::More) => Parse::More,
                Ok(step) => Parse::Got { consumed: step.octets(), value: Ok(step) },
                Err(fault) => Parse::Got { consumed: 0, value: Err(fault) },
            };
            let (piece, step) = self.conn.parse(take).await.map_err(ended)?;
            octets += piece.len() as u64;
            match step.map_err(|fault| fault.what.to_string())? {
                Step::Data(_) => body.extend_from_slice(&piece),
                Step::End(_) => break,
                Step::Framing(_) | Step::More => {}
            }
        }
        Ok(Fetched { status: parsed.status, fields: parsed.fields, body, octets, first, done: self.stage.now() })
    }

    /// A request and its response.
    pub(super) async fn fetch(&mut self, request: &str) -> Result<Fetched, String> {
        self.ask(request).await?;
        self.receive().await
    }
}
