//! `portico mail show`: one message, in one of several ways.
//!
//! What a stranger wrote never reaches a terminal as it is. Into a file or a pipe, `--raw` writes
//! exactly the octets, and so does `--part` with an attachment.

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use serde_json::{Value, json};

use super::{ask, failed, read, save};
use crate::{
    cli::{Outcome, options::Global, say},
    control::mail::{Message, Order},
    error::StartError,
    mail::mime::{
        fields,
        tree::{Bomb, Part, Tree, header_octets},
    },
    net::escape::{escape, escape_json, escape_lines},
};

/// The fields that a letter begins with.
const SHOWN_FIELDS: &[&str] = &["From", "To", "Cc", "Reply-To", "Date", "Subject"];

#[derive(Args)]
pub(crate) struct ShowArgs {
    pub account: String,
    /// Its number in the list
    pub number: usize,
    /// One part, decoded, by its number in the tree: 2, or 1.2 for the second part of the first
    #[arg(long, value_name = "PART", conflicts_with_all = ["headers", "raw", "tree"])]
    pub part: Option<String>,
    /// All header fields, decoded
    #[arg(long)]
    pub headers: bool,
    /// The message as it lies in the mailbox, with CR LF line ends
    #[arg(long, conflicts_with_all = ["headers", "tree"])]
    pub raw: bool,
    /// The parts: number, type, encoding, size
    #[arg(long, conflicts_with = "headers")]
    pub tree: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Save the attachments, or the one part, in this folder under safe names; nothing is overwritten
    #[arg(long, value_name = "DIR", conflicts_with_all = ["headers", "raw", "tree", "json"])]
    pub save: Option<PathBuf>,
}

pub(super) fn show(global: &Global, args: &ShowArgs) -> Result<Outcome, StartError> {
    let order = Order::Message { account: args.account.clone(), number: args.number };
    let message: Message = match ask(global, &args.account, order)? {
        Ok(answer) => read(answer)?,
        Err(why) => return Ok(failed(&why)),
    };
    let octets = message.octets().map_err(|error| StartError(format!("cannot read the server's answer: {error}")))?;
    let view = View { args, message: &message, octets: &octets, tree: Tree::read(&octets) };
    view.show()
}

/// A message and the way it is looked at.
struct View<'a> {
    args: &'a ShowArgs,
    message: &'a Message,
    octets: &'a [u8],
    tree: Result<Tree, Bomb>,
}

impl View<'_> {
    fn show(&self) -> Result<Outcome, StartError> {
        if let Some(folder) = &self.args.save {
            return match &self.tree {
                Ok(tree) => save::save(folder, tree, self.args.part.as_deref(), self.octets),
                Err(bomb) => Ok(failed(&format!("the message can't be taken apart: {bomb}"))),
            };
        }
        if let Some(number) = &self.args.part {
            return Ok(self.part(number));
        }
        if self.args.json {
            say(format_args!("{}\n", escape_json(&self.json())));
        } else if self.args.raw {
            write_exactly(self.octets);
        } else if self.args.headers {
            self.decoded_fields().iter().for_each(|(name, value)| say(format_args!("{}: {}\n", escape(name), escape(value))));
        } else {
            match &self.tree {
                Ok(tree) if self.args.tree => tree.parts.iter().for_each(|part| say(format_args!("{}\n", self.line(part)))),
                Ok(tree) => self.letter(tree),
                Err(bomb) => {
                    anstream::eprintln!("portico: shown as it is, since {bomb}");
                    say(format_args!("{}", escape_lines(&String::from_utf8_lossy(self.octets))));
                }
            }
        }
        Ok(Outcome::Fine)
    }

    /// What a mail program would show: who, when, what about, the text, and what is with it.
    fn letter(&self, tree: &Tree) {
        let fields = self.decoded_fields();
        for name in SHOWN_FIELDS {
            if let Some(value) = fields::named(&fields, name) {
                say(format_args!("{name}: {}\n", escape(value)));
            }
        }
        let shown = tree.text();
        if let Some(part) = shown {
            say(format_args!("\n{}", escape_lines(part.readable(self.octets).trim_end())));
        }
        let mut others = tree.attachments().peekable();
        if others.peek().is_some() {
            say(format_args!("\n"));
        }
        others.for_each(|part| say(format_args!("[{}]\n", self.line(part).trim_start())));
    }

    /// A line of the tree: `1.2  image/jpeg "porch.jpg", base64, 9,024 octets, 6,594 decoded`.
    fn line(&self, part: &Part) -> String {
        let number = if part.number.is_empty() { "-" } else { &part.number };
        format!("{}{number:<4} {}", "  ".repeat(part.depth), escape(part.description(part.octets(self.octets).len())))
    }

    fn part(&self, number: &str) -> Outcome {
        let tree = match &self.tree {
            Ok(tree) => tree,
            Err(bomb) => return failed(&format!("the message can't be taken apart: {bomb}")),
        };
        let Some(part) = tree.find(number) else {
            return failed(&format!("message {} has no part {number}; --tree shows its parts", self.args.number));
        };
        let is_text = part.kind.media.starts_with("text/") || part.is_composite;
        if self.args.json {
            let mut json = self.part_json(part, true);
            if !part.is_readable() {
                json["base64"] = json!(STANDARD.encode(part.octets(self.octets)));
            }
            say(format_args!("{}\n", escape_json(&json)));
        } else if !std::io::stdout().is_terminal() {
            // A text for reading comes in UTF-8; a file as it is, also where it holds text.
            if part.is_readable() { write_exactly(part.text(self.octets).as_bytes()) } else { write_exactly(&part.octets(self.octets)) }
        } else if is_text {
            say(format_args!("{}", escape_lines(&part.text(self.octets))));
        } else {
            return failed(&format!("{} is not for a terminal; redirect it, or add --save DIR", self.line(part).trim_start()));
        }
        Outcome::Fine
    }

    fn json(&self) -> Value {
        let fields = || self.decoded_fields().into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect::<Vec<_>>();
        let parts = |with_text| match &self.tree {
            Ok(tree) => tree.parts.iter().map(|part| self.part_json(part, with_text)).collect(),
            Err(_) => Vec::new(),
        };
        if self.args.headers {
            return json!(fields());
        }
        if self.args.tree {
            return json!(parts(false));
        }
        let mut json =
            json!({ "number": self.args.number, "uid": self.message.uid, "octets": self.octets.len(), "flags": self.message.flags });
        if self.args.raw {
            json["base64"] = json!(self.message.base64);
            return json;
        }
        json["fields"] = json!(fields());
        json["parts"] = json!(parts(true));
        if let Err(bomb) = &self.tree {
            json["whole"] = json!(format!("not taken apart: {bomb}"));
        }
        json
    }

    fn part_json(&self, part: &Part, with_text: bool) -> Value {
        let mut json = part.json(part.octets(self.octets).len());
        if part.is_composite {
            return json;
        }
        json["file-name"] = json!(part.file_name());
        if with_text && part.is_readable() {
            json["text"] = json!(part.text(self.octets));
        }
        json
    }

    fn decoded_fields(&self) -> Vec<(String, String)> {
        fields::decoded(&self.octets[..header_octets(self.octets)])
    }
}

/// Into a file or pipe as it is; on a terminal made safe.
fn write_exactly(octets: &[u8]) {
    let mut out = std::io::stdout().lock();
    if out.is_terminal() {
        return say(format_args!("{}", escape_lines(&String::from_utf8_lossy(octets))));
    }
    // A reader that has seen enough (`| head`) is no failure.
    let _nobody_listens = out.write_all(octets).and_then(|()| out.flush());
}
