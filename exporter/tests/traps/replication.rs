//! Replication that fails, and to when it would bring a guest back.

use crate::support::simulated::Simulated;
use crate::support::strict::Exposition;

fn of(seen: &Exposition, name: &str, job: &str) -> Option<f64> {
    seen.value(&format!("pve_replication_job_{name}"), &[("job_id", job)])
}

fn point(seen: &Exposition, id: &str) -> Option<f64> {
    let labels = [("id", id), ("source", "replication")];
    seen.value("pve_guest_recovery_point_timestamp_seconds", &labels)
}

#[tokio::test]
async fn a_job_that_fails_leaves_its_recovery_point_behind() {
    let pve = Simulated::start().await;
    let before = pve.settle().await;
    assert_eq!(of(&before, "consecutive_failures", "100-0"), Some(0.0));
    assert_eq!(
        point(&before, "qemu/100"),
        of(&before, "last_sync_timestamp_seconds", "100-0")
    );
    assert!(pve.simulator.fail_replication("100-0"));
    let mut failures = 0.0;
    for _ in 0..4 {
        let seen = pve.later(1800).await;
        let now = of(&seen, "consecutive_failures", "100-0").unwrap();
        assert!(now > failures, "{now} after {failures}");
        failures = now;
        assert_eq!(of(&seen, "error", "100-0"), Some(1.0));
        assert_eq!(point(&seen, "qemu/100"), point(&before, "qemu/100"), "it stands still");
        assert!(
            point(&seen, "qemu/106") > point(&before, "qemu/106"),
            "the others go on"
        );
        assert_eq!(of(&seen, "error", "106-0"), Some(0.0));
    }
    assert!(pve.simulator.resume_replication("100-0"));
    let seen = pve.later(1800).await;
    assert_eq!(of(&seen, "consecutive_failures", "100-0"), Some(0.0));
    assert_eq!(of(&seen, "error", "100-0"), Some(0.0));
    assert_eq!(point(&seen, "qemu/100"), point(&seen, "qemu/106"));
}

#[tokio::test]
async fn a_job_that_is_disabled_does_not_count_as_failing() {
    let pve = Simulated::start().await;
    let before = pve.settle().await;
    assert!(pve.simulator.disable_replication("100-0"));
    pve.later(1800).await;
    let seen = pve.later(1800).await;
    assert_eq!(of(&seen, "enabled", "100-0"), Some(0.0));
    assert_eq!(of(&seen, "consecutive_failures", "100-0").unwrap_or_default(), 0.0);
    assert_eq!(
        point(&seen, "qemu/100"),
        point(&before, "qemu/100"),
        "what was replicated is there"
    );
}

#[tokio::test]
async fn a_guest_that_has_migrated_is_replicated_the_other_way() {
    let pve = Simulated::start().await;
    let seen = pve.settle().await;
    let jobs = |seen: &Exposition| {
        seen.samples("pve_replication_job_info")
            .filter(|sample| sample.label("job_id") == Some("100-0"))
            .count()
    };
    assert_eq!(
        seen.value(
            "pve_replication_job_info",
            &[("job_id", "100-0"), ("source", "pve1"), ("target", "pve3")]
        ),
        Some(1.0)
    );
    assert!(pve.simulator.migrate(100, "pve3"));
    for _ in 0..4 {
        let seen = pve.later(120).await;
        assert_eq!(jobs(&seen), 1);
        assert!(
            seen.samples("pve_replication_job_running")
                .filter(|sample| sample.label("job_id") == Some("100-0"))
                .count()
                <= 1
        );
    }
    let seen = pve.later(300).await;
    assert_eq!(
        seen.value(
            "pve_replication_job_info",
            &[("job_id", "100-0"), ("source", "pve3"), ("target", "pve1")]
        ),
        Some(1.0)
    );
    assert_eq!(of(&seen, "error", "100-0"), Some(0.0));
}
