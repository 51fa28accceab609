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

/// All experiments.
pub(crate) static EXPERIMENTS: &[Experiment] = &[
    Experiment {
        name: "response-time",
        summary: "a page with ten objects: non-persistent, parallel, persistent, pipelined",
        run: |setting| Box::pin(response_time::run(setting)),
    },
    Experiment {
        name: "web-cache",
        summary: "an access link that is full: a faster one, or a cache?",
        run: |setting| Box::pin(web_cache::run(setting)),
    },
    Experiment {
        name: "conditional-get",
        summary: "what If-Modified-Since saves, by hand and through the proxy",
        run: |setting| Box::pin(conditional_get::run(setting)),
    },
    Experiment {
        name: "store-and-forward",
        summary: "mail waits for a link that is down, and leaves by priority when it is up",
        run: |setting| Box::pin(store_and_forward::run(setting)),
    },
    Experiment {
        name: "compression",
        summary: "XML over slow radio links, with gzip, br, zstd and without",
        run: |setting| Box::pin(compression::run(setting)),
    },
    Experiment {
        name: "ftp-channels",
        summary: "FTP's two connections on a time line, against HTTP's one",
        run: |setting| Box::pin(ftp_channels::run(setting)),
    },
    Experiment {
        name: "slow-clients",
        summary: "how many slow attackers a service stands, and for how long",
        run: |setting| Box::pin(slow_clients::run(setting)),
    },
];

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
