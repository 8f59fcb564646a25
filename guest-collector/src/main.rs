//! The program: arguments and logging; everything else is in the library.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use figment::value::Value;
use pve_guest_collector::check;
use pve_guest_collector::config::{Config, ConfigError, Layers};
use pve_guest_collector::once::{self, Form};
use pve_guest_collector::run;
use pve_guest_collector::samplers::Roots;
use pve_guest_protocol::Area;

/// Publishes the metrics of this virtual machine to its host over a virtio-serial port. Without --once and --check it does so until
/// it is stopped.
#[derive(Parser)]
#[command(name = "pve-guest-collector", version, after_help = AFTER_HELP)]
struct Arguments {
    /// The configuration file [default: /etc/pve-guest-collector.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// From one sample to the next, from 1s to 5m [default: 10s]
    #[arg(long, value_name = "TIME")]
    interval: Option<String>,
    /// The name of the port, or its path [default: org.pve-telemetry.guest.0]
    #[arg(long, value_name = "NAME")]
    port: Option<String>,
    /// Sample these areas only, such as cpus,memory
    #[arg(long, value_name = "AREAS", value_delimiter = ',', conflicts_with = "without")]
    only: Vec<String>,
    /// Leave these areas out
    #[arg(long, value_name = "AREAS", value_delimiter = ',')]
    without: Vec<String>,
    /// error, warn, info or debug [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Print one sample and end
    #[arg(long)]
    once: bool,
    /// With --once: the lines as they are sent
    #[arg(long, requires = "once")]
    json: bool,
    /// Tell what is missing on this machine, and end
    #[arg(long, conflicts_with = "once")]
    check: bool,
}

const AFTER_HELP: &str = "\
Every setting is also a key of the configuration file and an environment variable: interval and
PVE_GUEST_COLLECTOR_INTERVAL, areas.users and PVE_GUEST_COLLECTOR_AREAS__USERS.

Exit status: 0 done; 1 --check found something missing, or the output could not be written; 2 wrong
arguments or configuration. Without --once and --check it ends by a signal only.";

impl Arguments {
    fn configuration(&self) -> Result<Config, ConfigError> {
        let texts = [
            ("--interval", "interval", &self.interval),
            ("--port", "port", &self.port),
            ("--log-level", "log_level", &self.log_level),
        ];
        let texts = texts.into_iter().filter_map(|(flag, key, text)| {
            let text = text.as_ref()?;
            Some((flag, key.to_owned(), Value::from(text.as_str())))
        });
        let switch = |flag, area: &str, on: bool| (flag, format!("areas.{area}"), Value::from(on));
        let all = Area::ALL.iter().filter(|_| !self.only.is_empty());
        let off = all.map(|area| switch("--only", area.name(), false));
        let on = self.only.iter().map(|area| switch("--only", area, true));
        let without = self.without.iter().map(|area| switch("--without", area, false));
        Config::load(&Layers {
            file: self.config.clone(),
            environment: std::env::vars_os()
                .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
                .collect(),
            flags: texts.chain(off).chain(on).chain(without).collect(),
        })
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = match arguments.configuration() {
        Ok(config) => config,
        Err(error) => {
            for problem in error.to_string().lines() {
                eprintln!("pve-guest-collector: {problem}");
            }
            return ExitCode::from(2);
        }
    };
    start_logging(&config);
    let roots = Roots::default();
    let mut text = Vec::new();
    let found = if arguments.once {
        let form = if arguments.json { Form::Lines } else { Form::Table };
        once::write(&config, &roots, form, &mut text);
        ExitCode::SUCCESS
    } else if arguments.check {
        if check::write(&config, &roots, &mut text) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    } else {
        run::run(&config, &roots)
    };
    match io::stdout().write_all(&text) {
        // Whoever reads only the beginning, as `head` does, wants no more.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("pve-guest-collector: cannot write: {error}");
            ExitCode::FAILURE
        }
        _ => found,
    }
}

fn start_logging(config: &Config) {
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;

    tracing_subscriber::registry()
        .with(config.log_level)
        .with(tracing_logfmt::builder().layer().with_writer(io::stderr))
        .init();
}
