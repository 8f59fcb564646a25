//! `pve-exporter backfill`: the past that PVE has kept, as files that `promtool` makes blocks of.
//!
//! [`plan`] says what is fetched, [`fetch`] reads one object and [`merge`] makes one history of its timeframes, which
//! [`history`] keeps in a file of its own. When all are there, [`openmetrics`] writes a file for each month. [`state`] knows what
//! is done, so that a second run goes on where the first one ended.

pub mod advice;
pub mod columns;
pub mod fetch;
pub mod history;
pub mod merge;
pub mod months;
pub mod openmetrics;
pub mod plan;
pub mod progress;
pub mod state;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use thiserror::Error;
use url::Url;

use crate::clock::Clock;
use crate::config::{Cluster, Config};
use crate::pve::client::{Client, ClientError};
use crate::pve::error::{ApiError, FailureReason};
use crate::pve::transport::Observer;
use crate::sources::resources::{self, Memory};
use advice::{advice, unlabelled};
use columns::{Kind, families};
use fetch::{Paced, Wanted};
use history::{History, encode};
use openmetrics::{Month, Series, months, write};
use plan::Selection;
use progress::Progress;
use state::{Asked, Directory, State, Written};

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    /// How far back, such as `365d`.
    pub since: String,
    /// Where it ends, such as `3h` (ago).
    pub until: String,
    /// The shortest period, such as `30m`.
    pub resolution: String,
    /// The directory for the files.
    pub output: PathBuf,
    /// How often PVE is asked at most; 0 is taken for 1.
    pub calls_per_minute: u32,
    /// The cluster; not needed where there is one only.
    pub cluster: Option<String>,
    /// The nodes.
    pub nodes: Selection,
    /// The guests, among those that the configuration reports on.
    pub guests: Selection,
    /// The storages.
    pub storages: Selection,
    /// The labels that Prometheus gives the live series.
    pub labels: Vec<(String, String)>,
}

/// What has come of it.
#[derive(Debug)]
pub struct Report {
    /// What to do next.
    pub text: String,
    /// The objects whose histories could not be read, and why.
    pub missing: Vec<(String, ApiError)>,
}

