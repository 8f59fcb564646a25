//! The configuration as operators meet it: layers, messages, secrets, and the page that documents it.

#![expect(clippy::unwrap_used, reason = "a step that fails should end the test")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pve_exporter::config::{
    Cluster, Config, ConfigError, GuestKind, LoadOptions, LogFormat, LogLevel, SecretSource, parse_endpoint, reference,
};
use pve_exporter::sources::name::SourceName;
use tempfile::TempDir;

/// A directory with a configuration file, a secret, and an environment.
struct Fixture {
    directory: TempDir,
    options: LoadOptions,
}

const MAIN: &str = r#"
[clusters.main]
endpoints = ["https://pve1.example"]
token_id = "exporter@pve!prometheus"
token_file = "token"
"#;

impl Fixture {
    fn new(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = LoadOptions {
            file: Some(directory.path().join("config.toml")),
            ..LoadOptions::default()
        };
        let fixture = Self { directory, options };
        fixture.write("config.toml", config, 0o644);
        fixture.write("token", "aaaa-bbbb\n", 0o600);
        fixture
    }

    /// A fixture whose only layer is the environment.
    fn without_file() -> Self {
        let mut fixture = Self::new("");
        fixture.options.file = None;
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.options.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn load(&self) -> Result<Config, ConfigError> {
        Config::load(&self.options)
    }

    /// The message of a configuration that must not load, which must hold each of `essentials`.
    #[track_caller]
    fn refused(&self, essentials: &[&str]) -> String {
        let message = self.load().expect_err("the configuration was accepted").to_string();
        assert_contains(&message, essentials);
        message
    }

    #[track_caller]
    fn secret_refused(&self, essentials: &[&str]) {
        let error = self
            .load()
            .unwrap()
            .check_secrets()
            .expect_err("the secret was accepted");
        assert_contains(&error.to_string(), essentials);
    }

    fn file(&self) -> String {
        self.path("config.toml").display().to_string()
    }
}

#[track_caller]
fn assert_contains(message: &str, essentials: &[&str]) {
    for essential in essentials {
        assert!(message.contains(essential), "{essential:?} is missing in:\n{message}");
    }
}

fn secret(config: &Config, cluster: &str) -> String {
    config.clusters[cluster].secret().unwrap().expose().to_owned()
}

#[test]
fn the_least_that_works() {
    let fixture = Fixture::new(MAIN);
    let config = fixture.load().unwrap();
    config.check_secrets().unwrap();
    assert_eq!(config.web.listen_address, ["[::]:9221".parse().unwrap()]);
    assert_eq!(config.log.level, LogLevel::Info);
    let main = &config.clusters["main"];
    assert_eq!(main.endpoints[0].as_str(), "https://pve1.example:8006/");
    assert_eq!(main.caller.to_string(), "token exporter@pve!prometheus");
    assert_eq!(secret(&config, "main"), "aaaa-bbbb");
}

#[test]
fn the_example_of_the_documentation_is_right() {
    let fixture = Fixture::new(
        &pve_exporter::config::EXAMPLE
            .replace("AA:BB:...", &"AB".repeat(32))
            .replace("/etc/pve-exporter/", ""),
    );
    let config = fixture.load().unwrap();
    config.check_secrets().unwrap();
    assert_eq!(config.clusters["main"].endpoints.len(), 2);
}

#[test]
fn everything_can_be_set_in_a_file() {
    let fixture = Fixture::new(
        r#"
[web]
listen_address = ["127.0.0.1:1", "[::1]:1"]
max_concurrent_scrapes = 3
[log]
level = "debug"
format = "json"
[scrape]
timeout_margin = "0s"
[metrics]
drop = ["pve_guest_disk_*"]
series_budget = 50000
[sources.version]
enabled = false
[sources.resources]
max_age = "20s"
[clusters.main]
endpoints = ["https://pve1.example", "https://[2001:db8::1]:443"]
token_id = "exporter@pve!prometheus"
token_file = "token"
ca_file = "ca.pem"
fingerprints = ["ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB"]
proxy = "http://proxy.example:3128"
compression = true
refresh_timeout = "2m"
body_limit = "1MiB"
[clusters.main.guests.include]
types = ["qemu"]
vmids = [100, "200-299"]
[clusters.main.guests.exclude]
tags = ["scratch"]
[clusters.main.sources.resources]
max_age = "1m"
"#,
    );
    fixture.write("ca.pem", "", 0o644);
    let config = fixture.load().unwrap();
    assert_eq!(config.web.listen_address.len(), 2);
    assert_eq!(config.web.max_concurrent_scrapes.get(), 3);
    assert_eq!(config.log.format, LogFormat::Json);
    assert!(config.scrape.timeout_margin.is_zero());
    assert!(config.metrics.drops("pve_guest_disk_read_bytes_total"));
    assert_eq!(config.metrics.series_budget, Some(50_000));
    let main = &config.clusters["main"];
    assert_eq!(main.endpoints[1].as_str(), "https://[2001:db8::1]/");
    assert_eq!(main.ca_file, Some(fixture.path("ca.pem")));
    assert_eq!(main.refresh_timeout, Duration::from_secs(120));
    assert_eq!(main.body_limit, 1 << 20);
    let admits = |kind, vmid, tag: &'static str| main.guests.admits(kind, vmid, [tag].into_iter(), None);
    assert!(admits(GuestKind::Qemu, 250, "web"));
    assert!(!admits(GuestKind::Qemu, 250, "scratch"));
    assert!(!admits(GuestKind::Lxc, 250, "web"));

    let resources = config.source("main", SourceName::Resources);
    assert_eq!((resources.enabled, resources.max_age), (true, Duration::from_secs(60)));
    assert_eq!(
        config.source("other", SourceName::Resources).max_age,
        Duration::from_secs(20)
    );
    assert!(!config.source("main", SourceName::Version).enabled);
    let untouched = config.source("main", SourceName::NodeStatus);
    assert_eq!(
        (untouched.enabled, untouched.max_age),
        (true, SourceName::NodeStatus.default_max_age())
    );
}

#[test]
fn later_layers_win() {
    let text = format!("[log]\nlevel = \"warn\"\nformat = \"json\"\n[web]\nmax_concurrent_scrapes = 2\n{MAIN}");
    let mut fixture = Fixture::new(&text)
        .variable("PVE_EXPORTER_LOG__LEVEL", "debug")
        .variable("PVE_EXPORTER_LOG__FORMAT", "logfmt")
        .variable("PVE_EXPORTER_CLUSTERS__MAIN__ENDPOINTS", "https://other.example");
    fixture.options.log_level = Some("trace".to_owned());
    fixture.options.web_listen_address = Some(":1234".to_owned());
    let config = fixture.load().unwrap();
    assert_eq!(config.log.level, LogLevel::Trace, "flag over variable");
    assert_eq!(config.log.format, LogFormat::Logfmt, "variable over file");
    assert_eq!(config.web.max_concurrent_scrapes.get(), 2, "file over default");
    assert_eq!(config.web.listen_address, ["[::]:1234".parse().unwrap()]);
    assert_eq!(
        config.clusters["main"].endpoints[0].as_str(),
        "https://other.example:8006/"
    );
}

#[test]
fn the_environment_alone_will_do() {
    let config = Fixture::without_file()
        .variable("PVE_EXPORTER_WEB__LISTEN_ADDRESS", "[::1]:1")
        .variable("PVE_EXPORTER_CLUSTERS__MAIN__TOKEN_ID", "exporter@pve!prometheus")
        .variable("PVE_EXPORTER_CLUSTERS__MAIN__TOKEN", "aaaa-bbbb")
        .variable(
            "PVE_EXPORTER_CLUSTERS__MAIN__ENDPOINTS",
            "[\"https://[::1]:8006\", https://pve2.example]",
        )
        .variable("PVE_EXPORTER_CLUSTERS__MAIN__INSECURE_SKIP_VERIFY", "true")
        .variable("PVE_EXPORTER_CLUSTERS__MAIN__BODY_LIMIT", "1048576")
        .variable("PVE_EXPORTER_CLUSTERS__MAIN__GUESTS__INCLUDE__VMIDS", "[100, 200-299]")
        .variable("PVE_EXPORTER_SOURCES__RESOURCES__MAX_AGE", "15s")
        .variable("PATH", "/bin")
        .variable("PVE_EXPORTER_SERVICE_HOST", "10.0.0.1")
        .variable("PVE_EXPORTER_PORT_9221_TCP", "tcp://10.0.0.1:9221")
        .load()
        .unwrap();
    assert_eq!(config.web.listen_address, ["[::1]:1".parse().unwrap()]);
    assert_eq!(
        config.source("main", SourceName::Resources).max_age,
        Duration::from_secs(15)
    );
    let main = &config.clusters["main"];
    let endpoints: Vec<&str> = main.endpoints.iter().map(|url| url.as_str()).collect();
    assert_eq!(endpoints, ["https://[::1]:8006/", "https://pve2.example:8006/"]);
    assert!(main.insecure_skip_verify);
    assert_eq!(main.body_limit, 1 << 20);
    assert_eq!(main.guests.include.vmids.len(), 2);
    assert_eq!(secret(&config, "main"), "aaaa-bbbb");
}

#[test]
fn secrets_that_look_like_numbers_arrive_verbatim() {
    for text in [
        "12345",
        "1e5",
        "0x10",
        "1.50",
        "true",
        "007",
        "[a]",
        "\"quoted\"",
        "{a=1}",
    ] {
        let config = Fixture::new(&MAIN.replace("token_file = \"token\"", ""))
            .variable("PVE_EXPORTER_CLUSTERS__MAIN__TOKEN", text)
            .load()
            .unwrap();
        config.check_secrets().unwrap();
        assert_eq!(secret(&config, "main"), text);
    }
}

#[test]
fn clusters_of_the_files_are_found_whatever_the_case() {
    let text = MAIN
        .replace("clusters.main", "clusters.Main-1")
        .replace("token_file = \"token\"", "");
    let config = Fixture::new(&text)
        .variable("PVE_EXPORTER_CLUSTERS__MAIN-1__TOKEN", "x")
        .load()
        .unwrap();
    assert_eq!(secret(&config, "Main-1"), "x");
}

#[test]
fn files_in_conf_d_add_clusters() {
    let fixture = Fixture::new(MAIN);
    fixture
        .write(
            "conf.d/b.toml",
            &MAIN.replace("main", "second").replace("\"token\"", "\"../token\""),
            0o644,
        )
        .write("conf.d/.hidden.toml", "nonsense", 0o644)
        .write("conf.d/c.toml.bak", "nonsense", 0o644);
    let config = fixture.load().unwrap();
    config.check_secrets().unwrap();
    assert_eq!(config.clusters.keys().collect::<Vec<_>>(), ["main", "second"]);

    fixture.write("conf.d/c.toml", "[clusters.second]\ntoken_fil = \"x\"\n[web]\n", 0o644);
    let extra = fixture.path("conf.d/c.toml").display().to_string();
    let first = fixture.path("conf.d/b.toml").display().to_string();
    fixture.refused(&[
        &format!("{extra}: clusters.second.token_fil: unknown key \"token_fil\" (did you mean \"token_file\"?)"),
        &format!("{extra}: clusters.second: the cluster also stands in {first}; remove one"),
        &format!("{extra}: web: files in conf.d hold [clusters.<name>] only; move this section"),
    ]);
}

#[test]
fn sockets_of_guest_agents_are_off_and_of_one_cluster() {
    let source = SourceName::GuestAgentSocket;
    let config = Fixture::new(MAIN).load().unwrap();
    assert!(!config.source("main", source).enabled);
    let on = format!("[guest_agent_socket]\nenabled = true\n{MAIN}");
    assert!(Fixture::new(&on).load().unwrap().source("main", source).enabled);
    let alone = format!("[sources.guest_agent_socket]\nenabled = true\n{MAIN}");
    assert!(!Fixture::new(&alone).load().unwrap().source("main", source).enabled);

    let other = MAIN.replace("main", "other");
    let error = Fixture::new(&format!("{on}{other}")).load().unwrap_err().to_string();
    assert!(
        error.contains("guest_agent_socket.enabled") && error.contains("one cluster"),
        "{error}"
    );
    let not_there = "[clusters.other.sources.guest_agent_socket]\nenabled = false\n";
    let config = Fixture::new(&format!("{on}{other}{not_there}")).load().unwrap();
    assert!(config.source("main", source).enabled && !config.source("other", source).enabled);
}

#[test]
fn ports_of_guests_are_off_and_of_one_cluster() {
    let config = Fixture::new(MAIN).load().unwrap();
    assert!(!config.guest_telemetry.enabled);
    assert_eq!(config.cluster_of_this_node(), Some("main"));

    let on = "[guest_telemetry]\nenabled = true\n";
    let other = MAIN.replace("main", "other");
    Fixture::new(&format!("{on}{MAIN}")).load().unwrap();
    let error = Fixture::new(&format!("{on}{MAIN}{other}")).load().unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains(
            "guest_telemetry.cluster: is missing; write which cluster this node belongs to, one of main, other"
        ),
        "{error}"
    );
    let told = format!("{on}cluster = \"other\"\n{MAIN}{other}");
    let config = Fixture::new(&told).load().unwrap();
    assert_eq!(config.cluster_of_this_node(), Some("other"));
    for (wrong, complaint) in [
        ("cluster = \"third\"", "\"third\" is no cluster; expected one of main"),
        ("socket = \"{vmid}/a\"", "is no name of a socket"),
        ("socket = \"telemetry\"", "is no name of a socket"),
        ("socket = \"{vmid}.pid\"", "is no name of a socket"),
        ("target = \"node:9221\"", "write one with {node}"),
        ("bytes_per_second = 1000", "write at least \"32KiB\""),
        ("lines_per_second = 0", "write a number from 1 to 1000"),
    ] {
        let error = Fixture::new(&format!("{on}{wrong}\n{MAIN}")).load().unwrap_err();
        assert!(error.to_string().contains(complaint), "{wrong}: {error}");
    }
}

