//! `portico reset`: restores the samples.

use super::{Outcome, folder::DataFolder, options::Global, samples, say};
use crate::error::StartError;

pub(crate) fn reset(global: &Global) -> Result<Outcome, StartError> {
    let folder = DataFolder::resolve(global)?;
    for (part, name) in [(&folder.www, "www"), (&folder.maildir, "maildir")] {
        std::fs::create_dir_all(part).map_err(super::folder::cannot("create the folder", part))?;
        for path in samples::restore(part, name)? {
            say(format_args!("restored {}\n", path.display()));
        }
    }
    Ok(Outcome::Fine)
}
