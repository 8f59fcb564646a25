//! The guest agent of a real guest, asked over its port.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use pve_exporter::qga::commands::Command;
use pve_exporter::qga::session::Limits;
use pve_exporter::sources::guest_direct::{GuestDirect, read};

use crate::machine::{Machine, Node};

const VMID: u32 = 100;

const EVERYTHING: [Command; 4] = [
    Command::CpuStats,
    Command::DiskStats,
    Command::Load,
    Command::FileSystems,
];

/// Limits that no agent reaches on a slow machine.
fn limits() -> Limits {
    let long = Duration::from_secs(30);
    Limits {
        sync: long,
        command: long,
        budget: long,
        drains: 3,
        drain: long,
        reply_bytes: 100_000,
    }
}

async fn ask(node: &Node) -> GuestDirect {
    let direct = read(node.directory(), VMID, &EVERYTHING, &limits()).await.unwrap();
    assert_eq!(direct.damaged, 0);
    direct
}

/// Hundredths of a second that the agent has kept its CPU busy.
fn used(guest: &Machine) -> u64 {
    let stat = guest.run("cat /proc/$(cat /run/qemu-ga.pid)/stat");
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = fields.split(' ').collect();
    [11, 12].iter().map(|at| fields[*at].parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn the_agent_of_a_guest_is_read_and_left_in_peace() {
    let node = Node::new();
    let guest = node.boot(VMID);
    for socket in ["qga", "telemetry", "qmp"] {
        let peer = tokio::net::UnixStream::connect(guest.file(socket)).await.unwrap();
        assert_eq!(peer.peer_cred().unwrap().pid(), Some(guest.pid()), "{socket}");
    }

    let first = ask(&node).await;
    assert!(!first.info.version.is_empty());
    assert!(first.file_systems.is_some_and(|all| all.is_empty()));
    let disks: Vec<String> = first.disks.unwrap().into_iter().map(|disk| disk.device).collect();
    assert_eq!(disks, ["vda"]);

    guest.run("mke2fs -F /dev/vda >/dev/null 2>&1 && mkdir /mnt/data && mount /dev/vda /mnt/data");
    let second = ask(&node).await;
    // Not `idle`: on a busy host the guest has no such moment.
    let (before, after) = (first.cpu.unwrap(), second.cpu.unwrap());
    assert!(before.idle <= after.idle, "{before:?} {after:?}");
    assert!(before.system < after.system, "{before:?} {after:?}");
    let written = second.disks.unwrap()[0].written_bytes;
    assert!(written > Some(0), "{written:?}");
    let mounted = second.file_systems.unwrap();
    assert_eq!(&*mounted[0].mountpoint, "/mnt/data");
    assert!(mounted[0].total < Some(16 << 20), "{mounted:?}");

    // One that was killed after it asked, and in the middle of asking.
    let mut killed = UnixStream::connect(guest.file("qga")).unwrap();
    killed
        .write_all(b"{\"execute\": \"guest-get-fsinfo\"}\n{\"execute\": \"gue")
        .unwrap();
    drop(killed);
    let third = ask(&node).await;
    assert_eq!(third.file_systems, Some(mounted));

    let before = used(&guest);
    guest.run("sleep 1");
    let busy = used(&guest) - before;
    assert!(busy < 20, "the agent was busy for {busy}0 ms of a second");
}