#[test]
fn unknown_keys_are_told_all_at_once() {
    let fixture = Fixture::new(
        "[web]\nlisten_adress = \":1\"\n[sources.resorces]\nenabled = true\n[colour]\n[clusters.main]\nendpoint = []\n[clusters.main.guests.only]\n",
    );
    let file = fixture.file();
    fixture.refused(&[
        &format!("{file}: web.listen_adress: unknown key \"listen_adress\" (did you mean \"listen_address\"?); expected one of listen_address, max_concurrent_scrapes"),
        &format!("{file}: sources.resorces: unknown key \"resorces\" (did you mean \"resources\"?); expected one of resources, metrics_export"),
        &format!("{file}: colour: unknown key \"colour\"; expected one of web, log, scrape, metrics, guest_agent_socket, guest_telemetry, sources, clusters"),
        &format!("{file}: clusters.main.endpoint: unknown key \"endpoint\" (did you mean \"endpoints\"?)"),
        &format!("{file}: clusters.main.guests.only: unknown key \"only\"; expected one of include, exclude"),
    ]);
}

#[test]
fn unknown_variables_are_told_by_name() {
    Fixture::new(MAIN)
        .variable("PVE_EXPORTER_LOG_LEVEL", "debug")
        .variable("PVE_EXPORTER_WEB__LISTEN_ADRESS", ":1")
        .variable("PVE_EXPORTER_CONFIG_FILE", "/x")
        .variable("PVE_EXPORTER_WEB", "x")
        .variable("PVE_EXPORTER_CLUSTERS__A_B!__TOKEN", "hunter2")
        .refused(&[
            "environment variable PVE_EXPORTER_LOG_LEVEL: unknown variable (did you mean \"PVE_EXPORTER_LOG__LEVEL\"?)",
            "environment variable PVE_EXPORTER_WEB__LISTEN_ADRESS: unknown key \"listen_adress\" (did you mean \"listen_address\"?)",
            "environment variable PVE_EXPORTER_CONFIG_FILE: unknown key \"config_file\"",
            "environment variable PVE_EXPORTER_WEB: this is a section, not a key; set one of its keys (listen_address, max_concurrent_scrapes), such as PVE_EXPORTER_WEB__LISTEN_ADDRESS",
            "environment variable PVE_EXPORTER_CLUSTERS__A_B!__TOKEN: clusters.\"a_b!\": not the name of a cluster",
        ]);
}

