//! One exchange with an origin: the request goes up while we listen for the answer, the body of
//! the answer comes down to the client and into the cache at the same time.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::{draft::Draft, pages::Failure, reply};
use crate::{
    http::{
        Fault, ResponseHead, Version,
        body::{self, Decoder, Step},
        framing::Framing,
        parse::{self, LineEnds},
    },
    net::{Conn, Ended, Parse, Received, duplex::Exchanged},
};

/// The longest head of a response, in octets.
const HEAD_OCTETS: usize = 64 * 1024;
/// How much of a body is handled at once, in octets.
const PIECE_OCTETS: usize = 32 * 1024;
/// More informational responses than this before the final one are a loop.
const MAX_INFORMATIONAL: usize = 16;

/// What ended an exchange before there was a response.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The client's side: the conversation is over.
    Client(Ended),
    /// The client's body has broken framing.
    Body(Fault),
    Origin(Failure),
}

/// What goes up.
pub(crate) struct Question<'a> {
    /// The request head as it goes on the wire.
    pub head: &'a [u8],
    /// Takes the client's body apart.
    pub body: Decoder,
    pub is_chunked: bool,
    /// What the client speaks: informational responses are for 1.1 only (RFC 9110, 15.2).
    pub version: Version,
    pub first_byte_time: Duration,
}

/// The final response's head.
pub(crate) struct Answer {
    pub head: ResponseHead,
    /// Whether the whole request had gone up; if not, neither connection can be used again.
    pub is_asked: bool,
}

/// Sends the request and waits for the final response's head, passing informational ones on.
pub(crate) async fn ask(client: &mut Conn, origin: &mut Conn, mut question: Question<'_>) -> Result<Answer, Trouble> {
    reply::say_head(origin, question.head);
    for _ in 0..MAX_INFORMATIONAL {
        let is_asked = send_body(client, origin, &mut question).await?;
        let head = receive_head(origin, question.first_byte_time).await.map_err(Trouble::Origin)?;
        match head.status {
            101 => return Err(Trouble::Origin(Failure::Unasked)),
            100..=199 if question.version == Version::Http11 => {
                let mut out = Vec::new();
                head.write_to(&mut out);
                reply::say_head(client, &out);
                client.flush().await.map_err(Trouble::Client)?;
            }
            100..=199 => {}
            _ => return Ok(Answer { head, is_asked }),
        }
    }
    Err(Trouble::Origin(Failure::Broken(Fault::bad("informational responses without end", "RFC 9110, 15.2"))))
}

/// Passes the client's body on until it is over (true) or the origin has said something (false):
/// a server may refuse a large upload before it has come.
async fn send_body(client: &mut Conn, origin: &mut Conn, question: &mut Question<'_>) -> Result<bool, Trouble> {
    loop {
        let is_over = question.body.is_over();
        if is_over && origin.unsent() == 0 {
            return Ok(true);
        }
        if parse::head_end(origin.buffered(), 0).is_some() {
            return Ok(false);
        }
        let wants_more = !is_over && origin.unsent() == 0;
        tokio::select! {
            moved = origin.exchange() => match moved {
                Ok(Exchanged::Sent(_)) => {}
                Ok(Exchanged::Received(octets)) if octets > 0 && origin.buffered().len() <= HEAD_OCTETS => {}
                _ => return Err(Trouble::Origin(Failure::Died)),
            },
            piece = next_piece(client, &mut question.body), if wants_more => {
                push_piece(origin, piece?.as_deref(), question.is_chunked);
            }
        }
    }
}

/// Buffers a piece of a body, or its end.
fn push_piece(conn: &mut Conn, piece: Option<&[u8]>, is_chunked: bool) {
    match piece {
        Some(piece) if is_chunked => {
            conn.push(body::chunk_line(piece.len()).as_bytes());
            conn.push(piece);
            conn.push(b"\r\n");
        }
        Some(piece) => conn.push(piece),
        None if is_chunked => conn.push(body::LAST_CHUNK),
        None => {}
    }
}

