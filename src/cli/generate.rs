//! `portico completions` and `portico man`: made from the same description as the flags.

use clap_complete::Shell;

use super::{Outcome, say};

pub(crate) fn completions(mut command: clap::Command, shell: Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "portico", &mut script);
    say(format_args!("{}", String::from_utf8_lossy(&script)));
    Outcome::Fine
}

/// The manual page; those of the subcommands follow it.
pub(crate) fn man(mut command: clap::Command) -> Outcome {
    command.build();
    let mut pages = Vec::new();
    let subcommands: Vec<_> = command.get_subcommands().filter(|sub| sub.get_name() != "help").cloned().collect();
    for page in std::iter::once(command).chain(subcommands) {
        // Writing to memory can't fail.
        let _written = clap_mangen::Man::new(page).render(&mut pages);
    }
    say(format_args!("{}", String::from_utf8_lossy(&pages)));
    Outcome::Fine
}
