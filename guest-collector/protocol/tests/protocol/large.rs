//! The largest guests, and what encoding costs.

use crate::support::{repeated, samples};
use allocation_counter::measure;
use pve_guest_protocol::areas::{
    Cpu, Disk, FileSystem, Interface, Kernel, Load, Memory, NetworkCounters, Protocols, SchedulerCpu, SoftnetCpu,
};
use pve_guest_protocol::{
    AreaSet, Areas, Credit, Encoder, Header, MAX_LINE_BYTES, MAX_PARTS, MAX_UNDER_WAY_BYTES, Receipts,
};

/// A guest whose counters have all so many digits.
fn guest(cpus: u32, disks: u32, counter: u64) -> Areas {
    let cpu = |cpu| Cpu {
        cpu,
        user: counter,
        nice: counter,
        system: counter,
        idle: counter,
        iowait: counter,
        irq: counter,
        softirq: counter,
        steal: counter,
        guest: counter,
        guest_nice: counter,
    };
    let disk = |minor| Disk {
        device: format!("nvme{minor}n1p1"),
        major: 259,
        minor,
        reads: counter,
        reads_merged: counter,
        sectors_read: counter,
        read_milliseconds: counter,
        writes: counter,
        writes_merged: counter,
        sectors_written: counter,
        write_milliseconds: counter,
        in_progress: counter,
        busy_milliseconds: counter,
        weighted_milliseconds: counter,
        discards: Some(counter),
        discards_merged: Some(counter),
        sectors_discarded: Some(counter),
        discard_milliseconds: Some(counter),
        flushes: Some(counter),
        flush_milliseconds: Some(counter),
    };
    let interface = |interface: &str| NetworkCounters {
        interface: interface.to_owned(),
        receive_bytes: counter,
        transmit_bytes: counter,
        ..NetworkCounters::default()
    };
    Areas {
        cpus: Some((0..cpus).map(cpu).collect()),
        scheduler: Some(
            (0..cpus)
                .map(|cpu| SchedulerCpu {
                    cpu,
                    timeslices: counter,
                    ..SchedulerCpu::default()
                })
                .collect(),
        ),
        softnet: Some(
            (0..cpus)
                .map(|cpu| SoftnetCpu {
                    cpu,
                    processed: counter,
                    ..SoftnetCpu::default()
                })
                .collect(),
        ),
        disks: Some((0..disks).map(disk).collect()),
        kernel: Some(Kernel {
            ticks_per_second: 100,
            interrupts: Some(counter),
            ..Kernel::default()
        }),
        load: Some(Load {
            load1: 0.01,
            ..Load::default()
        }),
        memory: Some(Memory {
            total: Some(counter),
            available: Some(counter),
            ..Memory::default()
        }),
        protocols: Some(Protocols {
            tcp_established: Some(7),
            ..Protocols::default()
        }),
        network: Some(vec![interface("lo"), interface("eth0")]),
        interfaces: Some(vec![Interface {
            interface: "eth0".to_owned(),
            ..Interface::default()
        }]),
        file_systems: Some(vec![FileSystem {
            device: "/dev/vda1".to_owned(),
            mount_point: "/".to_owned(),
            ..FileSystem::default()
        }]),
        ..Areas::default()
    }
}

#[test]
fn a_guest_of_1024_cpus_and_2000_disks_is_told_whole() {
    for counter in [0, 123_456_789, 1 << 48] {
        let areas = guest(1_024, 2_000, counter);
        let mut bytes = Vec::new();
        let encoded = Encoder::default().encode(&Header::default(), &areas, AreaSet::ALL, Some(7), &mut bytes);
        assert_eq!(encoded.omitted, 0);
        let longest = bytes
            .split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::len)
            .max()
            .unwrap();
        assert!(longest <= MAX_LINE_BYTES, "{longest}");
        assert_eq!(samples(&bytes)[0].areas, areas);
    }
}

#[test]
fn what_does_not_fit_into_the_most_lines_is_left_out_and_counted() {
    let areas = repeated(&guest(1_024, 2_000, u64::MAX), 2);
    let mut bytes = Vec::new();
    let encoded = Encoder::default().encode(&Header::default(), &areas, AreaSet::ALL, None, &mut bytes);
    assert_eq!(encoded.lines, MAX_PARTS);
    assert!(encoded.omitted > 0);
    let samples = samples(&bytes);
    assert_eq!(samples[0].header.omitted, encoded.omitted);
    assert!(
        bytes
            .split_inclusive(|byte| *byte == b'\n')
            .all(|line| line.len() <= MAX_LINE_BYTES)
    );
}

#[test]
fn encoding_allocates_nothing_once_it_is_warm() {
    for areas in [guest(4, 3, 123_456_789), guest(256, 100, 123_456_789)] {
        let mut encoder = Encoder::default();
        let mut bytes = Vec::new();
        let mut encode = || {
            bytes.clear();
            encoder.encode(&Header::default(), &areas, AreaSet::ALL, None, &mut bytes)
        };
        encode();
        assert_eq!(measure(|| _ = encode()).count_total, 0);
    }
}

/// Lines from the shortest report to the longest line, with more than a collector counts on top.
#[test]
fn a_host_that_reads_never_keeps_a_collector_waiting() {
    for length in [250, 331, 4_097, 16_383, MAX_LINE_BYTES] {
        let (mut credit, mut receipts) = (Credit::default(), Receipts::default());
        assert!(!credit.allows(1), "nobody has shown that he reads");
        credit.renew();
        let cost = length + 1_024;
        for line in 0..2_000 {
            assert!(credit.allows(cost), "line {line} of {length} bytes");
            credit.take(cost);
            if receipts.due(length) {
                credit.renew();
            }
        }
    }
}

#[test]
fn a_host_that_stalls_gets_no_more_than_the_limit() {
    let mut credit = Credit::default();
    credit.renew();
    let lines = (0..1_000)
        .filter(|_| credit.allows(8_000).then(|| credit.take(8_000)).is_some())
        .count();
    assert_eq!(lines, MAX_UNDER_WAY_BYTES / 8_000);
    credit.renew();
    assert!(
        credit.allows(MAX_UNDER_WAY_BYTES) && !credit.allows(MAX_UNDER_WAY_BYTES + 1) && !credit.allows(usize::MAX)
    );
    credit.withdraw();
    assert!(!credit.allows(0));
}
