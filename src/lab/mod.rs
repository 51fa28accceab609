//! The lab: experiments that measure what the textbook calculates, `portico lab NAME`.
//!
//! Each experiment runs servers and clients of this binary over emulated links and answers a
//! [`Report`]: what the formula predicts beside what was measured. As a rule they run in memory on
//! virtual time, where a link of 1 kbit/s is as quick as any and the same seed gives the same
//! figures; with `--real` over sockets in real time. A new experiment is one file here and one row
//! in [`EXPERIMENTS`].

mod compression;
mod conditional_get;
mod ftp_channels;
mod plot;
pub(crate) mod report;
mod response_time;
mod slow_clients;
mod stage;
mod store_and_forward;
mod svg;
mod talk;
mod text;
mod visit;
mod web_cache;

use std::{future::Future, pin::Pin};

use report::Report;
pub(crate) use svg::print as svg;
pub(crate) use text::print as text;

/// How an experiment is to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// What is random is drawn from this.
    pub seed: u64,
    /// Over sockets and in real time.
    pub is_real: bool,
}

/// An experiment on its way.
type Run = Pin<Box<dyn Future<Output = Result<Report, String>>>>;

/// An experiment.
pub(crate) struct Experiment {
    pub name: &'static str,
    /// What it shows, in a line.
    pub summary: &'static str,
    run: fn(Setting) -> Run,
}

macro_rules! experiments {
    ($($module:ident $name:literal: $summary:literal,)+) => {
        /// All experiments.
        pub(crate) static EXPERIMENTS: &[Experiment] =
            &[$(Experiment { name: $name, summary: $summary, run: |setting| Box::pin($module::run(setting)) }),+];
    };
}

experiments! {
    response_time "response-time": "a page with ten objects: non-persistent, parallel, persistent, pipelined",
    web_cache "web-cache": "an access link that is full: a faster one, or a cache?",
    conditional_get "conditional-get": "what If-Modified-Since saves, by hand and through the proxy",
    store_and_forward "store-and-forward": "mail waits for a link that is down, and leaves by priority when it is up",
    compression "compression": "XML over slow radio links, with gzip, br, zstd and without",
    ftp_channels "ftp-channels": "FTP's two connections on a time line, against HTTP's one",
    slow_clients "slow-clients": "how many slow attackers a service stands, and for how long",
}

/// Runs an experiment to its end.
///
/// # Errors
/// What went wrong; the experiment shows nothing then.
pub(crate) fn perform(experiment: &Experiment, setting: Setting) -> Result<Report, String> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(!setting.is_real);
    let runtime = builder.build().map_err(|error| format!("cannot start the runtime: {error}"))?;
    let report = runtime.block_on((experiment.run)(setting));
    runtime.shutdown_background();
    report
}

#[cfg(test)]
mod tests;
