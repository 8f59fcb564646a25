//! Our page of a guest beside node_exporter on the same machine at the same moment, and both beneath a dashboard.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

#[path = "../support/mod.rs"]
mod support;

mod comparison;
mod dashboard;
mod documentation;
mod exceptions;
mod ours;
mod page;
mod program;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread;
use std::time::Duration;

use comparison::{Comparison, Moment, What, lasting};
use dashboard::Query;
use ours::Ours;
use page::{Family, Page};
use program::NodeExporter;
use pve_exporter::telemetry::exposition::catalog;
use support::prometheus::Prometheus;

const DEADLINE: Duration = Duration::from_secs(60);

/// A difference is one if this many measurements in a row show it.
const MEASUREMENTS: u32 = 10;

/// What is found when this is done to two scrapes of node_exporter that are taken for ours.
fn found_after(mutate: impl Fn(&mut Page)) -> Vec<(What, String)> {
    let program = NodeExporter::start();
    let mutated = || {
        let mut page = program.scrape();
        page.0.retain(|name, _| exceptions::lacking(name).is_none());
        mutate(&mut page);
        page
    };
    let compared = lasting(MEASUREMENTS, || {
        let (before, theirs) = (mutated(), program.scrape());
        Comparison::of(&Moment {
            before,
            theirs,
            after: mutated(),
        })
    });
    let found = compared.found.into_keys();
    found.map(|(what, family, _)| (what, family)).collect()
}

fn family<'a>(page: &'a mut Page, name: &str) -> &'a mut Family {
    page.0.get_mut(name).unwrap()
}

#[test]
fn node_exporter_equals_itself() {
    assert_eq!(found_after(|_| {}), []);
}

#[test]
fn a_wrong_value_is_found() {
    for name in [
        "node_memory_MemTotal_bytes",
        "node_boot_time_seconds",
        "node_vmstat_pgfault",
    ] {
        let found = found_after(|page| family(page, name).series.values_mut().for_each(|value| *value /= 1.024));
        assert_eq!(found, [(What::Value, name.to_owned())]);
    }
}

#[test]
fn a_swap_of_two_columns_is_found() {
    let found = found_after(|page| {
        let read = page.0.remove("node_disk_read_bytes_total").unwrap();
        let written = page.0.insert("node_disk_written_bytes_total".to_owned(), read).unwrap();
        page.0.insert("node_disk_read_bytes_total".to_owned(), written);
    });
    assert!(
        found.contains(&(What::Value, "node_disk_read_bytes_total".to_owned())),
        "{found:?}"
    );
    assert!(
        found.contains(&(What::Value, "node_disk_written_bytes_total".to_owned())),
        "{found:?}"
    );
}

#[test]
fn a_missing_series_is_found() {
    let name = "node_cpu_seconds_total";
    let found = found_after(|page| drop(family(page, name).series.pop_first()));
    assert_eq!(found, [(What::SeriesMissing, name.to_owned())]);
}

#[test]
fn another_label_is_found() {
    let name = "node_load1";
    let found = found_after(|page| {
        let of = family(page, name);
        let (mut labels, value) = of.series.pop_first().unwrap();
        labels.insert("id".to_owned(), "100".to_owned());
        of.series.insert(labels, value);
    });
    assert_eq!(
        found,
        [
            (What::SeriesMissing, name.to_owned()),
            (What::SeriesUnknown, name.to_owned())
        ]
    );
}

#[test]
fn another_type_is_found() {
    let name = "node_context_switches_total";
    let found = found_after(|page| "gauge".clone_into(&mut family(page, name).kind));
    assert_eq!(found, [(What::Kind, name.to_owned())]);
}

#[test]
fn a_family_that_nobody_listed_is_found() {
    let name = "node_forks_total";
    let found = found_after(|page| drop(page.0.remove(name)));
    assert_eq!(found, [(What::FamilyMissing, name.to_owned())]);
    let found = found_after(|page| {
        let like = page.0["node_load1"].clone();
        page.0.insert("node_made_up".to_owned(), like);
    });
    assert_eq!(found, [(What::FamilyUnknown, "node_made_up".to_owned())]);
}

