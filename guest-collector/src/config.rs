//! Configuration: defaults < TOML file < environment < flags. Every problem names the place, the key and what was expected.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider, Source};
use pve_guest_protocol::{Area, AreaSet, PORT_NAME};
use serde::{Deserialize, Deserializer, de};
use tracing::level_filters::LevelFilter;

use crate::locate::Wanted;

/// The file that is read unless another is named.
pub const FILE: &str = "/etc/pve-guest-collector.toml";

/// What the names of environment variables begin with; two underscores stand for a dot.
pub const PREFIX: &str = "PVE_GUEST_COLLECTOR_";

/// The shortest and the longest interval, here and in a host's `subscribe`. Exporters take a longer one for the longest.
pub const INTERVALS: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);

const KEYS: [&str; 4] = ["areas", "interval", "log_level", "port"];

/// A valid configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// From one sample to the next, unless a host asks for another interval.
    pub interval: Duration,
    /// Where the samples go.
    pub port: Wanted,
    /// What is sampled.
    pub areas: AreaSet,
    /// How much is logged.
    pub log_level: LevelFilter,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            port: Wanted::new(PORT_NAME),
            areas: AreaSet::ALL,
            log_level: LevelFilter::INFO,
        }
    }
}

/// What the configuration is made of.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The file, if another than [`FILE`]. This one must exist.
    pub file: Option<PathBuf>,
    /// Environment variables; those without our prefix are skipped.
    pub environment: Vec<(String, String)>,
    /// Flags with the path of the key that each sets.
    pub flags: Vec<(&'static str, String, Value)>,
}

/// What is wrong with a configuration: one line for each problem.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(Vec<String>);

/// All keys, as serde fills them.
#[derive(Deserialize)]
#[serde(default)]
struct Settings {
    #[serde(deserialize_with = "interval")]
    interval: Duration,
    port: String,
    areas: BTreeMap<String, bool>,
    #[serde(deserialize_with = "level")]
    log_level: LevelFilter,
}

impl Default for Settings {
    fn default() -> Self {
        let Config {
            interval, log_level, ..
        } = Config::default();
        Self {
            interval,
            port: PORT_NAME.to_owned(),
            areas: BTreeMap::new(),
            log_level,
        }
    }
}

/// Values that all come from one place.
struct Layer {
    place: String,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::from("", Source::Custom(self.place.clone()))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

impl Config {
    /// Puts the layers together.
    pub fn load(layers: &Layers) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let mut read = Vec::new();
        read.extend(file(layers.file.as_deref(), &mut problems));
        read.extend(
            layers
                .environment
                .iter()
                .filter_map(|(name, text)| variable(name, text)),
        );
        for (flag, key, value) in &layers.flags {
            let place = format!("flag {flag}");
            let values = figment::util::nest(key, value.clone()).into_dict().unwrap_or_default();
            read.push(Layer { place, values });
        }
        for layer in &read {
            unknown_keys(layer, &mut problems);
        }
        let figment = read.into_iter().fold(Figment::new(), Figment::merge);
        let settings = figment.extract::<Settings>();
        match settings {
            Ok(settings) if problems.is_empty() => Ok(settings.into()),
            Ok(_) => Err(ConfigError(problems)),
            Err(errors) => {
                problems.extend(errors.into_iter().map(|error| describe(&error)));
                Err(ConfigError(problems))
            }
        }
    }
}

impl From<Settings> for Config {
    fn from(settings: Settings) -> Self {
        let switched_off = |area: &Area| settings.areas.get(area.name()) == Some(&false);
        Self {
            interval: settings.interval,
            port: Wanted::new(&settings.port),
            areas: Area::ALL.iter().copied().filter(|area| !switched_off(area)).collect(),
            log_level: settings.log_level,
        }
    }
}

fn file(chosen: Option<&Path>, problems: &mut Vec<String>) -> Option<Layer> {
    let path = chosen.unwrap_or(Path::new(FILE));
    let place = format!("file {}", path.display());
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && chosen.is_none() => return None,
        Err(error) => {
            problems.push(format!("{place}: {error}; expected a file that this user can read"));
            return None;
        }
    };
    match Toml::from_str::<Dict>(&text) {
        Ok(values) => Some(Layer { place, values }),
        Err(error) => {
            problems.push(format!("{place}: expected TOML: {}", error.to_string().trim_end()));
            None
        }
    }
}

