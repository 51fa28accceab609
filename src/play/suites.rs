//! The ready-made suites: scripts that test anybody's server, built into the binary.

/// Each suite with its text; the name is that of its file.
const SUITES: &[(&str, &str)] = &[];

/// The text of a file that is built in.
pub(super) fn source(name: &str) -> Option<&'static str> {
    SUITES.iter().find(|(file, _)| *file == name).map(|(_, text)| *text)
}