/// Compares until nothing is found, or the same again and again; gives the number of families.
fn compare(program: &NodeExporter, sampler: &mut Ours, not_of_record: &[&str]) -> usize {
    let compared = lasting(MEASUREMENTS, || {
        let before = Page::read(&sampler.text());
        let theirs = program.scrape();
        let after = Page::read(&sampler.text());
        let [before, theirs, after] = [before, theirs, after].map(|mut page| {
            page.0.retain(|name, _| !not_of_record.contains(&name.as_str()));
            page
        });
        Comparison::of(&Moment { before, theirs, after })
    });
    let Comparison {
        found,
        families,
        series,
    } = compared;
    eprintln!("{families} families and {series} series are the same");
    let told: Vec<_> = found.iter().map(|difference| format!("{difference:?}")).collect();
    assert!(found.is_empty(), "{}", told.join("\n"));
    families
}

#[test]
fn values_are_those_of_node_exporter() {
    let families = compare(&NodeExporter::start(), &mut Ours::new(), &[]);
    assert!(families > 150, "only {families} families");
}

/// What this machine's kernel does not tell others do.
fn values_of_record(name: &str) {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../guest-collector/tests/trees")
        .join(name);
    let families = compare(
        &NodeExporter::of_record(&tree),
        &mut Ours::of_record(&tree),
        &["node_uname_info"],
    );
    assert!(families > 100, "only {families} families");
}

#[test]
fn values_of_an_old_kernel_are_those_of_node_exporter() {
    values_of_record("linux-3.10");
}

#[test]
fn values_of_a_guest_are_those_of_node_exporter() {
    values_of_record("debian-12-guest");
}

#[test]
fn values_of_a_host_are_those_of_node_exporter() {
    values_of_record("debian-12");
}

#[test]
fn values_of_alpine_are_those_of_node_exporter() {
    values_of_record("alpine");
}

#[test]
fn what_is_listed_as_lacking_is_not_shown() {
    let shown = catalog()
        .into_iter()
        .flat_map(|group| group.entries)
        .map(|entry| entry.name);
    let shown: Vec<_> = shown.filter(|name| exceptions::lacking(name).is_some()).collect();
    assert!(shown.is_empty(), "{shown:?}");
}

/// Serves a page that is made anew for each request, as long as the test process lives.
fn serve(mut page: impl FnMut() -> String + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let head = BufReader::new(&stream).lines().map_while(Result::ok);
            head.take_while(|line| !line.is_empty()).for_each(drop);
            let head = "HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\r\n";
            // A peer that hangs up is its own business.
            drop(write!(stream, "{head}{}", page()));
        }
    });
    address
}

#[test]
fn the_dashboard_finds_what_it_asks_for() {
    let (theirs, mut sampler) = (NodeExporter::start(), Ours::new());
    let ours = serve(move || sampler.text());
    let prometheus = Prometheus::with_config(&format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
         scrape_configs:\n\
         - {{job_name: guest, static_configs: [{{targets: [\"{ours}\"]}}]}}\n\
         - {{job_name: node_exporter, static_configs: [{{targets: [\"{}\"]}}]}}\n",
        theirs.address
    ));
    let scraped = "min(sum_over_time(up[5m])) >= 3 and count(up) == 2";
    prometheus.wait_for(scraped, |found| found[0].is_object(), DEADLINE);
    let known: BTreeSet<_> = catalog()
        .into_iter()
        .flat_map(|group| group.entries)
        .map(|entry| entry.name)
        .collect();
    let answers = |query: &Query, job: &str| prometheus.query(&query.promql(job)).as_array().map_or(0, Vec::len);
    let (mut answered, mut of_other_kernels) = (0, Vec::new());
    for query in dashboard::queries() {
        if answers(&query, "guest") > 0 {
            answered += 1;
            continue;
        }
        // This kernel may not tell, but then node_exporter knows nothing either, even if it says -1.
        let may_be_unknown = query.metrics().any(|metric| exceptions::unknown(metric).is_some());
        assert!(
            may_be_unknown || answers(&query, "node_exporter") == 0,
            "{}: no answer to {}",
            query.panel,
            query.promql("guest")
        );
        for metric in query.metrics() {
            assert!(known.contains(metric), "{}: there is no {metric}", query.panel);
        }
        of_other_kernels.push(query.promql("guest"));
    }
    println!("{answered} queries have answers; this kernel does not tell {of_other_kernels:#?}");
    assert!(answered > 200, "only {answered} queries have answers");
}
