//! proxy

pub(crate) mod settings;
