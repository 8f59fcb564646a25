//! What is installed beside the program: the service, and the rule that gives it the port.

use pve_guest_protocol::PORT_NAME;

const UNIT: &str = include_str!("../../deploy/guest-collector/pve-guest-collector.service");
const RULE: &str = include_str!("../../deploy/guest-collector/70-pve-guest-collector.rules");

fn value(key: &str) -> Option<&'static str> {
    UNIT.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

/// systemd's name for the device of a port.
fn device(port: &str) -> String {
    format!(r"dev-virtio\x2dports-{}.device", port.replace('-', r"\x2d"))
}

/// A device that systemd does not know when it starts the service is one that the service may never open.
#[test]
fn the_service_runs_while_the_port_is_there() {
    for key in ["BindsTo", "After", "WantedBy"] {
        assert_eq!(value(key), Some(&*device(PORT_NAME)), "{key}");
    }
    let rule = RULE.lines().find(|line| !line.starts_with('#')).unwrap();
    for part in [&*format!(r#"ATTR{{name}}=="{PORT_NAME}""#), r#"TAG+="systemd""#] {
        assert!(rule.split(", ").any(|found| found == part), "{part}");
    }
}

#[test]
fn the_service_names_no_page_that_is_not_installed() {
    assert_eq!(value("Documentation"), None);
}
