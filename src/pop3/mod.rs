//! pop3

pub(crate) mod settings;