async fn receive_head(origin: &mut Conn, first_byte_time: Duration) -> Result<ResponseHead, Failure> {
    let received = timeout(first_byte_time, origin.answer(HEAD_OCTETS, parse::head_end)).await;
    match received.map_err(|_| Failure::NoAnswer)? {
        Ok(Received::Whole(octets)) => {
            reply::note_head(origin.tap(), &octets);
            parse::response(&octets, LineEnds::Either).map_err(Failure::Broken)
        }
        Ok(Received::TooLong) => Err(Failure::HeadTooLong),
        Err(Ended::Slow(_)) => Err(Failure::NoAnswer),
        Err(_) => Err(Failure::Died),
    }
}

/// The next piece of a body; `None` once it is over. Cancel-safe.
async fn next_piece(conn: &mut Conn, decoder: &mut Decoder) -> Result<Option<Bytes>, Trouble> {
    loop {
        if decoder.is_over() {
            return Ok(None);
        }
        let (octets, step) = conn.parse(|input| take_step(decoder, input)).await.map_err(Trouble::Client)?;
        match step.map_err(Trouble::Body)? {
            Step::Data(_) => {
                conn.tap().received_bytes(octets.len());
                return Ok(Some(octets));
            }
            Step::End(_) => return Ok(None),
            Step::Framing(_) | Step::More => {}
        }
    }
}

fn take_step(decoder: &mut Decoder, input: &[u8]) -> Parse<Result<Step, Fault>> {
    match decoder.step(&input[..input.len().min(PIECE_OCTETS)]) {
        Ok(Step::More) => Parse::More,
        Ok(step @ (Step::Framing(consumed) | Step::Data(consumed) | Step::End(consumed))) => Parse::Got { consumed, value: Ok(step) },
        Err(fault) => Parse::Got { consumed: 0, value: Err(fault) },
    }
}

/// The body of a response on its way down.
pub(crate) struct Delivery {
    pub framing: Framing,
    /// Whether it goes to the client in chunks; else the head has its length or the connection's
    /// end is its end.
    pub is_chunked: bool,
    /// Where it is kept for the cache, if it is.
    pub draft: Option<Draft>,
}

/// Passes a body on. Answers it whole where it was to be kept and there was room.
///
/// # Errors
/// Where the origin breaks off, the client's connection is cut: a truncated body must never look
/// complete.
pub(crate) async fn deliver(origin: &mut Conn, client: &mut Conn, mut delivery: Delivery) -> Result<Option<Bytes>, Ended> {
    let mut decoder = Decoder::new(delivery.framing);
    loop {
        let is_waiting = client.unsent() > 0;
        let piece = tokio::select! {
            biased;
            piece = body_piece(origin, &mut decoder) => piece,
            // The client gets what there is while we wait for more.
            flushed = client.flush(), if is_waiting => {
                flushed?;
                continue;
            }
        };
        let Ok(piece) = piece else { return Err(cut(client, &delivery).await) };
        push_piece(client, piece.as_deref(), delivery.is_chunked);
        let Some(piece) = piece else { return Ok(delivery.draft.map(Draft::into_body)) };
        delivery.draft = delivery.draft.and_then(|draft| draft.with(&piece));
        client.flush_if_large().await?;
        origin.grant_time();
    }
}

/// Ends a body that is not whole so that nobody takes it for whole: its length or its last chunk
/// is missing, or the connection is reset.
async fn cut(client: &mut Conn, delivery: &Delivery) -> Ended {
    let is_measured = delivery.is_chunked || matches!(delivery.framing, Framing::Length(_));
    // Should the client be gone too, nothing changes.
    let _gone = client.flush().await;
    if !is_measured {
        client.abort();
    }
    Ended::Truncated
}

/// The next piece of a response's body; an error where it breaks off.
async fn body_piece(origin: &mut Conn, decoder: &mut Decoder) -> Result<Option<Bytes>, ()> {
    if decoder.ends_with_stream() && !decoder.is_over() {
        let piece = origin.bytes().await.map_err(drop)?;
        if let Some(piece) = &piece {
            origin.tap().received_bytes(piece.len());
        }
        return Ok(piece);
    }
    next_piece(origin, decoder).await.map_err(drop)
}
