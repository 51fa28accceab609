//! One exchange with an origin: the request goes up while we listen for the answer; the body of
//! the answer comes down piece by piece.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::{compress::Coder, forward, outlet::Outlet, pages::Failure, reply, serving};
use crate::{
    http::{
        Fault, ResponseHead, Version,
        body::{self, Decoder, Step},
        framing::Framing,
        parse::{self, LineEnds},
    },
    net::{Conn, Ended, Parse, Received, duplex::Exchanged, splice::Passed},
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
    /// Whether the client wants to go on as a WebSocket: then 101 is an answer.
    pub wants_websocket: bool,
}

/// The final response's head.
pub(crate) struct Answer {
    pub head: ResponseHead,
    /// Whether the whole request had gone up; if not, neither connection can be used again.
    pub is_asked: bool,
}

/// Sends the request and waits for the final response's head, passing informational ones on.
/// Without a client the request has no body.
pub(crate) async fn ask(mut client: Option<&mut Conn>, origin: &mut Conn, mut question: Question<'_>) -> Result<Answer, Trouble> {
    reply::say_head(origin, question.head);
    for _ in 0..MAX_INFORMATIONAL {
        let is_asked = send_body(client.as_deref_mut(), origin, &mut question).await?;
        let head = receive_head(origin, question.first_byte_time).await.map_err(Trouble::Origin)?;
        match head.status {
            101 if question.wants_websocket && forward::is_websocket(&head.fields) => return Ok(Answer { head, is_asked }),
            101 => return Err(Trouble::Origin(Failure::Unasked)),
            100..=199 => {
                if let Some(client) = client.as_deref_mut().filter(|_| question.version == Version::Http11) {
                    let mut out = Vec::new();
                    head.write_to(&mut out);
                    reply::say_head(client, &out);
                    client.flush().await.map_err(Trouble::Client)?;
                }
            }
            _ => return Ok(Answer { head, is_asked }),
        }
    }
    Err(Trouble::Origin(endless()))
}

/// Passes the client's body on until it is over (true) or the origin has said something (false):
/// a server may refuse a large upload before it has come.
async fn send_body(mut client: Option<&mut Conn>, origin: &mut Conn, question: &mut Question<'_>) -> Result<bool, Trouble> {
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
            piece = upload_piece(client.as_deref_mut(), &mut question.body), if wants_more => {
                match piece? {
                    None if question.is_chunked => origin.push(&forward::last_chunk(question.body.trailers())),
                    piece => push_piece(origin, piece.as_deref(), question.is_chunked),
                }
            }
        }
    }
}

async fn upload_piece(client: Option<&mut Conn>, decoder: &mut Decoder) -> Result<Option<Bytes>, Trouble> {
    match client {
        Some(client) => next_piece(client, decoder).await,
        None => Ok(None),
    }
}

/// Buffers a piece of a body, or its end.
pub(super) fn push_piece(conn: &mut Conn, piece: Option<&[u8]>, is_chunked: bool) {
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

/// The final response's head to a request that is not passed on for anybody: informational ones
/// are skipped.
pub(crate) async fn receive_final_head(origin: &mut Conn) -> Result<ResponseHead, Failure> {
    for _ in 0..MAX_INFORMATIONAL {
        let head = receive_head(origin, Duration::MAX).await?;
        if head.status >= 200 {
            return Ok(head);
        }
    }
    Err(endless())
}

/// Too many responses before the final one.
fn endless() -> Failure {
    Failure::Broken(Fault::bad("informational responses without end", "RFC 9110, 15.2"))
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
        Ok(step) => Parse::Got { consumed: step.octets(), value: Ok(step) },
        Err(fault) => Parse::Got { consumed: 0, value: Err(fault) },
    }
}

/// The body of a response that passes straight through.
pub(crate) struct Delivery {
    pub framing: Framing,
    /// Whether it goes to the client in chunks; else the head has its length or the connection's
    /// end is its end.
    pub is_chunked: bool,
    /// Whether the client takes trailers.
    pub takes_trailers: bool,
    /// Compresses it.
    pub coder: Option<Coder>,
}

/// Passes a body on, no faster than the client takes it; answers how long it was.
///
/// # Errors
/// Where the origin breaks off, the client's connection is cut: a truncated body must never look
/// complete.
pub(crate) async fn deliver(origin: &mut Conn, client: &mut Conn, delivery: Delivery) -> Result<u64, Ended> {
    if delivery.framing == Framing::Empty {
        // An answer to HEAD may say that the whole would come in chunks.
        return Ok(0);
    }
    if let (Framing::Length(octets), false, None) = (delivery.framing, delivery.is_chunked, &delivery.coder)
        && octets > PIECE_OCTETS as u64
        && origin.can_pass_to(client)
    {
        return match origin.pass_to(client, octets).await? {
            Passed::Whole => Ok(octets),
            Passed::Broken => Err(serving::cut(client, true).await),
        };
    }
    let mut decoder = Decoder::new(delivery.framing);
    let mut octets = 0;
    let mut outlet = Outlet::new(client, delivery.is_chunked, delivery.coder)?;
    loop {
        let is_waiting = outlet.is_waiting();
        let piece = tokio::select! {
            biased;
            piece = body_piece(origin, &mut decoder) => piece,
            // The client gets what there is while we wait for more.
            flushed = outlet.flush(), if is_waiting => {
                flushed?;
                continue;
            }
        };
        let Ok(piece) = piece else {
            return Err(outlet.cut(matches!(delivery.framing, Framing::Length(_))).await);
        };
        let Some(piece) = piece else {
            // What trailers say of the content may no longer hold once it is coded.
            let takes_trailers = delivery.takes_trailers && !outlet.is_coded();
            outlet.finish()?;
            match delivery.is_chunked && takes_trailers {
                true => outlet.client().push(&forward::last_chunk(decoder.trailers())),
                false => push_piece(outlet.client(), None, delivery.is_chunked),
            }
            return Ok(octets);
        };
        outlet.push(&piece).await?;
        octets += piece.len() as u64;
        origin.grant_time();
    }
}

/// The whole body, where it has come along with its head.
pub(crate) async fn take_whole(origin: &mut Conn, decoder: &mut Decoder, framing: Framing) -> Option<Bytes> {
    match framing {
        Framing::Empty => Some(Bytes::new()),
        Framing::Length(octets) if octets <= origin.buffered().len() as u64 && octets <= PIECE_OCTETS as u64 => {
            // It is there, so this neither waits nor fails.
            let piece = body_piece(origin, decoder).await.ok()??;
            // A copy, since the piece keeps the whole buffer of the connection alive.
            Some(Bytes::copy_from_slice(&piece))
        }
        _ => None,
    }
}

/// The next piece of a response's body; an error where it breaks off.
pub(crate) async fn body_piece(origin: &mut Conn, decoder: &mut Decoder) -> Result<Option<Bytes>, ()> {
    if decoder.ends_with_stream() && !decoder.is_over() {
        let piece = origin.bytes().await.map_err(drop)?;
        if let Some(piece) = &piece {
            origin.tap().received_bytes(piece.len());
        }
        return Ok(piece);
    }
    next_piece(origin, decoder).await.map_err(drop)
}