fn variable(name: &str, text: &str) -> Option<Layer> {
    let key = name.strip_prefix(PREFIX)?.to_ascii_lowercase().replace("__", ".");
    let value = match text {
        "true" => Value::from(true),
        "false" => Value::from(false),
        text => Value::from(text),
    };
    Some(Layer {
        place: format!("environment variable {name}"),
        values: figment::util::nest(&key, value).into_dict().unwrap_or_default(),
    })
}

fn unknown_keys(layer: &Layer, problems: &mut Vec<String>) {
    let mut complain = |key: &str, expected: &[&str]| {
        let expected = expected.join(", ");
        problems.push(format!(
            "{}: {key}: there is no such key; expected one of {expected}",
            layer.place
        ));
    };
    for key in layer.values.keys().filter(|key| !KEYS.contains(&key.as_str())) {
        complain(key, &KEYS);
    }
    let names: Vec<&str> = Area::ALL.iter().map(|area| area.name()).collect();
    let areas = layer.values.get("areas").and_then(Value::as_dict);
    for area in areas.iter().flat_map(|areas| areas.keys()) {
        if !names.contains(&area.as_str()) {
            complain(&format!("areas.{area}"), &names);
        }
    }
}

fn describe(error: &figment::Error) -> String {
    let place = match error.metadata.as_ref().and_then(|metadata| metadata.source.as_ref()) {
        Some(Source::Custom(place)) => place,
        _ => "configuration",
    };
    format!("{place}: {}: {}", error.path.join("."), error.kind)
}

fn interval<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    struct Interval;
    impl de::Visitor<'_> for Interval {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an interval from 1s to 5m, such as 10s, 2m or a number of seconds")
        }

        fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Duration, E> {
            let interval = Duration::from_secs(seconds);
            if INTERVALS.contains(&interval) {
                Ok(interval)
            } else {
                Err(E::invalid_value(de::Unexpected::Unsigned(seconds), &self))
            }
        }

        fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Duration, E> {
            match u64::try_from(seconds) {
                Ok(seconds) => self.visit_u64(seconds),
                Err(_) => Err(E::invalid_value(de::Unexpected::Signed(seconds), &self)),
            }
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
            let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
            let unit = match text.strip_prefix(digits) {
                Some("s" | "") => 1,
                Some("m") => 60,
                _ => 0,
            };
            let seconds = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
            let interval = seconds
                .map(Duration::from_secs)
                .filter(|interval| INTERVALS.contains(interval));
            interval.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }
    deserializer.deserialize_any(Interval)
}

