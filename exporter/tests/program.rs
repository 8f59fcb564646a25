//! The program as an operator meets it: exit status, messages, log, signals.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod support;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use pve_exporter::metrics::catalog;
use pve_exporter::metrics::exposition::Format;
use pve_simulator::{Clock, Options, Simulator};
use support::exporters::checked;
use support::http::get;
use support::program::{Program, command, run, write};
use support::simulated::options;
use support::strict::{Exposition, Sample};
use tempfile::TempDir;

/// A configuration for a simulated cluster, in files.
struct Setup {
    directory: TempDir,
    simulator: Simulator,
}

impl Setup {
    async fn new() -> Self {
        Self::with(options()).await
    }

    async fn with(options: Options) -> Self {
        let setup = Self {
            directory: TempDir::new().unwrap(),
            simulator: Simulator::start(options).await.unwrap(),
        };
        write(&setup.path("token"), &setup.simulator.token_secret(), 0o600);
        setup.configure(&setup.cluster("main", "token"));
        setup
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The section of the simulated cluster under this name.
    fn cluster(&self, name: &str, token_file: &str) -> String {
        let fingerprints: Vec<_> = self
            .simulator
            .nodes()
            .iter()
            .map(|node| self.simulator.fingerprint(node))
            .collect();
        format!(
            "[clusters.{name}]\nendpoints = {:?}\ntoken_id = {:?}\ntoken_file = {:?}\nfingerprints = {:?}\n",
            self.simulator.endpoints(),
            self.simulator.token_id(),
            self.path(token_file),
            fingerprints.into_iter().flatten().collect::<Vec<_>>(),
        )
    }

    fn configure(&self, text: &str) {
        write(&self.path("config.toml"), text, 0o644);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let file = format!("--config.file={}", self.path("config.toml").display());
        let mut all = arguments.to_vec();
        all.extend([file.as_str(), "--web.listen-address=127.0.0.1:0"]);
        command(&all)
    }

    fn start(&self, arguments: &[&str]) -> Program {
        Program::start(self.command(arguments))
    }

    /// The one message of a program that refuses to start.
    fn refusal(&self, essentials: &[&str]) {
        let output = self.command(&[]).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
        for essential in essentials {
            assert!(message.contains(essential), "no {essential:?} in {message}");
        }
        assert!(!message.contains(&self.simulator.token_secret()), "{message}");
        assert!(output.stdout.is_empty());
    }
}

async fn metrics(program: &mut Program) -> String {
    get(program.address(), "/metrics", &[]).await.text().to_owned()
}

#[tokio::test]
async fn a_broken_configuration_is_status_2_and_one_message() {
    let setup = Setup::new().await;
    let file = setup.path("config.toml").display().to_string();
    let good = setup.cluster("main", "token");
    setup.configure(&format!("{good}request_timout = \"5s\"\n"));
    setup.refusal(&[&file, "clusters.main.request_timout", "request_timeout"]);
    setup.configure(&format!("{good}request_timeout = \"soon\"\n"));
    setup.refusal(&[&file, "clusters.main.request_timeout", "\"soon\"", "\"10s\""]);
    setup.configure(&format!("{good}compression = 1\n"));
    setup.refusal(&[&file, "clusters.main.compression", "true"]);
    setup.configure(&good.replacen("https://", "ftp://", 1));
    setup.refusal(&[&file, "clusters.main.endpoints", "ftp://", "https://"]);
}

#[tokio::test]
async fn a_secret_that_cannot_be_used_is_status_2_and_one_message() {
    let setup = Setup::new().await;
    let config = setup.path("config.toml").display().to_string();
    let token = setup.path("token").display().to_string();
    write(&setup.path("token"), &setup.simulator.token_secret(), 0o644);
    setup.refusal(&[&config, "clusters.main.token_file", &token, "chmod"]);
    std::fs::remove_file(setup.path("token")).unwrap();
    setup.refusal(&[&config, "clusters.main.token_file", &token, "No such file"]);
}

#[test]
fn wrong_arguments_and_help() {
    assert_eq!(run(&["--no-such-flag"]).status.code(), Some(2));
    let help = run(&["--help"]);
    assert!(help.status.success());
    assert!(String::from_utf8(help.stdout).unwrap().contains("--config.file"));
    let help = String::from_utf8(run(&["backfill", "--help"]).stdout).unwrap();
    // It is wrapped where the terminal ends.
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        help.contains("on top of what a running exporter asks [default: 60]"),
        "{help}"
    );
}

