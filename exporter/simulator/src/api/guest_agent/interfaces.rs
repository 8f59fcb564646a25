//! `network-get-interfaces`: the network interfaces of a guest.

use super::Scene;
use crate::{Agent, json::Json, model::Guest};

pub(super) fn write(scene: &Scene<'_>, guest: &Guest, json: &mut Json) {
    let sample = guest.sample(scene.view.at);
    let counters = !matches!(guest.agent, Agent::Bsd | Agent::Old);
    let (loopback, prefix) = match guest.agent {
        Agent::Windows => ("Loopback Pseudo-Interface 1", "Ethernet"),
        Agent::Bsd => ("lo0", "vtnet"),
        _ => ("lo", "eth"),
    };
    json.begin_list();
    for (number, totals) in guest.network_counters(&sample).into_iter().enumerate() {
        let name = match (&guest.agent, number) {
            (Agent::Windows, 0) => prefix.to_owned(),
            (Agent::Windows, _) => format!("{prefix} {}", number + 1),
            _ => format!("{prefix}{number}"),
        };
        let address = guest.hardware_address(number).to_lowercase();
        let [high, low] = [guest.vmid / 256 % 256, guest.vmid % 256];
        let addresses = [
            (format!("10.{number}.{high}.{low}"), 16),
            (format!("fe80::be24:11ff:fe00:{:x}", guest.vmid), 64),
        ];
        write_interface(json, &name, Some(&address), &addresses, counters.then_some(totals));
    }
    if guest.agent == Agent::Crowded {
        for network in 101..121 {
            let addresses = [
                (format!("10.200.{network}.1"), 24),
                (format!("2001:db8:{network}::1"), 64),
            ];
            write_interface(json, &format!("eth0.{network}"), None, &addresses, Some([0, 0]));
        }
    }
    let addresses = [("127.0.0.1".to_owned(), 8), ("::1".to_owned(), 128)];
    let address = (guest.agent != Agent::Windows && guest.agent != Agent::Bsd).then_some("00:00:00:00:00:00");
    write_interface(json, loopback, address, &addresses, counters.then_some([0, 0]));
    if guest.agent == Agent::Healthy && guest.vmid.is_multiple_of(4) {
        // A tunnel has no hardware, and one of these two is only just being made.
        write_interface(json, "wg0", None, &[("10.9.0.1".to_owned(), 24)], None);
        write_interface(json, "ifb0", Some("3e:69:68:8f:69:be"), &[], None);
    }
    json.end_list();
}

fn write_interface(
    json: &mut Json,
    name: &str,
    hardware: Option<&str>,
    addresses: &[(String, u64)],
    totals: Option<[u64; 2]>,
) {
    json.begin_row();
    json.string_field("name", name);
    if let Some(hardware) = hardware {
        json.string_field("hardware-address", hardware);
    }
    if !addresses.is_empty() {
        json.key("ip-addresses");
        json.begin_list();
        for (address, prefix) in addresses {
            json.begin_object();
            json.string_field("ip-address-type", if address.contains(':') { "ipv6" } else { "ipv4" });
            json.string_field("ip-address", address);
            json.integer_field("prefix", *prefix);
            json.end_object();
        }
        json.end_list();
    }
    if let Some([received, sent]) = totals {
        json.key("statistics");
        json.begin_object();
        for (way, bytes) in [("rx", received), ("tx", sent)] {
            json.integer_field(&format!("{way}-bytes"), bytes);
            json.integer_field(&format!("{way}-packets"), bytes / 700);
            json.integer_field(&format!("{way}-errs"), 0);
            json.integer_field(&format!("{way}-dropped"), bytes / 70_000_000);
        }
        json.end_object();
    }
    json.end_object();
}
