//! smtp

pub(crate) mod relay;
pub(crate) mod settings;
