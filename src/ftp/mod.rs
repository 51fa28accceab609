//! ftp

pub(crate) mod settings;
