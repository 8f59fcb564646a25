//! A year of history goes from PVE through `promtool` into a real Prometheus.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pve_exporter::backfill::plan::Selection;
use pve_exporter::backfill::progress::Progress;
use pve_exporter::backfill::{Arguments, BackfillError, Report, run};
use pve_exporter::config::Config;
use pve_simulator::{Fault, Options, Simulator, Version};
use serde_json::Value;
use support::prometheus::{Prometheus, promtool_path};
use support::simulated::{Simulated, cluster, options};
use support::strict::{Exposition, Sample, check_openmetrics};
use tempfile::TempDir;

/// When the clock of the simulator stands still.
const NOW: u64 = 1_786_800_000;
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

fn small(versions: &[Version]) -> Options {
    Options {
        guests: 6,
        versions: versions.to_vec(),
        ..options()
    }
}

async fn simulator(versions: &[Version]) -> Simulator {
    Simulator::start(small(versions)).await.unwrap()
}

async fn newest() -> Simulator {
    simulator(&[Version::new(9, 2, 11)]).await
}

fn config(simulator: &Simulator) -> Config {
    Config {
        clusters: [("main".to_owned(), cluster(simulator))].into(),
        ..Config::default()
    }
}

fn arguments(output: &Path) -> Arguments {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Arguments {
        since: "365d".to_owned(),
        until: "3h".to_owned(),
        resolution: "1m".to_owned(),
        output: output.to_owned(),
        calls_per_minute: 60_000,
        labels: vec![pair("job", "pve"), pair("instance", "exporter:9221")],
        ..Arguments::default()
    }
}

/// The same for one node and one storage.
fn few(output: &Path) -> Arguments {
    let only = |name: &str| Selection(vec![name.to_owned()]);
    Arguments {
        nodes: only("pve1"),
        guests: only("none"),
        storages: only("nas"),
        ..arguments(output)
    }
}

async fn backfill(simulator: &Simulator, arguments: &Arguments) -> Result<Report, BackfillError> {
    let mut out = Vec::new();
    run(&config(simulator), arguments, NOW, &mut Progress::new(&mut out, false)).await
}

fn files(output: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(output).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "om"))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn what_the_configuration_leaves_out_is_no_history() {
    let simulator = newest().await;
    let outer = TempDir::new().unwrap();
    let arguments = Arguments {
        since: "2d".to_owned(),
        ..arguments(outer.path())
    };
    let mut config = config(&simulator);
    config.metrics.drop = vec!["pve_node_load*".to_owned()];
    let mut out = Vec::new();
    let fault = simulator.inject("status=500:/nodes/pve1/rrddata".parse::<Fault>().unwrap());
    let mut progress = Progress::new(&mut out, false);
    let report = run(&config, &arguments, NOW, &mut progress).await.unwrap();
    assert_eq!(report.missing.len(), 1);
    let left_out = |series: &String| {
        series.starts_with("pve_node_load1{")
            || series.starts_with("pve_guest_pressure_") && series.contains("_full_ratio{")
    };
    assert!(!read(outer.path()).keys().any(left_out));
    // The configuration changes between two runs; what was begun ends as it was begun.
    simulator.clear(fault);
    config.metrics.drop = vec!["pve_node_cpus".to_owned()];
    run(&config, &arguments, NOW, &mut progress).await.unwrap();
    let written = read(outer.path());
    assert!(!written.keys().any(left_out));
    let cpus = written.keys().filter(|series| series.starts_with("pve_node_cpus{"));
    assert_eq!(cpus.count(), 3);
}

