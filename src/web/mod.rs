//! web

pub(crate) mod settings;