/// Why a backfill ended early. What was fetched and written until then stays.
#[derive(Debug, Error)]
pub enum BackfillError {
    /// An argument is wrong.
    #[error("{0}")]
    Argument(String),
    /// The client cannot be set up.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// PVE cannot be asked.
    #[error("{0}; the same command goes on where this one ended")]
    Api(#[from] ApiError),
    /// The directory holds something else.
    #[error("{} holds something else: {what}; name an empty directory or a new one", directory.display())]
    Foreign {
        /// The directory.
        directory: PathBuf,
        /// What is in it.
        what: String,
    },
    /// The directory holds a backfill that was begun with other arguments.
    #[error("{} holds a backfill of other arguments; name another directory, or go on with {asked}", directory.display())]
    Other {
        /// The directory.
        directory: PathBuf,
        /// Its arguments.
        asked: Box<Asked>,
    },
    /// Another process is at it.
    #[error("another backfill is writing to {}", .0.display())]
    Busy(PathBuf),
    /// A file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

impl BackfillError {
    fn file(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        Self::File { path, error }
    }
}

/// Nobody scrapes a backfill.
struct Uncounted;

impl Observer for Uncounted {
    fn request(&self, _: &Url, _: Option<u16>, _: Duration) {}
}

/// Fetches what is not there yet and writes the files.
///
/// # Errors
/// Every [`BackfillError`]. An object that cannot be read is none: the files are written without it.
pub async fn run(
    config: &Config,
    arguments: &Arguments,
    now: u64,
    progress: &mut Progress<'_>,
) -> Result<Report, BackfillError> {
    let (name, cluster) = chosen(config, arguments.cluster.as_deref()).map_err(BackfillError::Argument)?;
    let (since, until) = span(arguments, now).map_err(BackfillError::Argument)?;
    let finest = finest(&arguments.resolution).map_err(BackfillError::Argument)?;
    check_labels(&arguments.labels).map_err(BackfillError::Argument)?;
    let asked = Asked {
        cluster: name.to_owned(),
        since: arguments.since.clone(),
        until: arguments.until.clone(),
        resolution: arguments.resolution.clone(),
        nodes: arguments.nodes.clone(),
        guests: arguments.guests.clone(),
        storages: arguments.storages.clone(),
        labels: arguments.labels.clone(),
    };
    let (directory, begun) = Directory::open(&arguments.output)?;
    if let Some(other) = begun.as_ref().filter(|state| state.asked != asked) {
        return Err(BackfillError::Other {
            directory: arguments.output.clone(),
            asked: Box::new(other.asked.clone()),
        });
    }
    if let Some(state) = begun.as_ref().filter(|state| state.complete) {
        directory.forget_histories()?;
        return Ok(Report {
            text: advice(state, &arguments.output, now),
            missing: Vec::new(),
        });
    }
    let client = Client::new(cluster, Clock::default(), Arc::new(Uncounted))?;
    let resources = resources::fetch(
        &client,
        name,
        &cluster.guests,
        &Mutex::<Memory>::default(),
        Clock::default().now(),
    )
    .await?;
    let mut state = if let Some(state) = begun {
        state
    } else {
        let Arguments {
            nodes,
            guests,
            storages,
            ..
        } = arguments;
        let objects = plan::objects(&resources, nodes, guests, storages).map_err(BackfillError::Argument)?;
        let metrics = families().into_iter().map(|family| family.name.to_owned());
        let metrics = metrics.filter(|name| !config.metrics.drops(name)).collect();
        let state = State::new(asked, since, until, objects, metrics);
        directory.save(&state)?;
        state
    };
    let wanted = Wanted {
        span: state.since..=state.until,
        finest,
    };
    announce(&directory, &state, &wanted, arguments, now, progress);
    let mut client = Paced::new(&client, arguments.calls_per_minute);
    let missing = fetch_all(&mut client, &directory, &state, &wanted, now, progress).await?;
    write_all(&directory, &mut state, progress)?;
    if missing.is_empty() {
        state.complete = true;
        directory.save(&state)?;
        directory.forget_histories()?;
    }
    Ok(Report {
        text: advice(&state, &arguments.output, now),
        missing,
    })
}

fn chosen<'a>(config: &'a Config, asked: Option<&str>) -> Result<(&'a str, &'a Cluster), String> {
    let names = || {
        config
            .clusters
            .keys()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let (name, cluster) = match asked {
        Some(asked) => config.clusters.get_key_value(asked).ok_or_else(|| {
            let names = names();
            format!("--cluster: there is no cluster {asked:?} in the configuration, only {names}")
        })?,
        None if config.clusters.len() > 1 => {
            return Err(format!(
                "there are several clusters; choose one with --cluster: {}",
                names()
            ));
        }
        None => config
            .clusters
            .first_key_value()
            .ok_or("the configuration has no cluster")?,
    };
    Ok((name, cluster))
}

fn span(arguments: &Arguments, now: u64) -> Result<(u64, u64), String> {
    let moment = |flag, text: &str| months::moment(text, now).map_err(|problem| format!("{flag}: {problem}"));
    let since = moment("--since", &arguments.since)?;
    let until = moment("--until", &arguments.until)?.min(now);
    if since >= until {
        return Err(format!(
            "--since {} is not before --until {}: nothing lies between {} and {}",
            arguments.since,
            arguments.until,
            months::written(since),
            months::written(until)
        ));
    }
    Ok((since, until))
}

/// The seconds of the shortest period that is wanted.
fn finest(resolution: &str) -> Result<u64, String> {
    humantime::parse_duration(resolution)
        .map(|duration| duration.as_secs())
        .map_err(|_| format!("--resolution: {resolution:?} is no duration; write one such as 1m, 30m or 6h"))
}

fn check_labels(labels: &[(String, String)]) -> Result<(), String> {
    let own = ["pve_cluster", "id", "node", "storage"];
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    for (index, (name, value)) in labels.iter().enumerate() {
        let well_formed = name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit());
        if !well_formed || name.starts_with("__") {
            return Err(format!(
                "--label: {name:?} is no name of a label, such as job or instance"
            ));
        }
        if own.contains(&name.as_str()) || labels.iter().skip(index + 1).any(|(other, _)| other == name) {
            return Err(format!("--label: {name} would be there twice"));
        }
        if value.is_empty() || value.chars().any(char::is_control) {
            return Err(format!("--label: {name} has no value, or one with control characters"));
        }
    }
    Ok(())
}

/// Says beforehand what it takes.
fn announce(
    directory: &Directory,
    state: &State,
    wanted: &Wanted,
    arguments: &Arguments,
    now: u64,
    progress: &mut Progress<'_>,
) {
    let (calls, moments) = fetch::expected(wanted, now);
    let is_missing = |index: usize| !directory.path(&Directory::history(index)).exists();
    let histories = (0..state.objects.len()).filter(|index| is_missing(*index)).count() as u64;
    let (calls, rate) = (calls * histories, arguments.calls_per_minute.max(1));
    let samples = |object: &plan::Object| moments * object.kind.columns().len() as u64;
    let megabytes =
        (state.objects.iter().map(samples).sum::<u64>() * openmetrics::BYTES_PER_SAMPLE).div_ceil(1_000_000);
    if histories > 0 {
        progress.say(&format!(
            "{histories} histories are to be read, by {calls} calls at most, {rate} a minute on top of those of a running exporter: {} min; the directory grows to \
             {megabytes} MB at most. If this is interrupted, the same command goes on.{}",
            calls.div_ceil(rate.into()),
            unlabelled(&state.asked.labels).trim_end()
        ));
    }
}

/// So many objects in a row without an answer in time, and nobody waits for the next one.
const TIMEOUTS: usize = 3;

/// Fetches the histories that are not there. Returns those that could not be read.
async fn fetch_all(
    client: &mut Paced<'_>,
    directory: &Directory,
    state: &State,
    wanted: &Wanted,
    now: u64,
    progress: &mut Progress<'_>,
) -> Result<Vec<(String, ApiError)>, BackfillError> {
    let (mut missing, mut timeouts) = (Vec::new(), 0);
    progress.begin("histories", state.objects.len());
    for (index, object) in state.objects.iter().enumerate() {
        let name = Directory::history(index);
        if directory.path(&name).exists() {
            continue;
        }
        progress.step(index, &object.id);
        let outcome = fetch::history(client, object, wanted, now).await;
        // A storage may hang by itself.
        let timeout = matches!(&outcome, Err(ApiError::Timeout { .. }) if object.kind != Kind::Storage);
        timeouts = if timeout { timeouts + 1 } else { 0 };
        match outcome {
            Ok(moments) => {
                let bytes = encode(&moments, object.kind.columns().len());
                directory.whole(&name, |file| io::Write::write_all(file, &bytes))?;
            }
            Err(error) if concerns_all(&error) || timeouts >= TIMEOUTS => return Err(error.into()),
            Err(error) => missing.push((object.id.clone(), error)),
        }
    }
    progress.end();
    Ok(missing)
}

/// Whether no other object could be read either.
fn concerns_all(error: &ApiError) -> bool {
    matches!(
        error.reason(),
        FailureReason::Unreachable | FailureReason::Tls | FailureReason::Unauthorized
    )
}

/// Writes the months that lack a history that is there.
fn write_all(directory: &Directory, state: &mut State, progress: &mut Progress<'_>) -> Result<(), BackfillError> {
    let months = months(&(state.since..=state.until));
    let series = all_series(directory, state, &months)?;
    let mut families = families();
    families.retain(|family| state.metrics.iter().any(|name| name == family.name));
    progress.begin("months", months.len());
    for (index, Month { name, .. }) in months.iter().enumerate() {
        progress.step(index, name);
        if state
            .months
            .get(name)
            .is_some_and(|month| month.objects == series.len())
        {
            continue;
        }
        let file = format!("{name}.om");
        let samples = directory.whole(&file, |out| write(out, &families, &series, index))?;
        if samples == 0 {
            directory.remove(&file)?;
        }
        let written = Written {
            objects: series.len(),
            samples,
        };
        state.months.insert(name.clone(), written);
        directory.save(state)?;
    }
    progress.end();
    Ok(())
}

fn all_series(directory: &Directory, state: &State, months: &[Month]) -> Result<Vec<Series>, BackfillError> {
    let Asked { cluster, labels, .. } = &state.asked;
    let mut all = Vec::new();
    for (index, object) in state.objects.iter().enumerate() {
        let path = directory.path(&Directory::history(index));
        if path.exists() {
            let series = History::open(path.clone(), object.kind.columns().len())
                .and_then(|history| Series::new(object, cluster, labels, history, months));
            all.push(series.map_err(|error| BackfillError::file(&path, error))?);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_checked() {
        let check = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            check_labels(&pairs)
        };
        assert_eq!(check(&[("job", "pve"), ("instance", "exporter:9221")]), Ok(()));
        for (pairs, words) in [
            (vec![("1a", "x")], "no name of a label"),
            (vec![("__name__", "x")], "no name of a label"),
            (vec![("node", "x")], "twice"),
            (vec![("job", "x"), ("job", "y")], "twice"),
            (vec![("job", "")], "no value"),
            (vec![("job", "a\nb")], "control"),
        ] {
            let problem = check(&pairs).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
    }

    #[test]
    fn spans_are_checked() {
        let between = |since: &str, until: &str| {
            let arguments = Arguments {
                since: since.to_owned(),
                until: until.to_owned(),
                ..Arguments::default()
            };
            span(&arguments, 1_786_800_000)
        };
        assert_eq!(between("1d", "3h"), Ok((1_786_713_600, 1_786_789_200)));
        assert_eq!(between("1d", "2030-01-01"), Ok((1_786_713_600, 1_786_800_000)));
        assert!(between("2h", "3h").unwrap_err().contains("nothing lies between"));
        assert!(between("ages", "3h").unwrap_err().starts_with("--since: \"ages\""));
    }

    #[test]
    fn a_cluster_must_be_chosen_where_there_are_several() {
        assert!(chosen(&Config::default(), None).unwrap_err().contains("no cluster"));
    }
}