/// Every sample of the files, by series. The text is read strictly but for what no scrape has: times, and a series twice.
fn read(output: &Path) -> BTreeMap<String, Vec<(u64, f64)>> {
    let mut all: BTreeMap<String, Vec<(u64, f64)>> = BTreeMap::new();
    for file in files(output) {
        let text = fs::read_to_string(&file).unwrap();
        let (mut untimed, mut seen) = (String::new(), BTreeSet::new());
        for line in text.lines() {
            let Some((sample, time)) = line.rsplit_once(' ').filter(|_| !line.starts_with('#')) else {
                untimed += &format!("{line}\n");
                continue;
            };
            let (series, value) = sample.rsplit_once(' ').unwrap();
            let samples = all.entry(series.to_owned()).or_default();
            samples.push((time.parse().unwrap(), value.parse().unwrap()));
            if seen.insert(series.to_owned()) {
                untimed += &format!("{sample}\n");
            }
        }
        check_openmetrics(&untimed).unwrap_or_else(|violations| panic!("{}: {}", file.display(), violations[0]));
    }
    all
}

fn increasing(samples: &[(u64, f64)]) -> bool {
    samples.windows(2).all(|pair| pair[0].0 < pair[1].0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_year_is_there_in_prometheus() {
    let simulator = newest().await;
    let outer = TempDir::new().unwrap();
    let output = outer.path().join("out");
    let only = |names: &[&str]| Selection(names.iter().map(|name| (*name).to_owned()).collect());
    let arguments = Arguments {
        nodes: only(&["pve1"]),
        guests: only(&["100", "102"]),
        storages: only(&["local", "nas"]),
        ..arguments(&output)
    };
    let report = backfill(&simulator, &arguments).await.unwrap();
    assert!(report.missing.is_empty());
    let written = read(&output);
    assert!(written.values().all(|samples| increasing(samples)));
    assert_eq!(files(&output).len(), 13);

    // The command is the one that is printed.
    let command = report.text.lines().find(|line| line.starts_with("    for file in "));
    let script = format!(
        "promtool() {{ '{}' \"$@\"; }}\n{}",
        promtool_path().display(),
        command.unwrap()
    );
    let ended = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    fs::rename(output.join("blocks"), outer.path().join("data")).unwrap();
    let prometheus = Prometheus::with_blocks(outer);

    let names = [
        "pve_node_cpu_usage_ratio",
        "pve_guest_disk_read_bytes_per_second",
        "pve_storage_usage_bytes",
    ];
    let selected = format!("{{__name__=~\"{}\"}}[366d] @ {NOW}", names.join("|"));
    let found = prometheus.query(&selected);
    let found = found.as_array().unwrap();
    for one in found {
        let samples = samples(&one["values"]);
        assert!(increasing(&samples));
        assert_eq!(samples, written[&series(&one["metric"], &written)]);
    }
    let is_selected = |series: &&String| names.iter().any(|name| series.starts_with(&format!("{name}{{")));
    assert_eq!(found.len(), written.keys().filter(is_selected).count());
    assert_eq!(found.len(), 1 + 2 + 4);

    // Every node was off for a week, and so were its storages; before and after, each day has samples.
    let off = off_week(&written);
    for what in [
        "pve_node_load1{job=\"pve\",id=\"node/pve1\"}",
        "pve_storage_size_bytes{id=\"storage/pve1/local\"}",
    ] {
        let present = |time: u64| {
            let query = format!("present_over_time({what}[1d] @ {time})");
            !prometheus.query(&query).as_array().unwrap().is_empty()
        };
        for day in 2..=6 {
            assert!(!present(off.0 + day * DAY), "{what} {day}");
        }
        for time in [
            NOW - 355 * DAY,
            off.0,
            off.1 + DAY,
            NOW - 20 * DAY,
            NOW - DAY,
            NOW - 3 * HOUR,
        ] {
            assert!(present(time), "{what} {time}");
        }
    }
}

/// The times of the last sample before the week in which pve1 was off, and of the first one after it.
fn off_week(written: &BTreeMap<String, Vec<(u64, f64)>>) -> (u64, u64) {
    let (_, samples) = written
        .iter()
        .find(|(series, _)| series.starts_with("pve_node_load1{") && series.contains("\"node/pve1\""))
        .unwrap();
    let gaps: Vec<_> = samples
        .windows(2)
        .map(|pair| (pair[0].0, pair[1].0))
        .filter(|(before, after)| after - before > 2 * DAY && *before > NOW - 350 * DAY)
        .collect();
    let [gap] = gaps[..] else { panic!("{gaps:?}") };
    assert!((6 * DAY..=8 * DAY).contains(&(gap.1 - gap.0)), "{gap:?}");
    gap
}

fn samples(values: &Value) -> Vec<(u64, f64)> {
    let sample = |pair: &Value| (pair[0].as_u64().unwrap(), pair[1].as_str().unwrap().parse().unwrap());
    values.as_array().unwrap().iter().map(sample).collect()
}

/// The series of a file that has the labels of one of Prometheus.
fn series(metric: &Value, written: &BTreeMap<String, Vec<(u64, f64)>>) -> String {
    let labels = metric.as_object().unwrap();
    let name = labels["__name__"].as_str().unwrap();
    let matches = |series: &&String| {
        series.starts_with(&format!("{name}{{"))
            && series.matches("=\"").count() == labels.len() - 1
            && labels
                .iter()
                .filter(|(label, _)| *label != "__name__")
                .all(|(label, value)| series.contains(&format!("{label}={value}")))
    };
    let found: Vec<_> = written.keys().filter(matches).collect();
    assert_eq!(found.len(), 1, "{metric}");
    found[0].clone()
}

#[tokio::test]
async fn live_series_and_their_history_are_one() {
    let now = SystemTime::now();
    let options = Options {
        starts_at: Some(now),
        ..small(&[Version::new(9, 2, 11)])
    };
    let simulated = Simulated::with(options, |_| {}).await;
    let outer = TempDir::new().unwrap();
    let arguments = Arguments {
        since: "2d".to_owned(),
        labels: Vec::new(),
        ..arguments(outer.path())
    };
    let now = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut out = Vec::new();
    let mut progress = Progress::new(&mut out, false);
    run(&config(&simulated.simulator), &arguments, now, &mut progress)
        .await
        .unwrap();
    let nodes = simulated.simulator.nodes().len();
    let pressure = |seen: &Exposition| seen.samples("pve_node_pressure_io_some_ratio").count() == nodes;
    let live = simulated.until_aging(1, "the pressure on each node", pressure).await;
    let text = |sample: &Sample| {
        let labels: Vec<_> = sample
            .labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{value}\""))
            .collect();
        format!("{}{{{}}}", sample.name, labels.join(","))
    };
    let live: BTreeSet<String> = live
        .families
        .iter()
        .flat_map(|family| &family.samples)
        .map(text)
        .collect();
    let names: BTreeSet<&str> = live.iter().filter_map(|series| series.split('{').next()).collect();
    let written = read(outer.path());
    let mut shared = 0;
    for series in written.keys() {
        let name = series.split('{').next().unwrap();
        if names.contains(name) {
            assert!(live.contains(series), "{series} is not live");
            shared += 1;
        } else {
            assert!(
                name.ends_with("_per_second"),
                "{name} is neither live nor documented as history's own"
            );
        }
    }
    assert!(shared > 80, "{shared}");
}

