//! The program: arguments, logging, signals; everything else is in the library.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Parser, Subcommand};
use pve_exporter::backfill::plan::Selection;
use pve_exporter::backfill::progress::Progress;
use pve_exporter::backfill::{self, BackfillError};
use pve_exporter::clock::Clock;
use pve_exporter::config::{Config, ConfigError, LoadOptions, Log, LogFormat};
#[cfg(feature = "demo")]
use pve_exporter::demo::{self, Demo};
use pve_exporter::scrape::Exporter;
use pve_exporter::telemetry::Telemetry;
use pve_exporter::{estimate, metrics, server};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

mod flags;
mod opener;

use flags::Flags;

/// Prometheus exporter for Proxmox VE clusters. Without a command it serves /metrics.
#[derive(Parser)]
#[command(name = "pve-exporter", version)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Args)]
struct Options {
    /// The configuration file; conf.d/*.toml beside it is read as well [default: /etc/pve-exporter/config.toml]. A .yml is that of prometheus-pve-exporter
    #[arg(long = "config.file", value_name = "PATH", global = true)]
    config_file: Option<PathBuf>,
    /// The address to serve on [default: [::]:9221; of the demo 127.0.0.1:9221]
    #[arg(long = "web.listen-address", value_name = "ADDRESS", global = true)]
    listen_address: Option<String>,
    /// error, warn, info, debug or trace [default: info]
    #[arg(long = "log.level", value_name = "LEVEL", global = true)]
    log_level: Option<String>,
    /// logfmt or json [default: logfmt]
    #[arg(long = "log.format", value_name = "FORMAT", global = true)]
    log_format: Option<String>,
    #[command(flatten)]
    drop_in: Flags,
}

#[derive(Subcommand)]
enum Command {
    /// Start a simulated cluster and an exporter for it, to look at
    #[cfg(feature = "demo")]
    Demo(demo::Arguments),
    /// Print the catalogue of all metrics
    Metrics,
    /// Ask the configured clusters once and print how many series they give
    Series {
        /// Print the number of series for each subject
        #[arg(long, required = true)]
        estimate: bool,
    },
    /// Connect to the ports of guests, as root, for an exporter that is not
    Opener(opener::OpenerArguments),
    /// Write the history that PVE has kept as files for `promtool tsdb create-blocks-from openmetrics`
    Backfill(Box<BackfillArguments>),
}

#[derive(Args)]
struct BackfillArguments {
    /// How far back: 30d, 52w, 1y, or a day such as 2026-01-31
    #[arg(long, value_name = "TIME")]
    since: String,
    /// Where it ends, which is where Prometheus has samples of its own; written like --since
    #[arg(long, value_name = "TIME", default_value = "3h")]
    until: String,
    /// Leave out periods that are shorter: 30m makes the files of PVE 9 a third smaller
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    resolution: String,
    /// The directory for the files: new, empty, or of the same command before, which then goes on
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// How often PVE is asked at most, on top of what a running exporter asks
    #[arg(long, value_name = "NUMBER", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=6_000))]
    calls_per_minute: u32,
    /// The cluster, where the configuration has several
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Names of nodes, all or none
    #[arg(long, value_delimiter = ',', default_value = "all")]
    nodes: Vec<String>,
    /// Numbers of guests such as 100,200-299, all (that the configuration reports on) or none
    #[arg(long, value_delimiter = ',', default_value = "all")]
    guests: Vec<String>,
    /// Names of storages, all or none
    #[arg(long, value_delimiter = ',', default_value = "all")]
    storages: Vec<String>,
    /// A label that Prometheus gives the live series, such as job=pve or instance=exporter:9221; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Options {
    fn load(&self) -> Result<Config, ConfigError> {
        let config = Config::load(&LoadOptions {
            file: self.config_file.clone(),
            environment: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            web_listen_address: self.listen_address.clone(),
            log_level: self.log_level.clone(),
            log_format: self.log_format.clone(),
            compat_file: self.drop_in.compat_file.clone(),
            tls: self.drop_in.tls.clone(),
            switches: self.drop_in.switches.clone(),
        })?;
        config.check_secrets()?;
        Ok(config)
    }

