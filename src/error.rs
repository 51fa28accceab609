//! Start-up errors: they speak to a person and say what to change.

use std::fmt;

/// Why Portico did not start. Printed as one line; exit code 2.
#[derive(Debug)]
pub(crate) struct StartError(pub String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}