#[tokio::test]
async fn a_year_of_pve_8_is_coarser() {
    let simulator = simulator(&[Version::new(8, 4, 1)]).await;
    let outer = TempDir::new().unwrap();
    backfill(&simulator, &few(outer.path())).await.unwrap();
    let written = read(outer.path());
    let load: Vec<_> = written
        .iter()
        .filter(|(series, _)| series.starts_with("pve_node_load1{"))
        .collect();
    let [(_, samples)] = load[..] else { panic!("{load:?}") };
    assert!(increasing(samples));
    let steps: BTreeSet<u64> = samples.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    for step in [1_800, 3 * HOUR, 12 * HOUR, 7 * DAY] {
        assert!(steps.contains(&step), "{steps:?}");
    }
    assert!(samples.last().unwrap().0 <= NOW - 3 * HOUR && samples[0].0 < NOW - 350 * DAY);
    assert_eq!(simulator.calls().executed_for("/nodes/{copied}/rrddata"), 4);
}

#[tokio::test]
async fn short_periods_can_be_left_out() {
    let simulator = newest().await;
    let outer = TempDir::new().unwrap();
    let arguments = Arguments {
        resolution: "30m".to_owned(),
        ..few(outer.path())
    };
    backfill(&simulator, &arguments).await.unwrap();
    for samples in read(outer.path()).values() {
        assert!(samples.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 1_800));
        assert!(samples.last().unwrap().0 > NOW - 4 * HOUR);
    }
}

