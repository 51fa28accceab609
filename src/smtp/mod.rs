//! smtp

pub(crate) mod settings;
