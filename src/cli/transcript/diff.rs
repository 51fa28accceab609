//! `portico transcript diff A B`: what two conversations differ in.

use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};
use clap::Args;
use similar::{ChangeTag, TextDiff};

use crate::{
    cli::{Outcome, say},
    play,
    transcript::script::{Item, Script, Step},
};

/// Times, addresses and notes never count. Exit code 1 tells that there are differences.
#[derive(Args, Debug)]
pub(super) struct DiffArgs {
    /// A transcript
    before: PathBuf,
    /// Another one
    after: PathBuf,
    /// Compare of replies only the codes, of HTTP heads only the status and the names of the fields,
    /// as when a recording is played again
    #[arg(long)]
    codes: bool,
    /// How many lines to show around a difference
    #[arg(long, value_name = "LINES", default_value_t = 3)]
    context: usize,
}

pub(super) fn diff(args: &DiffArgs) -> Result<Outcome, String> {
    let (before, after) = (lines(&args.before, args.codes)?, lines(&args.after, args.codes)?);
    let difference = TextDiff::from_lines(&before, &after);
    let hunks = difference.grouped_ops(args.context);
    if hunks.is_empty() {
        return Ok(Outcome::Fine);
    }
    say(format_args!("--- {}\n+++ {}\n", args.before.display(), args.after.display()));
    for (index, hunk) in hunks.iter().enumerate() {
        if index > 0 {
            say(format_args!("...\n"));
        }
        for change in hunk.iter().flat_map(|op| difference.iter_changes(op)) {
            let (sign, style) = match change.tag() {
                ChangeTag::Delete => ('-', AnsiColor::Red.on_default()),
                ChangeTag::Insert => ('+', AnsiColor::Green.on_default()),
                ChangeTag::Equal => (' ', Style::new()),
            };
            say(format_args!("{style}{sign}{}{style:#}\n", change.value().trim_end()));
        }
    }
    Ok(Outcome::Failed)
}

/// A transcript without what is different every time.
fn lines(file: &Path, codes: bool) -> Result<String, String> {
    let mut script = super::show::read(file)?;
    if codes {
        script = play::loosened(script);
    }
    let lasts = |item: &Item| !matches!(item.step, Step::Recorded(_) | Step::Comment(_) | Step::Note(_) | Step::Data(_) | Step::Blank);
    let items = script.items.into_iter().filter(lasts).map(|item| Item { at: None, ..item });
    Ok(Script { items: items.collect() }.to_string())
}