#[tokio::test]
async fn it_goes_on_where_it_ended() {
    let simulator = newest().await;
    let outer = TempDir::new().unwrap();
    let arguments = few(outer.path());
    let fault: Fault = "status=500:/nodes/pve1/storage/nas/rrddata".parse().unwrap();
    let fault = simulator.inject(fault);
    let report = backfill(&simulator, &arguments).await.unwrap();
    assert_eq!(report.missing.len(), 1);
    assert_eq!(report.missing[0].0, "storage/pve1/nas");
    let without = read(outer.path());
    assert!(without.keys().all(|series| series.starts_with("pve_node_")));

    simulator.clear(fault);
    simulator.reset_calls();
    let report = backfill(&simulator, &arguments).await.unwrap();
    assert!(report.missing.is_empty());
    assert_eq!(
        simulator.calls().executed_for("/nodes/{copied}/rrddata"),
        0,
        "it is there"
    );
    let with = read(outer.path());
    assert_eq!(with.len(), without.len() + 2);
    assert!(without.iter().all(|(series, samples)| with[series] == *samples));

    // Nothing is left to do: PVE is not asked, and the commands are the same.
    simulator.reset_calls();
    let again = backfill(&simulator, &arguments).await.unwrap();
    assert_eq!((simulator.calls().received(), again.text), (0, report.text));
    let other = Arguments {
        since: "1d".to_owned(),
        ..arguments
    };
    let problem = backfill(&simulator, &other).await.unwrap_err().to_string();
    assert!(
        problem.contains("--since 365d --until 3h --resolution 1m --nodes pve1 --guests none"),
        "{problem}"
    );
}

#[tokio::test]
async fn no_history_is_no_failure() {
    let simulator = newest().await;
    let fault = "status=500 RRD error opening a file failed - No such file or directory:/nodes/pve1/rrddata";
    simulator.inject(fault.parse::<Fault>().unwrap());
    let outer = TempDir::new().unwrap();
    let report = backfill(&simulator, &few(outer.path())).await.unwrap();
    assert!(report.missing.is_empty());
    assert!(
        read(outer.path())
            .keys()
            .all(|series| series.starts_with("pve_storage_"))
    );
}

#[tokio::test]
async fn what_was_fetched_outlives_the_end_of_all_endpoints() {
    let simulator = newest().await;
    let outer = TempDir::new().unwrap();
    let all = arguments(outer.path());
    let fault = simulator.inject("status=401:/nodes/pve2/rrddata".parse::<Fault>().unwrap());
    let error = backfill(&simulator, &all).await.unwrap_err();
    assert!(error.to_string().contains("the same command goes on"), "{error}");
    assert!(files(outer.path()).is_empty());
    simulator.clear(fault);
    simulator.reset_calls();
    backfill(&simulator, &all).await.unwrap();
    // Of three nodes the first one is there.
    assert_eq!(simulator.calls().executed_for("/nodes/{copied}/rrddata"), 2 * 5);
}

#[tokio::test]
async fn damage_costs_what_is_damaged() {
    let simulator = newest().await;
    let outer = TempDir::new().unwrap();
    backfill(&simulator, &few(&outer.path().join("right"))).await.unwrap();
    let right = read(&outer.path().join("right"));
    let count = |all: &BTreeMap<String, Vec<_>>| all.values().map(Vec::len).sum::<usize>();
    for fault in ["string-numbers", "garbage-rows"] {
        simulator.clear_all();
        simulator.inject(fault.parse::<Fault>().unwrap());
        let output = outer.path().join("damaged");
        let report = backfill(&simulator, &few(&output)).await.unwrap();
        assert!(report.missing.is_empty());
        let damaged = read(&output);
        assert!(damaged.keys().eq(right.keys()) && count(&damaged) == count(&right));
        assert!(
            damaged.values().flatten().zip(right.values().flatten()).all(equal),
            "{fault}"
        );
        fs::remove_dir_all(&output).unwrap();
    }
}

