//! Addresses that provoke replies, delays and lost connections, for people who test a mail client:
//! `450-later@...`, `550-dot-virus@...`, `delay-5s-bob@...`, `drop-data-x@...`. Pure.
//!
//! ```text
//! local part = action ["-" stage] "-" anything
//! action     = code / "delay-" time / "drop"       ; code: 400 to 599
//! stage      = "data" / "dot"                      ; else at the command that names the address
//! ```
//! `docs/mail.md` has the table. They work as senders and as recipients, in any domain, and only
//! for those for whom `smtp.lab` is on.

use std::time::Duration;

use super::reply::{self, Reply};

/// No client waits longer for anything (RFC 5321, 4.5.3.2.6).
const MAX_SECS: u64 = 600;

/// When it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// As the reply to MAIL or RCPT.
    Named,
    /// As the reply to DATA or the first BDAT.
    Data,
    /// After the message has come.
    Dot,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Say(Reply),
    Wait(Duration),
    Drop,
}

/// What an address asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub stage: Stage,
    pub action: Action,
    /// The rest of the local part: who is meant when nothing but a wait is asked for.
    pub rest: String,
}

/// Reads a local part; `None`: it is an ordinary one.
pub(crate) fn wish(local: &str) -> Option<Wish> {
    let (word, rest) = local.split_once('-')?;
    let (action, rest) = match word {
        "drop" => (Some(Action::Drop), rest),
        "delay" => {
            let (time, rest) = rest.split_once('-').unwrap_or((rest, ""));
            (Some(Action::Wait(span(time)?)), rest)
        }
        _ => (None, rest),
    };
    let (stage, rest) = match rest.split_once('-').unwrap_or((rest, "")) {
        ("data", rest) => (Stage::Data, rest),
        ("dot", rest) => (Stage::Dot, rest),
        _ => (Stage::Named, rest),
    };
    let action = match action {
        Some(action) => action,
        None => Action::Say(reply::wished(code(word)?, if rest.is_empty() { "as you like" } else { rest })),
    };
    Some(Wish { stage, action, rest: rest.to_owned() })
}

/// What is to happen at a stage: a wait, and then possibly the end of it.
pub(crate) fn at(stage: Stage, wishes: &[Wish]) -> (Duration, Option<Action>) {
    let (mut wait, mut end) = (Duration::ZERO, None);
    for wish in wishes.iter().filter(|wish| wish.stage == stage) {
        match &wish.action {
            Action::Wait(longer) => wait = wait.max(*longer),
            action => end = end.or_else(|| Some(action.clone())),
        }
    }
    (wait, end)
}

fn code(word: &str) -> Option<u16> {
    let digits = word.len() == 3 && word.bytes().all(|octet| octet.is_ascii_digit());
    word.parse().ok().filter(|code| digits && (400..600).contains(code))
}

/// `500ms`, `5s`, `2m`.
fn span(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit);
    let number: u64 = number.parse().ok()?;
    let span = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        _ => return None,
    };
    Some(span.min(Duration::from_secs(MAX_SECS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_lab_are_told_from_ordinary_ones() {
        let read = |local: &str| wish(local).map(|wish| (wish.stage, wish.action, wish.rest));
        let said = |code, words| Action::Say(reply::wished(code, words));
        let secs = |secs| Action::Wait(Duration::from_secs(secs));
        for (local, expected) in [
            ("450-later", Some((Stage::Named, said(450, "later"), "later"))),
            ("552-too-big", Some((Stage::Named, said(552, "too-big"), "too-big"))),
            ("450-data-x-y", Some((Stage::Data, said(450, "x-y"), "x-y"))),
            ("550-dot", Some((Stage::Dot, said(550, "as you like"), ""))),
            ("delay-5s-bob", Some((Stage::Named, secs(5), "bob"))),
            ("delay-5s-dot-bob", Some((Stage::Dot, secs(5), "bob"))),
            ("delay-99999m-bob", Some((Stage::Named, secs(600), "bob"))),
            ("drop-x", Some((Stage::Named, Action::Drop, "x"))),
            ("drop-data-x", Some((Stage::Data, Action::Drop, "x"))),
            ("bob", None),
            ("bob-450", None),
            ("250-x", None),
            ("600-x", None),
            ("4500-x", None),
            ("+45-x", None),
            ("450", None),
            ("drop", None),
            ("delay-x-bob", None),
            ("delay-5h-bob", None),
        ] {
            let expected = expected.map(|(stage, action, rest)| (stage, action, rest.to_owned()));
            assert_eq!(read(local), expected, "{local}");
        }
    }

    #[test]
    fn of_several_wishes_the_longest_wait_and_the_first_end_count() {
        let wishes: Vec<_> =
            ["delay-5s-dot-a", "550-dot-a", "delay-1s-dot-a", "drop-dot-a", "450-a"].into_iter().filter_map(wish).collect();
        let (wait, end) = at(Stage::Dot, &wishes);
        assert_eq!((wait, end), (Duration::from_secs(5), Some(Action::Say(reply::wished(550, "a")))));
        assert_eq!(at(Stage::Data, &wishes), (Duration::ZERO, None));
    }
}
