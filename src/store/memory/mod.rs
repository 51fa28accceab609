//! The doubles in memory: what tests of protocols use, and the lab when nothing is to stay.
//!
//! They keep the contracts of their traits (one suite runs against them and the disk alike) and
//! can be told to run full.

mod mail;
mod tree;

pub(crate) use mail::MemoryMail;
pub(crate) use tree::MemoryTree;