/// A number that came as text may differ in its last digit.
fn equal((left, right): (&(u64, f64), &(u64, f64))) -> bool {
    left.0 == right.0 && (left.1 - right.1).abs() <= 1e-12 * right.1.abs()
}

#[tokio::test]
async fn an_offline_node_costs_its_storages_only() {
    let simulator = newest().await;
    simulator.inject("offline:pve2".parse::<Fault>().unwrap());
    simulator.settled().await;
    let outer = TempDir::new().unwrap();
    let report = backfill(&simulator, &arguments(outer.path())).await.unwrap();
    let missing: Vec<_> = report.missing.iter().map(|(object, _)| object.as_str()).collect();
    assert_eq!(missing, ["storage/pve2/local", "storage/pve2/local-lvm"]);
    let written = read(outer.path());
    assert!(
        written
            .keys()
            .any(|series| series.starts_with("pve_node_load1{") && series.contains("node/pve2"))
    );
    assert_eq!(
        written
            .keys()
            .filter(|series| series.starts_with("pve_storage_size_bytes{"))
            .count(),
        2 * 2 + 2
    );
}

#[tokio::test]
async fn one_request_at_a_time_and_not_too_many_a_minute() {
    let simulator = newest().await;
    let outer = TempDir::new().unwrap();
    simulator.reset_calls();
    let arguments = Arguments {
        calls_per_minute: 1_200,
        ..few(outer.path())
    };
    let began = Instant::now();
    backfill(&simulator, &arguments).await.unwrap();
    let calls = simulator.calls();
    assert_eq!(calls.executed_for("/nodes/{copied}/rrddata"), 5);
    assert_eq!(calls.executed_for("/nodes/{node}/storage/{storage}/rrddata"), 5);
    assert!(began.elapsed() >= 9 * Duration::from_millis(50));
    let most = simulator
        .nodes()
        .iter()
        .map(|node| simulator.highest_concurrency(node))
        .max();
    assert_eq!(most, Some(1));
}

#[tokio::test]
async fn nobody_waits_for_a_thousand_answers_that_do_not_come() {
    let simulator = newest().await;
    let outer = TempDir::new().unwrap();
    let mut config = config(&simulator);
    config.clusters.get_mut("main").unwrap().request_timeout = Duration::from_millis(200);
    for kind in ["qemu", "lxc"] {
        simulator.inject(format!("hang:/nodes/*/{kind}/*/rrddata").parse::<Fault>().unwrap());
    }
    let mut out = Vec::new();
    let mut progress = Progress::new(&mut out, false);
    let error = run(&config, &arguments(outer.path()), NOW, &mut progress)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("/qemu/103/"),
        "the third of the guests: {error}"
    );
}

#[tokio::test]
async fn it_is_told_beforehand_what_it_takes() {
    let simulator = newest().await;
    let outer = TempDir::new().unwrap();
    let arguments = Arguments {
        calls_per_minute: 2_000,
        ..arguments(outer.path())
    };
    let mut out = Vec::new();
    let mut progress = Progress::new(&mut out, false);
    run(&config(&simulator), &arguments, NOW, &mut progress).await.unwrap();
    let told = String::from_utf8(out).unwrap();
    let expected = "17 histories are to be read, by 85 calls at most, 2000 a minute on top of those of a running \
                    exporter: 1 min; the directory grows to ";
    let rest = told.strip_prefix(expected).unwrap_or_else(|| panic!("{told}"));
    let most = rest.split(' ').next().unwrap();
    let size = files(outer.path())
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .sum::<u64>();
    let most = most.parse::<u64>().unwrap() * 1_000_000;
    assert!((size..2 * size).contains(&most), "{most} {size}");
}
