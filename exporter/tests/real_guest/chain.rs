//! The whole chain: the collector in a guest, its port, the exporter as a program, and a Prometheus that finds the guest by itself.

use std::time::Duration;

use serde_json::Value;

use crate::machine::{Machine, Node};
use crate::site::Site;
use crate::support::program::Program;
use crate::support::prometheus::Prometheus;

const LONG: Duration = Duration::from_secs(60);

/// How old what is shown may seem: two intervals, and what the clocks of guest and host may differ by.
const OLDEST: f64 = 4.0;

/// One guest of one exporter, and what Prometheus knows of it.
struct Chain {
    site: Site,
    node: Node,
    guest: Machine,
    prometheus: Prometheus,
}

impl Chain {
    /// The value of a series of the guest, when it comes.
    fn until(&self, what: &str, holds: impl Fn(f64) -> bool) -> f64 {
        let found = |result: &Value| result[0]["value"][1].as_str().and_then(|value| value.parse().ok());
        let satisfies = |result: &Value| found(result).is_some_and(&holds);
        found(&self.prometheus.wait_for(what, satisfies, LONG)).unwrap()
    }

    fn value(&self, what: &str) -> f64 {
        self.until(what, |_| true)
    }

    /// A number that a line of shell prints in the guest.
    fn of_guest(&self, command: &str) -> f64 {
        self.guest.run(command).parse().unwrap()
    }

    /// Waits until samples come that were taken after now.
    fn goes_on(&self) {
        let now = self.of_guest("date +%s");
        self.until("node_time_seconds", |time| time > now + 2.0);
    }

    /// The time of the guest, and how much of it its collector has used.
    fn used(&self) -> (f64, f64) {
        (self.value("node_time_seconds"), self.value("process_cpu_seconds_total"))
    }

    /// Every value that Prometheus has ever got was one of its moment, and none came after a later one.
    fn nothing_old_was_shown(&self) {
        let all = self.prometheus.query("node_time_seconds[1h]");
        let mut latest = 0.0;
        let values = all[0]["values"].as_array().unwrap();
        for pair in values {
            let (at, taken) = (
                pair[0].as_f64().unwrap(),
                pair[1].as_str().unwrap().parse::<f64>().unwrap(),
            );
            assert!(at - taken < OLDEST, "{taken} was shown at {at}: {all}");
            assert!(taken >= latest, "{taken} was shown after {latest}: {all}");
            latest = taken;
        }
        assert!(values.len() > 8, "{all}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_sees_the_guest_whatever_happens_to_the_exporter() {
    let (site, node) = (Site::new().await, Node::new());
    let vmid = site.register("web-1");
    let mut exporter = site.exporter(&node);
    let prometheus = Prometheus::with_config(&format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\n\
         scrape_configs: [{{job_name: guests, http_sd_configs: [{{url: 'http://{}/sd/guests', refresh_interval: 1s}}]}}]\n",
        site.address()
    ));
    let guest = node.boot(vmid);
    guest.run("mke2fs -F /dev/vda >/dev/null 2>&1 && mkdir /mnt/data && mount /dev/vda /mnt/data");
    guest.start_collector();
    let chain = Chain {
        site,
        node,
        guest,
        prometheus,
    };
    chain.shows_what_the_guest_says(vmid);
    let before = chain.used();

    exporter.signal("TERM");
    assert!(exporter.ended().success());
    exporter = chain.site.exporter(&chain.node);
    chain.goes_on();

    exporter.signal("KILL");
    exporter.ended();
    exporter = chain.site.exporter(&chain.node);
    chain.goes_on();

    // It reads nothing for so long, and then everything.
    exporter.signal("STOP");
    chain.guest.run("sleep 5");
    exporter.signal("CONT");
    chain.goes_on();

    chain.nothing_old_was_shown();
    let after = chain.used();
    let share = (after.1 - before.1) / (after.0 - before.0);
    assert!(share < 0.1, "the collector used {share} of an emulated CPU");
    chain.guest.collector_is_small();
    let resident = resident(&exporter);
    assert!(resident < 64 << 10, "{resident} kB");

    chain.guest.reset();
    chain.guest.start_collector();
    let booted = chain.of_guest("awk '/btime/ {print $2}' /proc/stat");
    chain.until("node_boot_time_seconds", |time| (time - booted).abs() < 0.5);
}

impl Chain {
    fn shows_what_the_guest_says(&self, vmid: u32) {
        let instance = format!("{{instance=\"main/qemu/{vmid}\"}}");
        self.until(&format!("up{instance}"), |up| up == 1.0);
        let memory = self.of_guest("awk '/MemTotal/ {print $2}' /proc/meminfo");
        assert_eq!(
            self.value(&format!("node_memory_MemTotal_bytes{instance}")),
            memory * 1024.0
        );
        let booted = self.of_guest("awk '/btime/ {print $2}' /proc/stat");
        assert_eq!(self.value("node_boot_time_seconds"), booted);
        let blocks = self.of_guest("df /mnt/data | awk 'END {print $2}'");
        let size = self.value("node_filesystem_size_bytes{mountpoint=\"/mnt/data\"}");
        assert_eq!(size, blocks * 1024.0);
        let written = self.value("node_disk_written_bytes_total{device=\"vda\"}");
        assert!(written > 0.0, "{written}");
        for expected in [
            "node_uname_info{nodename=\"web-1\", sysname=\"Linux\"}",
            "node_os_info{id=\"testguest\"}",
            "node_network_info{device=\"eth0\"}",
            "node_load1",
            "node_cpu_seconds_total{mode=\"idle\"} > 0",
        ] {
            self.value(expected);
        }
        let series = self.value(&format!(
            "count({{__name__=~\"node_.*\", instance=\"main/qemu/{vmid}\"}})"
        ));
        assert!(series > 200.0, "{series} series");
    }
}

/// Memory that a program holds, in kB.
fn resident(program: &Program) -> u64 {
    let status = std::fs::read_to_string(program.proc_file("status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
