//! Portico: the classic Internet application servers in one process.
//!
//! Where to begin: `ARCHITECTURE.md` follows one connection of each protocol through the code.
//! The layers, each using only what is below it:
//!
//! ```text
//! 4  cli config services control lab play
//! 3  web proxy smtp pop3 ftp capital      never one another
//! 2  http mail                            pure formats
//! 1  net store transcript                 net and store never know each other
//! 0  clock units explain
//! ```
#![forbid(unsafe_code)]

pub mod cli;

pub(crate) mod capital;
pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod control;
pub(crate) mod error;
pub(crate) mod explain;
pub(crate) mod ftp;
pub(crate) mod http;
pub(crate) mod lab;
pub(crate) mod mail;
pub(crate) mod net;
pub(crate) mod play;
pub(crate) mod pop3;
pub(crate) mod proxy;
pub(crate) mod services;
pub(crate) mod smtp;
pub(crate) mod store;
pub(crate) mod transcript;
pub(crate) mod units;
pub(crate) mod web;

#[doc(hidden)]
pub mod testing;