fn level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LevelFilter, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.as_str() {
        "error" => Ok(LevelFilter::ERROR),
        "warn" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        _ => Err(de::Error::invalid_value(
            de::Unexpected::Str(&text),
            &"error, warn, info or debug",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, environment: &[(&str, &str)], flags: &[(&'static str, &str, &str)]) -> Result<Config, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.toml");
        fs::write(&path, file).unwrap();
        let layers = Layers {
            file: Some(path.clone()),
            environment: environment
                .iter()
                .map(|(name, text)| ((*name).into(), (*text).into()))
                .collect(),
            flags: flags
                .iter()
                .map(|(flag, key, text)| (*flag, (*key).into(), Value::from(*text)))
                .collect(),
        };
        let problems = |error: ConfigError| error.to_string().replace(&path.display().to_string(), "c.toml");
        Config::load(&layers).map_err(problems)
    }

    #[test]
    fn without_anything_the_defaults_hold() {
        assert_eq!(load("", &[], &[]), Ok(Config::default()));
        assert_eq!(load("", &[("HOME", "/")], &[]), Ok(Config::default()));
    }

    #[test]
    fn each_layer_wins_over_those_before() {
        let seconds = |config: Result<Config, String>| config.unwrap().interval.as_secs();
        let variable = ("PVE_GUEST_COLLECTOR_INTERVAL", "2m");
        assert_eq!(seconds(load("interval = \"5m\"", &[], &[])), 300);
        assert_eq!(seconds(load("interval = \"5m\"", &[variable], &[])), 120);
        let flag = ("--interval", "interval", "5");
        assert_eq!(seconds(load("interval = \"5m\"", &[variable], &[flag])), 5);
    }

    #[test]
    fn every_key_is_heard() {
        let config = load(
            "interval = 1\nport = \"/dev/ttyS1\"\nlog_level = \"debug\"\n[areas]\nusers = false\nload = false\n",
            &[
                ("PVE_GUEST_COLLECTOR_AREAS__USERS", "true"),
                ("PVE_GUEST_COLLECTOR_AREAS__ARP", "false"),
            ],
            &[],
        );
        let mut areas = AreaSet::ALL;
        areas.remove(Area::Load);
        areas.remove(Area::Arp);
        let expected = Config {
            interval: Duration::from_secs(1),
            port: Wanted::At("/dev/ttyS1".into()),
            areas,
            log_level: LevelFilter::DEBUG,
        };
        assert_eq!(config, Ok(expected));
    }

    #[test]
    fn a_problem_tells_place_key_and_what_was_expected() {
        let expected = "an interval from 1s to 5m, such as 10s, 2m or a number of seconds";
        for (text, found) in [
            ("interval = 0", "integer `0`"),
            ("interval = -1", "integer `-1`"),
            ("interval = 301", "integer `301`"),
            ("interval = \"1h\"", "string \"1h\""),
            ("interval = \"500ms\"", "string \"500ms\""),
            ("interval = \"s\"", "string \"s\""),
            ("interval = \"999999999999999999m\"", "string \"999999999999999999m\""),
        ] {
            let problem = load(text, &[], &[]).unwrap_err();
            assert!(problem.starts_with("file c.toml: interval: "), "{problem}");
            assert!(problem.contains(expected), "{problem}");
            assert!(
                problem.contains(found.split(' ').next_back().unwrap().trim_matches('`')),
                "{problem}"
            );
        }
        for (variable, text, problem) in [
            ("INTERVAL", "", "interval: invalid value"),
            (
                "AREAS__CPUS",
                "no",
                "areas.cpus: invalid type: found string \"no\", expected a boolean",
            ),
            ("LOG_LEVEL", "loud", "expected error, warn, info or debug"),
            (
                "PROT",
                "x",
                "prot: there is no such key; expected one of areas, interval, log_level, port",
            ),
            (
                "AREAS__CPU",
                "false",
                "areas.cpu: there is no such key; expected one of kernel, ",
            ),
        ] {
            let variable = format!("PVE_GUEST_COLLECTOR_{variable}");
            let problems = load("", &[(&variable, text)], &[]).unwrap_err();
            assert!(
                problems.starts_with(&format!("environment variable {variable}: ")),
                "{problems}"
            );
            assert!(problems.contains(problem), "{problems}");
        }
        let problem = load("", &[], &[("--interval", "interval", "2d")]).unwrap_err();
        assert!(problem.starts_with("flag --interval: interval: "), "{problem}");
    }

    #[test]
    fn all_unknown_keys_are_told_at_once() {
        let problems = load("a = 1\nb = 2\n[areas]\nc = false", &[], &[]).unwrap_err();
        assert_eq!(problems.lines().count(), 3, "{problems}");
    }

    #[test]
    fn a_file_that_was_asked_for_must_be_there_and_be_toml() {
        let named = |path: &str| {
            let layers = Layers {
                file: Some(path.into()),
                ..Layers::default()
            };
            Config::load(&layers).unwrap_err().to_string()
        };
        assert!(named("/nowhere/c.toml").starts_with("file /nowhere/c.toml: No such file"));
        let problem = load("interval 10", &[], &[]).unwrap_err();
        assert!(problem.starts_with("file c.toml: expected TOML: "), "{problem}");
        assert!(problem.contains("line 1"), "{problem}");
    }
}
