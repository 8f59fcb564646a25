//! What is missing on this machine.

use std::time::Instant;

use pve_guest_protocol::Area;
use rustix::io::Errno;

use crate::config::Config;
use crate::run::{self, NoPort};
use crate::samplers::{Roots, Sampler};

/// Appends a line for the port and for each area that is switched on: what is there, and what to do about what is not.
/// Returns whether everything needed is there.
pub fn write(config: &Config, roots: &Roots, out: &mut Vec<u8>) -> bool {
    let mut line = |mark: &str, subject: &str, text: &str| {
        let line = format!("{mark:<8}{subject:<14}{text}");
        out.extend_from_slice(line.trim_end().as_bytes());
        out.push(b'\n');
    };
    let port = match run::open(&config.port) {
        Ok(_) => {
            line("ok", "port", &format!("{} can be opened", config.port));
            true
        }
        Err(NoPort::Refused(path, Errno::BUSY)) => {
            line(
                "ok",
                "port",
                &format!("{path} is open already: by the collector that runs here, it is hoped"),
            );
            true
        }
        Err(problem) => {
            line("missing", "port", &problem.to_string());
            false
        }
    };
    let mut sampler = Sampler::new(roots, config.areas);
    let present = sampler.sample(config.areas, Instant::now()).present();
    let mut complete = port;
    for area in Area::ALL.iter().copied().filter(|area| *area != Area::Collector) {
        if !config.areas.contains(area) {
            line("off", area.name(), "switched off by the configuration");
        } else if present.contains(area) {
            line("ok", area.name(), "");
        } else if let Some(reason) = may_be_absent(area) {
            line("absent", area.name(), reason);
        } else {
            complete = false;
            line("missing", area.name(), remedy(area));
        }
    }
    complete
}

/// Why a machine may do without this area.
fn may_be_absent(area: Area) -> Option<&'static str> {
    Some(match area {
        Area::Pressure => "the kernel counts it from 4.20 on, with CONFIG_PSI and, on some, psi=1 on its command line",
        Area::Conntrack => "the module nf_conntrack is not loaded: nothing to do unless there is a firewall",
        Area::Scheduler => "the kernel counts it with CONFIG_SCHEDSTATS only",
        Area::Users => "neither systemd-logind's sessions in /run/systemd nor /run/utmp: there may be nobody to count",
        Area::UdpQueues | Area::Arp | Area::Softnet | Area::Protocols => "the kernel has no such protocol",
        _ => return None,
    })
}

fn remedy(area: Area) -> &'static str {
    match area {
        Area::Network | Area::Interfaces | Area::Sockets => {
            "/proc/net cannot be read: a unit with PrivateNetwork= or ProcSubset=pid sees none"
        }
        Area::FileSystems => {
            "no mounted file system could be asked: let the service see /proc/self/mountinfo and the mounts"
        }
        _ => {
            "the kernel's file cannot be read: mount /proc and /sys, and let the service see all of them (ProcSubset=all)"
        }
    }
}