#[test]
fn wrong_values_name_key_place_and_remedy() {
    for (line, essential) in [
        (
            "endpoints = \"https://a\"",
            "clusters.main.endpoints: wrong type, found the text \"https://a\"; write a list, such as [\"https://pve1.example:8006\"]",
        ),
        ("endpoints = []", "clusters.main.endpoints: holds no URL"),
        (
            "endpoints = [\"https://a\", \"http://b\"]",
            "clusters.main.endpoints[1]: \"http://b\" would send the token unencrypted; write https://",
        ),
        (
            "endpoints = [\"https://a\", \"https://a:8006\"]",
            "clusters.main.endpoints: \"https://a:8006/\" stands here twice",
        ),
        (
            "token_id = \"exporter@pve\"",
            "clusters.main.token_id: \"exporter@pve\" is not the name of an API token; write \"user@realm!name\"",
        ),
        (
            "connect_timeout = 3",
            "clusters.main.connect_timeout: wrong type, found the number 3; write a duration, such as \"10s\"",
        ),
        (
            "connect_timeout = \"3\"",
            "clusters.main.connect_timeout: \"3\" is not a duration",
        ),
        (
            "connect_timeout = \"0s\"",
            "clusters.main.connect_timeout: must be more than 0",
        ),
        (
            "body_limit = \"lots\"",
            "clusters.main.body_limit: \"lots\" is not a size; write bytes or a number and a unit",
        ),
        ("body_limit = 5", "clusters.main.body_limit: 5 bytes hold no answer"),
        (
            "fingerprints = [\"AA:BB\"]",
            "clusters.main.fingerprints[0]: \"AA:BB\" is not a SHA-256 fingerprint",
        ),
        ("ca_file = \"missing.pem\"", "missing.pem: No such file or directory"),
        (
            "compression = \"yes\"",
            "clusters.main.compression: wrong type, found the text \"yes\"; write true or false",
        ),
        (
            "proxy = \"socks5://a\"",
            "clusters.main.proxy: \"socks5://a\" does not begin with http:// or https://",
        ),
        (
            "guests.include.types = [\"vm\"]",
            "clusters.main.guests.include.types[0]: \"vm\" is not allowed",
        ),
        (
            "guests.exclude.vmids = [\"9-1\"]",
            "clusters.main.guests.exclude.vmids[0]: \"9-1\" is not a VMID",
        ),
        (
            "sources.resources.max_age = \"10ms\"",
            "clusters.main.sources.resources.max_age: must be at least 1s",
        ),
        ("sources = 3", "clusters.main.sources: wrong type"),
        (
            "allow_targets = [\"10.0.0.0/8\", \"0.0.0.0/0\"]",
            "clusters.main.allow_targets: \"0.0.0.0/0\" is every address there is",
        ),
        (
            "insecure_skip_verify = true\nca_file = \"token\"",
            "clusters.main.insecure_skip_verify: excludes fingerprints and ca_file",
        ),
    ] {
        let key = line.split(' ').next().unwrap();
        let others: String = MAIN
            .lines()
            .filter(|other| !other.starts_with(key))
            .map(|other| format!("{other}\n"))
            .collect();
        let fixture = Fixture::new(&format!("{others}{line}\n"));
        let message = fixture.refused(&[essential]);
        assert!(message.starts_with(&fixture.file()), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn wrong_values_of_several_sections_come_together() {
    let fixture = Fixture::new(
        "[log]\nlevel = \"inof\"\n[web]\nmax_concurrent_scrapes = 0\n[metrics]\ndrop = [\"a b\"]\n[clusters.main]\n",
    );
    let message = fixture.refused(&[
        "web.max_concurrent_scrapes: ",
        "log.level: \"inof\" is not allowed (did you mean \"info\"?); write one of error, warn, info, debug, trace",
        "metrics.drop: \"a b\" is no name of a metric",
        "clusters.main.endpoints: is missing; write a list",
    ]);
    assert_eq!(message.lines().count(), 4, "{message}");
}

#[test]
fn wrong_variables_and_flags_are_named() {
    let mut fixture = Fixture::new(MAIN).variable("PVE_EXPORTER_WEB__MAX_CONCURRENT_SCRAPES", "many");
    fixture.options.log_format = Some("xml".to_owned());
    fixture.options.web_listen_address = Some("9221".to_owned());
    fixture.refused(&["flag --web.listen-address: web.listen_address: \"9221\" is not an IP address"]);
    fixture.options.web_listen_address = None;
    fixture.refused(&[
        "environment variable PVE_EXPORTER_WEB__MAX_CONCURRENT_SCRAPES: web.max_concurrent_scrapes: wrong type, found the text \"many\"; write a whole number",
        "flag --log.format: log.format: \"xml\" is not allowed; write one of logfmt, json",
    ]);
}

#[test]
fn a_missing_field_stands_in_the_file_that_names_the_cluster() {
    let fixture = Fixture::new("[clusters.main]\nendpoints = [\"https://a\"]\n")
        .variable("PVE_EXPORTER_CLUSTERS__MAIN__TOKEN", "x");
    fixture.refused(&[&format!(
        "{}: clusters.main.token_id: is missing; write text in quotes",
        fixture.file()
    )]);
}

#[test]
fn no_cluster_is_answered_with_the_example() {
    Fixture::new("[web]\n").refused(&[
        "no cluster is configured",
        "[clusters.main]\nendpoints = ",
        "token_file = ",
    ]);
    Fixture::without_file().refused(&[
        "/etc/pve-exporter/config.toml does not exist, nor does /etc/prometheus/pve.yml",
        "[clusters.main]",
    ]);
}

#[test]
fn files_that_cannot_be_read() {
    let mut fixture = Fixture::new("[web\nlisten_address = \"hunter2\"\n");
    let message = fixture.refused(&[&format!("{}: line 1: not valid TOML", fixture.file())]);
    assert!(!message.contains("hunter2"), "{message}");
    for line in ["hunter2", "\"hunter2", "'hunter2", "\"hunter2\" x", "7hunter2"] {
        let message = Fixture::new(&format!("[clusters.main]\ntoken = {line}\n")).refused(&["line 2: not valid TOML"]);
        assert!(!message.contains("hunter2"), "{message}");
    }
    fixture.options.file = Some("/nonexistent/config.toml".into());
    fixture.refused(&[
        "flag --config.file: /nonexistent/config.toml: No such file or directory",
        "name a file that exists",
    ]);
    Fixture::new("[clusters.\"a b\"]\n")
        .refused(&["clusters.\"a b\": not the name of a cluster; write 1 to 64 letters"]);
    Fixture::new("[[clusters]]\n").refused(&["clusters: is not a table; write one section [clusters.<name>]"]);
}

#[test]
fn a_secret_comes_in_exactly_one_way() {
    let none = MAIN.replace("token_file = \"token\"", "");
    Fixture::new(&none).refused(&[
        "clusters.main: has no secret; write token_file",
        "token_credential",
        "PVE_EXPORTER_CLUSTERS__MAIN__TOKEN",
    ]);
    Fixture::new(MAIN)
        .variable("PVE_EXPORTER_CLUSTERS__MAIN__TOKEN", "hunter2")
        .refused(&["clusters.main: the secret is given more than once, by token_file and PVE_EXPORTER_CLUSTERS__MAIN__TOKEN; keep one"]);
    let message = Fixture::new(&format!("{none}token = \"hunter2\"\n")).refused(&[
        "clusters.main.token: a secret does not belong in this file",
        "token_file",
        "PVE_EXPORTER_CLUSTERS__MAIN__TOKEN",
    ]);
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn systemd_credentials() {
    let named = MAIN.replace("token_file = \"token\"", "token_credential = \"my.token\"");
    Fixture::new(&named).refused(&[
        "clusters.main.token_credential: $CREDENTIALS_DIRECTORY is not set",
        "LoadCredential=my.token",
    ]);
    let fixture = Fixture::new(&named);
    let directory = fixture.path("credentials").display().to_string();
    let fixture = fixture.variable("CREDENTIALS_DIRECTORY", &directory);
    // systemd's own mode for a service with a User=.
    fixture.write("credentials/my.token", "cccc", 0o440);
    let config = fixture.load().unwrap();
    config.check_secrets().unwrap();
    assert_eq!(secret(&config, "main"), "cccc");

    fixture.write("config.toml", &MAIN.replace("token_file = \"token\"", ""), 0o644);
    fixture.refused(&["clusters.main: has no secret"]);
    fixture.write("credentials/main.token", "dddd", 0o440);
    assert_eq!(secret(&fixture.load().unwrap(), "main"), "dddd");

    fixture.write(
        "config.toml",
        &MAIN.replace("\"token\"", "\"credentials/my.token\""),
        0o644,
    );
    fixture.load().unwrap().check_secrets().unwrap();

    fixture.write("config.toml", &named.replace("my.token", "../token"), 0o644);
    fixture.refused(&["\"../token\" is not the name of a credential"]);
}

#[test]
fn secrets_open_to_others_are_refused() {
    for mode in [0o640, 0o604, 0o620, 0o644, 0o666, 0o610] {
        let fixture = Fixture::new(MAIN);
        fixture.write("token", "aaaa-bbbb", mode);
        let token = fixture.path("token").display().to_string();
        let start = format!(
            "{}: clusters.main.token_file: {token} has mode 0{mode:o}",
            fixture.file()
        );
        fixture.secret_refused(&[&start, &format!("run `chmod 600 {token}`")]);
    }
    for mode in [0o600, 0o400] {
        let fixture = Fixture::new(MAIN);
        fixture.write("token", "aaaa-bbbb", mode);
        fixture.load().unwrap().check_secrets().unwrap();
    }
}

#[test]
fn links_are_followed_before_a_directory_is_trusted() {
    let fixture = Fixture::new(&MAIN.replace("\"token\"", "\"credentials/link\""));
    let directory = fixture.path("credentials");
    let fixture = fixture.variable("CREDENTIALS_DIRECTORY", &directory.display().to_string());
    // As Kubernetes mounts: the name is a link into a directory beside it.
    fixture.write("credentials/..data/token", "aaaa", 0o644);
    symlink(Path::new("..data/token"), directory.join("link")).unwrap();
    fixture.load().unwrap().check_secrets().unwrap();

    fixture.write("outside", "aaaa", 0o644);
    fs::remove_file(directory.join("link")).unwrap();
    symlink(fixture.path("outside"), directory.join("link")).unwrap();
    fixture.secret_refused(&["chmod 600"]);
}

#[test]
fn secrets_that_cannot_be_used() {
    let fixture = Fixture::new(MAIN);
    fs::remove_file(fixture.path("token")).unwrap();
    fixture.secret_refused(&[
        "clusters.main.token_file: ",
        "token: No such file or directory",
        "write the secret alone into this file",
    ]);
    fs::create_dir(fixture.path("token")).unwrap();
    fixture.secret_refused(&["token is not a regular file"]);
    fs::remove_dir(fixture.path("token")).unwrap();
    fixture.write("token", "", 0o600).secret_refused(&["token is empty"]);
    fixture
        .write("token", "other@pve!name=x", 0o600)
        .secret_refused(&["the secret of token other@pve!name, but token_id is exporter@pve!prometheus"]);
    Fixture::new(&MAIN.replace("token_file = \"token\"", ""))
        .variable("PVE_EXPORTER_CLUSTERS__MAIN__TOKEN", " ")
        .secret_refused(&[
            "environment variable PVE_EXPORTER_CLUSTERS__MAIN__TOKEN: clusters.main.token: ",
            "is empty",
        ]);
}

const WITH_USER: &str = r#"
[clusters.main]
endpoints = ["https://pve1.example"]
user = "exporter@pve"
password_file = "password"
"#;

#[test]
fn a_user_takes_the_place_of_a_token() {
    let fixture = Fixture::new(WITH_USER);
    fixture.write("password", " two words\n", 0o600);
    let config = fixture.load().unwrap();
    config.check_secrets().unwrap();
    let main = &config.clusters["main"];
    assert_eq!(main.caller.to_string(), "user exporter@pve");
    assert_eq!(secret(&config, "main"), " two words");

    let fixture = Fixture::new(&WITH_USER.replace("password_file = \"password\"", ""));
    let directory = fixture.path("credentials");
    fixture.write("credentials/main.password", "by name", 0o644);
    fixture.write("credentials/other", "by key", 0o644);
    let fixture = fixture.variable("CREDENTIALS_DIRECTORY", &directory.display().to_string());
    assert_eq!(secret(&fixture.load().unwrap(), "main"), "by name");
    let with_key = WITH_USER.replace("password_file = \"password\"", "password_credential = \"other\"");
    fixture.write("config.toml", &with_key, 0o644);
    assert_eq!(secret(&fixture.load().unwrap(), "main"), "by key");

    let config = Fixture::without_file()
        .variable("PVE_EXPORTER_CLUSTERS__MAIN__ENDPOINTS", "https://pve1.example")
        .variable("PVE_EXPORTER_CLUSTERS__MAIN__USER", "exporter@pve")
        .variable("PVE_EXPORTER_CLUSTERS__MAIN__PASSWORD", "hunter2 = \"x\"")
        .load()
        .unwrap();
    assert_eq!(secret(&config, "main"), "hunter2 = \"x\"");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_password_has_the_rules_of_a_token() {
    let fixture = Fixture::new(WITH_USER);
    fixture.write("password", "hunter2", 0o640).secret_refused(&[
        "clusters.main.password_file: ",
        "password has mode 0640",
        "chmod 600",
    ]);
    fixture
        .write("password", "\n", 0o600)
        .secret_refused(&["password is empty"]);
    fs::remove_file(fixture.path("password")).unwrap();
    fixture.secret_refused(&["clusters.main.password_file: ", "No such file or directory"]);
    Fixture::new(&WITH_USER.replace("password_file = \"password\"", ""))
        .variable("PVE_EXPORTER_CLUSTERS__MAIN__PASSWORD", "\n")
        .secret_refused(&[
            "environment variable PVE_EXPORTER_CLUSTERS__MAIN__PASSWORD: clusters.main.password: ",
            "is empty",
        ]);
}

#[test]
fn who_asks_and_with_what_is_said_once() {
    let with = |line: &str| Fixture::new(&format!("{WITH_USER}{line}\n"));
    for (fixture, essentials) in [
        (
            with("token_id = \"exporter@pve!prometheus\""),
            ["clusters.main.user: stands beside token_id", "keep one"],
        ),
        (
            with("token_file = \"token\""),
            [
                "clusters.main.token_file: is of no use to user exporter@pve",
                "remove it",
            ],
        ),
        (
            with("").variable("PVE_EXPORTER_CLUSTERS__MAIN__TOKEN", "aaaa"),
            [
                "environment variable PVE_EXPORTER_CLUSTERS__MAIN__TOKEN: clusters.main.token: is of no use",
                "remove it",
            ],
        ),
        (
            with("password_credential = \"main.password\""),
            [
                "the password is given more than once",
                "password_file and password_credential",
            ],
        ),
        (
            with("password = \"hunter2\""),
            [
                "clusters.main.password: a secret does not belong in this file",
                "password_file, or set PVE_EXPORTER_CLUSTERS__MAIN__PASSWORD",
            ],
        ),
        (
            Fixture::new(&format!("{MAIN}password_file = \"token\"\n")),
            [
                "clusters.main.password_file: is of no use to token exporter@pve!prometheus",
                "remove it",
            ],
        ),
        (
            Fixture::new(&WITH_USER.replace("password_file = \"password\"", "")),
            [
                "clusters.main: has no password",
                "PVE_EXPORTER_CLUSTERS__MAIN__PASSWORD",
            ],
        ),
        (
            Fixture::new(&WITH_USER.replace("exporter@pve", "exporter")),
            [
                "clusters.main.user: \"exporter\" is not the name of a user",
                "user@realm",
            ],
        ),
        (
            Fixture::new(&WITH_USER.replace("exporter@pve", "exporter@pve!prometheus")),
            ["clusters.main.user: names an API token", "token_id"],
        ),
        (
            Fixture::new(&WITH_USER.replace("user = \"exporter@pve\"", "")),
            ["clusters.main.token_id: is missing", "or user and password_file"],
        ),
    ] {
        let message = fixture.refused(&essentials);
        assert!(!message.contains("hunter2"));
    }
}

#[test]
fn a_changed_file_is_read_again() {
    let fixture = Fixture::new(MAIN);
    let config = fixture.load().unwrap();
    assert_eq!(secret(&config, "main"), "aaaa-bbbb");
    fixture.write("token", "exporter@pve!prometheus=rotated\n", 0o600);
    assert_eq!(secret(&config, "main"), "rotated");
}

#[test]
fn no_secret_shows_in_debug_output() {
    let config = Fixture::new(&MAIN.replace("token_file = \"token\"", ""))
        .variable("PVE_EXPORTER_CLUSTERS__MAIN__TOKEN", "hunter2")
        .load()
        .unwrap();
    let shown = format!("{config:?}");
    assert!(
        shown.contains("PVE_EXPORTER_CLUSTERS__MAIN__TOKEN") && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[test]
fn a_configuration_can_be_built_in_code() {
    let endpoint = parse_endpoint("https://127.0.0.1:1").unwrap();
    let cluster = Cluster::new(
        vec![endpoint],
        "a@pve!name".parse().unwrap(),
        SecretSource::file("/token"),
    );
    let mut config = Config::default();
    config.clusters.insert("demo".to_owned(), cluster);
    assert_eq!(config.clusters["demo"].connect_timeout, Duration::from_secs(3));
}

#[test]
fn the_documentation_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let expected = reference();
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/configuration.md is out of date; run the tests with UPDATE=1 and review the difference"
    );
}
