//! The contract suite: what every tree, mail store and queue must do, run against each of them.

mod full;
mod mail;
mod model;
mod tree;
mod uploads;
