//! The flags that several subcommands share.

use std::{net::IpAddr, path::PathBuf};

use clap::{ArgAction, Args, ValueEnum};
use tracing::level_filters::LevelFilter;

/// Flags of every subcommand.
#[derive(Args, Clone)]
pub(crate) struct Global {
    /// The data folder [default: the current one, if it is empty or was one before]
    #[arg(long, value_name = "DIR", global = true)]
    pub data: Option<PathBuf>,
    /// The tree of web documents and FTP files [default: www in the data folder]
    #[arg(long, value_name = "DIR", global = true)]
    pub www: Option<PathBuf>,
    /// The mailboxes, one Maildir per account [default: maildir in the data folder]
    #[arg(long, value_name = "DIR", global = true)]
    pub maildir: Option<PathBuf>,
    /// Certificates and keys [default: certs in the data folder]
    #[arg(long, value_name = "DIR", global = true)]
    pub certs: Option<PathBuf>,
    /// Queue, cache, transcripts, lock [default: var in the data folder]
    #[arg(long, value_name = "DIR", global = true)]
    pub var: Option<PathBuf>,
    /// Change a setting: --set smtp.retry.first=4s (repeatable; `portico config` lists them)
    #[arg(long, value_name = "KEY=VALUE", global = true)]
    pub set: Vec<String>,
    /// How the log is written
    #[arg(long, value_enum, default_value_t = LogFormat::Pretty, global = true)]
    pub log_format: LogFormat,
    /// The least important level that is logged
    #[arg(long, value_enum, default_value_t = LogLevel::Info, global = true)]
    pub log_level: LogLevel,
    /// Log more: -v is --log-level debug, -vv trace
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub verbose: u8,
}

/// Flags of `serve`; `check` and `config` take them too and tell what would be.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServeFlags {
    /// Addresses to listen on, repeated or with commas [default: 127.0.0.1,::1]
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub host: Vec<IpAddr>,
    /// Added to every well-known port [default: 8000]
    #[arg(long, value_name = "NUMBER")]
    pub port_offset: Option<u16>,
    /// Move one service: --listen smtp=127.0.0.1:2525 (repeatable)
    #[arg(long, value_name = "SERVICE=ADDRESS:PORT")]
    pub listen: Vec<String>,
    /// Serve these services alone: --only http,proxy
    #[arg(long, value_name = "SERVICES", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Leave these services out: --without ftp,ftps
    #[arg(long, value_name = "SERVICES", value_delimiter = ',')]
    pub without: Vec<String>,
    /// `any` lets the system choose all ports; the start-up table and --ready-file tell them
    #[arg(long, value_enum, value_name = "any", hide_possible_values = true)]
    pub ports: Option<Ports>,
    /// Written when all listeners are up: `service address`, one per line
    #[arg(long, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
    /// Put a service behind an emulated link: --link http=rtt:100ms,rate:1.5Mbps, or =adsl (repeatable)
    #[arg(long, value_name = "SERVICE=LINK")]
    pub link: Vec<String>,
    /// Record every conversation below var/transcripts
    #[arg(long)]
    pub transcripts: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ports {
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Pretty,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Global {
    /// The level that `--log-level` and `-v` ask for together.
    pub(crate) fn level(&self) -> LevelFilter {
        let named = match self.log_level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        };
        match self.verbose {
            0 => named,
            1 => named.max(LevelFilter::DEBUG),
            _ => LevelFilter::TRACE,
        }
    }
}
