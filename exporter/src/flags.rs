//! The flags of prometheus-pve-exporter beside those that both programs have.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};
use pve_exporter::compat::collector::Collector;
use pve_exporter::compat::drop_in::Switches;
use pve_exporter::config::Tls;

const HEADING: &str = "/pve, as in prometheus-pve-exporter (each --collector flag also as --no-collector)";

const COMPAT_FILE: &str = "compat.config.file";
const KEY_FILE: &str = "server.keyfile";
const CERTIFICATE_FILE: &str = "server.certfile";

/// A collector's flag, its opposite, and what it is for.
const COLLECTORS: [(Collector, &str, &str, &str); Collector::ALL.len()] = [
    (
        Collector::Status,
        "collector.status",
        "no-collector.status",
        "What is up",
    ),
    (
        Collector::Resources,
        "collector.resources",
        "no-collector.resources",
        "Figures of nodes, guests and storages",
    ),
    (Collector::Node, "collector.node", "no-collector.node", "Names of nodes"),
    (
        Collector::Cluster,
        "collector.cluster",
        "no-collector.cluster",
        "The cluster",
    ),
    (
        Collector::Version,
        "collector.version",
        "no-collector.version",
        "The version of PVE",
    ),
    (
        Collector::BackupInfo,
        "collector.backup-info",
        "no-collector.backup-info",
        "Guests without a backup job",
    ),
    (
        Collector::QDevice,
        "collector.qdevice",
        "no-collector.qdevice",
        "The QDevice",
    ),
    (
        Collector::Subscription,
        "collector.subscription",
        "no-collector.subscription",
        "Subscriptions of nodes",
    ),
    (
        Collector::Config,
        "collector.config",
        "no-collector.config",
        "Which guests start with their node",
    ),
    (
        Collector::Replication,
        "collector.replication",
        "no-collector.replication",
        "Replication jobs",
    ),
];

const API_METRICS: (&str, &str, &str) = (
    "collector.pve-api-metrics",
    "no-collector.pve-api-metrics",
    "Calls of PVE, at /metrics [default: off]",
);

const TARGET_METRICS: (&str, &str, &str) = (
    "collector.target-metrics",
    "no-collector.target-metrics",
    "Scrapes by target, at /metrics [default: off]",
);

/// What they say.
pub(crate) struct Flags {
    /// `--compat.config.file`.
    pub compat_file: Option<PathBuf>,
    /// `--server.certfile` and `--server.keyfile`.
    pub tls: Option<Tls>,
    /// `--collector.*`.
    pub switches: Switches,
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        let path = |name, help| {
            let path = Arg::new(name).long(name).value_name("PATH").help(help);
            path.value_parser(value_parser!(PathBuf)).help_heading(HEADING)
        };
        let command = command
            .arg(
                path(
                    COMPAT_FILE,
                    "Its configuration, however the file is called; --config.file takes one that ends in .yml as well",
                )
                .conflicts_with("config_file"),
            )
            .arg(path(CERTIFICATE_FILE, "Serve HTTPS with this certificate"))
            .arg(
                path(KEY_FILE, "The key of the certificate, where it is not in the same file")
                    .requires(CERTIFICATE_FILE),
            );
        let collectors = COLLECTORS.into_iter().map(|(_, on, off, help)| (on, off, help));
        let switches = collectors.chain([API_METRICS, TARGET_METRICS]);
        switches.fold(command, |command, (on, off, help)| {
            let flag = |name, opposite| {
                let flag = Arg::new(name).long(name).action(ArgAction::SetTrue);
                flag.overrides_with_all([name, opposite]).help_heading(HEADING)
            };
            command.arg(flag(on, off).help(help)).arg(flag(off, on).hide(true))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let path = |name| matches.get_one::<PathBuf>(name).cloned();
        let tls = path(CERTIFICATE_FILE).map(|certificate| Tls {
            key: path(KEY_FILE).unwrap_or_else(|| certificate.clone()),
            certificate,
        });
        let collectors = COLLECTORS.into_iter().filter(|(_, _, off, _)| !matches.get_flag(off));
        Ok(Self {
            compat_file: path(COMPAT_FILE),
            tls,
            switches: Switches {
                collectors: collectors.map(|(collector, ..)| collector).collect(),
                api_metrics: matches.get_flag(API_METRICS.0),
                target_metrics: matches.get_flag(TARGET_METRICS.0),
            },
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::Arguments;

    fn flags(arguments: &[&str]) -> Flags {
        let arguments = std::iter::once(&"pve-exporter").chain(arguments);
        let matches = Arguments::command().try_get_matches_from(arguments).unwrap();
        Flags::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn collectors_are_switched_by_their_names() {
        assert_eq!(flags(&[]).switches, Switches::default());
        for (collector, on, off, _) in COLLECTORS {
            assert_eq!(on, format!("collector.{}", collector.as_str()));
            assert_eq!(off, format!("no-{on}"));
            let (on, off) = (&*format!("--{on}"), &*format!("--{off}"));
            let holds = |arguments: &[&str]| flags(arguments).switches.collectors.contains(&collector);
            assert!(holds(&[on]) && !holds(&[off]) && !holds(&[on, off]) && holds(&[off, off, on]));
        }
        let switches = flags(&["--collector.pve-api-metrics", "--no-collector.target-metrics"]).switches;
        assert!(switches.api_metrics && !switches.target_metrics);
    }

    #[test]
    fn a_key_may_be_in_the_file_of_its_certificate() {
        let tls = flags(&["--server.certfile=a.pem"]).tls.unwrap();
        assert_eq!(tls.key, tls.certificate);
        let tls = flags(&["--server.certfile", "a.pem", "--server.keyfile", "a.key"])
            .tls
            .unwrap();
        assert_eq!(tls.key, PathBuf::from("a.key"));
        assert!(
            Arguments::command()
                .try_get_matches_from(["pve-exporter", "--server.keyfile=a"])
                .is_err()
        );
    }
}