#[test]
fn the_catalogue_is_printed() {
    let output = run(&["metrics"]);
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().trim_end(),
        catalog::markdown().trim_end()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn series_are_estimated_and_no_proxy_of_the_environment_is_used() {
    let setup = Setup::new().await;
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let mut command = setup.command(&["series", "--estimate"]);
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(variable, format!("http://{}", proxy.local_addr().unwrap()));
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{table}");
    assert!(table.contains("24 guests, "), "{table}");
    proxy.accept().expect_err("nobody came");
}

#[cfg(feature = "demo")]
#[tokio::test]
async fn the_demo_serves_until_it_is_ended() {
    let mut demo = Program::demo(&["--nodes", "2", "--guests", "5"]);
    let exposition = checked(&metrics(&mut demo).await, Format::Classic);
    assert_eq!(exposition.samples("pve_node_up").count(), 2);
    assert_eq!(exposition.samples("pve_guest_info").count(), 5);
    assert!(demo.stdout().contains(&format!("http://{}/metrics", demo.address())));
    demo.signal("TERM");
    assert_eq!(demo.ended().code(), Some(0));
}

/// What is wrong, and how it shows.
#[cfg(feature = "demo")]
type Trouble<'a> = (&'a str, &'a dyn Fn(&Exposition) -> bool);

/// One node has everything that three would share, and is read at once.
#[cfg(feature = "demo")]
#[tokio::test]
async fn the_demo_shows_what_breaks_at_night() {
    let mut demo = Program::demo(&["--nodes", "1", "--guests", "5"]);
    let now = || {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs_f64()
    };
    let soon = |end: &Sample| end.value > now() && end.value < now() + 14.0 * 86_400.0;
    let troubles: [Trouble<'_>; 11] = [
        ("a degraded pool", &|seen| {
            seen.value("pve_zfs_pool_health", &[("pool", "tank"), ("health", "degraded")]) == Some(1.0)
                && seen.value("pve_zfs_pool_vdevs_unhealthy", &[("pool", "tank")]) == Some(1.0)
        }),
        ("a thin pool that is nearly full", &|seen| {
            let pool = |name| seen.value(name, &[("lv", "scratch")]);
            pool("pve_lvmthin_pool_usage_bytes") > pool("pve_lvmthin_pool_size_bytes").map(|size| size * 0.95)
        }),
        ("a failing disk", &|seen| {
            seen.samples("pve_disk_health")
                .any(|disk| disk.label("health") == Some("failing"))
                && seen.samples("pve_disk_pending_sectors").any(|disk| disk.value > 0.0)
        }),
        ("a worn disk", &|seen| {
            seen.samples("pve_disk_life_used_ratio")
                .any(|disk| disk.value > 0.9 && disk.value < 1.0)
        }),
        ("an expiring certificate", &|seen| {
            seen.samples("pve_certificate_not_after_timestamp_seconds").any(soon)
        }),
        ("pending updates", &|seen| {
            seen.value("pve_update_packages_pending", &[]) > Some(0.0)
                && seen.value("pve_node_reboot_needed", &[]) == Some(1.0)
        }),
        ("a stopped service", &|seen| {
            let service = |name| seen.value(name, &[("service", "chrony")]);
            service("pve_service_running") == Some(0.0) && service("pve_service_enabled") == Some(1.0)
        }),
        ("an expired subscription", &|seen| {
            seen.value("pve_subscription_status", &[("status", "expired")]) == Some(1.0)
        }),
        ("a user who expires", &|seen| {
            seen.samples("pve_access_expiry_next_timestamp_seconds")
                .any(|end| end.value > now())
        }),
        ("a clock that is wrong", &|seen| {
            seen.value("pve_node_clock_offset_seconds", &[]) > Some(6.0)
        }),
        ("Ceph that is not well", &|seen| {
            seen.samples("pve_ceph_health")
                .any(|ceph| ceph.label("status") == Some("HEALTH_WARN"))
        }),
    ];
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        let seen = checked(&metrics(&mut demo).await, Format::Classic);
        let missing: Vec<_> = troubles
            .iter()
            .filter(|(_, shown)| !shown(&seen))
            .map(|(trouble, _)| *trouble)
            .collect();
        if missing.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "the demo does not show {missing:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_effect_or_changes_nothing() {
    let setup = Setup::new().await;
    let mut program = setup.start(&[]);
    assert!(
        metrics(&mut program)
            .await
            .contains("pve_exporter_configuration_ok 1\n")
    );

    setup.configure(&setup.cluster("renamed", "token"));
    program.signal("HUP");
    program.wait_for_log("configuration reloaded");
    let text = metrics(&mut program).await;
    assert!(text.contains("pve_cluster=\"renamed\"") && !text.contains("pve_cluster_quorate{pve_cluster=\"main\""));

    setup.configure("[clusters.broken]\n");
    program.signal("HUP");
    program.wait_for_log("the new configuration is broken");
    let text = metrics(&mut program).await;
    assert!(text.contains("pve_exporter_configuration_ok 0\n"));
    assert!(text.contains("pve_guest_up{pve_cluster=\"renamed\""));

    setup.configure(&setup.cluster("main", "token"));
    program.signal("HUP");
    program.wait_for("the old name", |program| {
        (program.log().matches("configuration reloaded").count() == 2).then_some(())
    });
    assert!(
        metrics(&mut program)
            .await
            .contains("pve_exporter_configuration_ok 1\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_vanishes_costs_its_own_cluster_only() {
    let setup = Setup::new().await;
    write(&setup.path("other"), &setup.simulator.token_secret(), 0o600);
    let often = "[sources.resources]\nmax_age = \"1s\"\n";
    setup.configure(&[often, &setup.cluster("a", "token"), &setup.cluster("b", "other")].concat());
    let mut program = setup.start(&[]);
    metrics(&mut program).await;
    // PVE refuses the old secret now, and only `b` finds the new one.
    std::fs::remove_file(setup.path("token")).unwrap();
    setup.simulator.set_token_secret("11111111-1111-4111-8111-111111111111");
    write(&setup.path("other"), &setup.simulator.token_secret(), 0o600);
    let up = |text: &str, cluster: &str| {
        checked(text, Format::Classic).value("pve_source_up", &[("pve_cluster", cluster), ("source", "resources")])
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let text = metrics(&mut program).await;
        if up(&text, "a") == Some(0.0) && up(&text, "b") == Some(1.0) {
            break;
        }
        assert!(Instant::now() < deadline, "{text}\n{}", program.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(program.log().contains("No such file"), "{}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_can_be_read_and_holds_no_secret() {
    let setup = Setup::new().await;
    let secret = setup.simulator.token_secret();
    setup.simulator.set_token_secret("11111111-1111-4111-8111-111111111111");
    for format in ["json", "logfmt"] {
        let mut program = setup.start(&["--log.level=trace", &format!("--log.format={format}")]);
        let text = metrics(&mut program).await;
        assert!(text.contains("reason=\"unauthorized\""), "{text}");
        program.signal("TERM");
        assert_eq!(program.ended().code(), Some(0));
        let log = program.log();
        assert!(log.contains("Authentication failed!"), "{log}");
        assert!(!log.contains(&secret) && !text.contains(&secret));
        for line in log.lines() {
            if format == "json" {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                assert!(
                    value["level"].is_string() && value["fields"]["message"].is_string(),
                    "{line}"
                );
            } else {
                let keys = logfmt_keys(line).unwrap_or_else(|| panic!("{line}"));
                assert!(keys.contains(&"level") && keys.contains(&"message"), "{line}");
            }
        }
    }
}

#[test]
fn no_flag_takes_a_secret() {
    for flag in ["--token=00000000", "--clusters.main.token=00000000"] {
        let output = run(&[flag]);
        assert_eq!(output.status.code(), Some(2));
        let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
        assert!(!help.contains("token") && !help.contains("secret"), "{help}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_told() {
    let setup = Setup::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let file = format!("--config.file={}", setup.path("config.toml").display());
    let output = run(&[&file, &format!("--web.listen-address={address}")]);
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("cannot listen") && log.contains(&address), "{log}");
}

/// The keys of a line of `key=value` and `key="quoted value"`; `None` where it is no such line.
fn logfmt_keys(mut line: &str) -> Option<Vec<&str>> {
    let mut keys = Vec::new();
    while !line.is_empty() {
        let (key, rest) = line.split_once('=')?;
        if key.is_empty() || key.contains([' ', '"']) {
            return None;
        }
        keys.push(key);
        let end = if let Some(quoted) = rest.strip_prefix('"') {
            let mut escaped = false;
            let close = quoted.char_indices().find(|(_, c)| {
                let closes = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                closes
            })?;
            close.0 + 2
        } else {
            rest.find(' ').unwrap_or(rest.len())
        };
        line = rest.get(end..)?;
        line = line.strip_prefix(' ').unwrap_or(line);
    }
    Some(keys)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_writes_files_and_says_what_to_do() {
    let options = Options {
        clock: Clock::Real,
        guests: 2,
        ..options()
    };
    let setup = Setup::with(options).await;
    let output = setup.path("history");
    let output = output.to_str().unwrap();
    let run = |arguments: &[&str]| {
        let mut all = vec!["backfill", "--output", output, "--storages", "none"];
        all.extend(["--calls-per-minute", "6000"]);
        all.extend(arguments);
        let ended = setup.command(&all).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (ended.status.code(), text(ended.stdout), text(ended.stderr))
    };
    for (arguments, problem) in [
        (vec!["--since", "ages"], "--since: \"ages\" is no time"),
        (
            vec!["--since", "2d", "--label", "node=x"],
            "--label: node would be there twice",
        ),
        (vec!["--since", "2d", "--nodes", "pve9"], "no node \"pve9\""),
        (vec!["--since", "2d", "--cluster", "moon"], "no cluster \"moon\""),
        (vec!["--since", "2d", "--label", "job"], "write NAME=VALUE"),
    ] {
        let (status, stdout, stderr) = run(&arguments);
        assert_eq!((status, stdout.as_str()), (Some(2), ""), "{stderr}");
        assert!(stderr.contains(problem), "{stderr}");
    }
    let whole = [
        "--since",
        "2d",
        "--nodes",
        "pve1",
        "--label",
        "job=pve",
        "--label",
        "instance=a:1",
    ];
    let (status, stdout, stderr) = run(&whole);
    assert_eq!(status, Some(0), "{stderr}");
    assert!(stdout.contains("; do promtool tsdb create-blocks-from openmetrics --max-block-duration="));
    assert!(
        stderr.contains("histories: all 3\n") && !stderr.contains('\r'),
        "{stderr}"
    );
    assert_eq!(run(&whole).1, stdout);
    let (status, _, stderr) = run(&["--since", "3d"]);
    assert!(
        status == Some(1) && stderr.contains("holds a backfill of other arguments"),
        "{stderr}"
    );
}