    /// How a command logs that reads no configuration.
    fn log_without_configuration(&self) -> Result<Log, String> {
        if self.config_file.is_some() {
            return Err("--config.file: this command reads no configuration; leave the flag out".to_owned());
        }
        Log::from_flags(self.log_level.as_deref(), self.log_format.as_deref())
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // What runs as root brings up as little as possible.
    if let Some(Command::Opener(opener)) = arguments.command {
        return match arguments.options.log_without_configuration() {
            Ok(log) => {
                start_logging(&log);
                opener.run()
            }
            Err(problem) => misconfigured(&problem),
        };
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    runtime.block_on(async {
        match arguments.command {
            None => run(arguments.options).await,
            #[cfg(feature = "demo")]
            Some(Command::Demo(demo)) => match arguments.options.log_without_configuration() {
                Ok(log) => {
                    start_logging(&log);
                    let address = arguments.options.listen_address.as_deref();
                    play(demo, address.unwrap_or(demo::LISTEN_ADDRESS)).await
                }
                Err(problem) => misconfigured(&problem),
            },
            Some(Command::Metrics) => print(&metrics::catalog::markdown()),
            Some(Command::Series { .. }) => estimate(&arguments.options).await,
            Some(Command::Opener(_)) => ExitCode::SUCCESS,
            Some(Command::Backfill(backfill)) => backfill.run(&arguments.options).await,
        }
    })
}

#[cfg(feature = "demo")]
async fn play(arguments: demo::Arguments, address: &str) -> ExitCode {
    let demo = match Demo::start(arguments, Clock::default()).await {
        Ok(demo) => demo,
        Err(problem) => return fail(&problem),
    };
    let listening = TcpListener::bind(address).await;
    match listening.and_then(|listener| Ok((listener.local_addr()?, listener))) {
        Ok((address, listener)) => {
            print(&demo.greeting(address));
            serve(vec![listener], Arc::clone(&demo.exporter)).await
        }
        Err(error) => fail(&format!("cannot listen on {address}: {error}")),
    }
}

async fn estimate(options: &Options) -> ExitCode {
    let config = match options.load() {
        Ok(config) => config,
        Err(error) => return misconfigured(&error),
    };
    start_logging(&config.log);
    match estimate::estimate(config).await {
        Ok(estimate) => {
            let printed = print(&estimate.table);
            if estimate.missing.is_empty() {
                return printed;
            }
            fail(&format!(
                "no answer from {}: their series are missing above",
                estimate.missing.join(", ")
            ))
        }
        Err(error) => fail(&error),
    }
}

impl BackfillArguments {
    async fn run(self, options: &Options) -> ExitCode {
        let config = match options.load() {
            Ok(config) => config,
            Err(error) => return misconfigured(&error),
        };
        start_logging(&config.log);
        let arguments = backfill::Arguments {
            since: self.since,
            until: self.until,
            resolution: self.resolution,
            output: self.output,
            calls_per_minute: self.calls_per_minute,
            cluster: self.cluster,
            nodes: Selection(self.nodes),
            guests: Selection(self.guests),
            storages: Selection(self.storages),
            labels: self.labels,
        };
        let mut stderr = std::io::stderr();
        let terminal = stderr.is_terminal();
        let mut progress = Progress::new(&mut stderr, terminal);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        match backfill::run(&config, &arguments, now, &mut progress).await {
            Ok(report) => {
                let printed = print(&report.text);
                if report.missing.is_empty() {
                    return printed;
                }
                for (object, error) in &report.missing {
                    eprintln!("pve-exporter: {object}: {error}");
                }
                fail(&"these histories are missing in the files; the same command asks for them once more")
            }
            Err(error @ BackfillError::Argument(_)) => misconfigured(&error),
            Err(error) => fail(&error),
        }
    }
}

async fn run(options: Options) -> ExitCode {
    let config = match options.load() {
        Ok(config) => config,
        Err(error) => return misconfigured(&error),
    };
    start_logging(&config.log);
    if let Some(Err(error)) = config.web.tls.as_ref().map(server::tls::acceptor) {
        return misconfigured(&error);
    }
    let addresses = config.web.listen_address.clone();
    let (clock, settings) = (Clock::default(), &config.guest_telemetry);
    let telemetry = settings.enabled.then(|| Telemetry::start(settings, clock.clone()));
    let exporter = match Exporter::with_telemetry(config, clock, telemetry) {
        Ok(exporter) => exporter,
        Err(error) => return misconfigured(&error),
    };
    let listeners = match server::bind(&addresses).await {
        Ok(listeners) => listeners,
        Err(error) => {
            tracing::error!(%error, "cannot listen");
            return ExitCode::FAILURE;
        }
    };
    for address in listeners.iter().filter_map(|listener| listener.local_addr().ok()) {
        tracing::info!(%address, serving = exporter.serving(), "serving metrics");
    }
    let reloading = Arc::clone(&exporter);
    let hang_up = match signal(SignalKind::hangup()) {
        Ok(hang_up) => hang_up,
        Err(error) => return fail(&error),
    };
    tokio::spawn(reload_on_signal(hang_up, reloading, options));
    serve(listeners, exporter).await
}

async fn reload_on_signal(mut hang_up: tokio::signal::unix::Signal, exporter: Arc<Exporter>, options: Options) {
    while hang_up.recv().await.is_some() {
        exporter.reload(options.load());
    }
}

/// Serves until SIGTERM or Ctrl-C.
async fn serve(listeners: Vec<TcpListener>, exporter: Arc<Exporter>) -> ExitCode {
    let (mut terminate, mut interrupt) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => return fail(&error),
    };
    let warming = Arc::clone(&exporter);
    tokio::spawn(async move { warming.warm_up().await });
    let retrying = Arc::clone(&exporter);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        loop {
            ticks.tick().await;
            retrying.retry();
        }
    });
    let served = server::serve(listeners, Arc::clone(&exporter), async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("ending; scrapes under way finish");
    })
    .await;
    exporter.stop().await;
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "cannot serve HTTPS");
            ExitCode::FAILURE
        }
    }
}

fn start_logging(log: &Log) {
    let level: tracing::level_filters::LevelFilter = log
        .level
        .as_str()
        .parse()
        .unwrap_or(tracing::level_filters::LevelFilter::INFO);
    // Only this program's own lines: libraries below it may log addresses and headers.
    let filter = tracing_subscriber::filter::Targets::new()
        .with_target("pve_exporter", level)
        .with_target("pve_simulator", level);
    let registry = tracing_subscriber::registry().with(filter);
    match log.format {
        LogFormat::Logfmt => registry
            .with(tracing_logfmt::builder().layer().with_writer(std::io::stderr))
            .init(),
        LogFormat::Json => registry
            .with(tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr))
            .init(),
    }
}

fn print(text: &str) -> ExitCode {
    // Whoever reads only the beginning, as `head` does, wants no more.
    match writeln!(std::io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => fail(&error),
        _ => ExitCode::SUCCESS,
    }
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("pve-exporter: {error}");
    ExitCode::FAILURE
}

/// A mistake in the configuration: exit status 2.
fn misconfigured(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("pve-exporter: {error}");
    ExitCode::from(2)
}
