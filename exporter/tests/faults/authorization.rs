//! After a 401 the secret is read once more, tried once more, and then nothing is sent for a while.

use std::fs::{OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use pve_exporter::config::{SecretSource, SourceSettings};
use pve_exporter::sources::name::SourceName;

use crate::support::simulated::{Simulated, failures, options, source_up, sources_down};

fn write_token(path: &Path, secret: &str) {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    file.write_all(secret.as_bytes()).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

async fn with_token_file(path: &Path) -> Simulated {
    write_token(path, &options().token_secret);
    let pve = Simulated::with(options(), |config| {
        config.clusters.get_mut("main").unwrap().secret = SecretSource::file(path);
    })
    .await;
    assert_eq!(sources_down(&pve.scrape().await), []);
    pve
}

#[tokio::test]
async fn a_refused_token_rests_for_one_to_fifteen_minutes() {
    let pve = Simulated::with(options(), |config| {
        for source in SourceName::ALL {
            let enabled = Some(source == SourceName::Resources);
            config.sources.insert(source, SourceSettings { enabled, max_age: None });
        }
    })
    .await;
    pve.scrape().await;
    pve.simulator.set_token_secret("another");
    pve.simulator.reset_calls();
    let mut failed = 0.0;
    for rest in [60, 120, 240, 480, 900, 900] {
        let calls = pve.simulator.calls().received();
        // The source itself rests for up to a minute, too.
        pve.age(62);
        failed += 1.0;
        pve.until("refused", |seen| {
            failures(seen, "resources", "", "unauthorized") == failed
        })
        .await;
        assert_eq!(
            pve.simulator.calls().received(),
            calls + 2,
            "once, and once more with the secret read again"
        );
        pve.age(rest - 2);
        for _ in 0..3 {
            pve.scrape_after(0).await;
            pve.exporter.retry();
            pve.idle().await;
        }
        assert_eq!(
            pve.simulator.calls().received(),
            calls + 2,
            "sent within the rest of {rest} s"
        );
    }
}

#[tokio::test]
async fn a_rotated_token_file_works_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let pve = with_token_file(&path).await;
    pve.simulator.set_token_secret("11111111-2222-4333-8444-555555555555");
    write_token(&path, "11111111-2222-4333-8444-555555555555\n");
    pve.simulator.reset_calls();
    let seen = pve.scrape_after(15).await;
    assert_eq!(sources_down(&seen), []);
    assert!(seen.samples("pve_source_failures_total").next().is_none());
    let resources = pve.simulator.calls().received_for("/cluster/resources");
    assert!(resources <= 2, "one retry at most: {resources}");
}

#[tokio::test]
async fn a_corrected_token_file_ends_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let pve = with_token_file(&path).await;
    pve.simulator.set_token_secret("11111111-2222-4333-8444-555555555555");
    let seen = pve.scrape_after(15).await;
    assert_eq!(failures(&seen, "resources", "", "unauthorized"), 1.0);
    write_token(&path, "11111111-2222-4333-8444-555555555555\n");
    pve.age(6);
    pve.until("works", |seen| source_up(seen, "resources", "") == Some(1.0))
        .await;
}

#[tokio::test]
async fn an_unreadable_token_file_is_a_failure_that_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    write_token(&path, &options().token_secret);
    let pve = Simulated::with(options(), |config| {
        config.clusters.get_mut("main").unwrap().secret = SecretSource::file(&path);
    })
    .await;
    std::fs::remove_file(&path).unwrap();
    let seen = pve.scrape().await;
    assert_eq!(failures(&seen, "resources", "", "unauthorized"), 1.0);
    assert_eq!(pve.simulator.calls().received(), 0);
    write_token(&path, &options().token_secret);
    pve.age(61);
    pve.until("works", |seen| source_up(seen, "resources", "") == Some(1.0))
        .await;
}
