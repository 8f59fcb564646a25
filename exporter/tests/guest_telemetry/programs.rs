//! The exporter and its opener as they run on a node: two programs, between a scraper and a guest that is played.

use std::time::Duration;

use pve_exporter::telemetry::State;

use crate::http::get;
use crate::opener::Host;
use crate::port::{Attached, Collector, Port, VMID, runs_as, until};
use crate::program::{Program, command, write};

/// The exporter of the opener's node. Its PVE is away, which keeps no guest from being read.
fn exporter(host: &Host) -> Program {
    let path = |name: &str| host.directory().join(name);
    let config = format!(
        "[clusters.main]\nendpoints = [\"https://127.0.0.1:1\"]\ntoken_id = \"exporter@pve!test\"\ntoken_file = {:?}\n\n\
         [guest_telemetry]\nenabled = true\ndirectory = {:?}\nopener = {:?}\nbytes_per_second = \"32KiB\"\n",
        path("token"),
        host.directory(),
        host.socket(),
    );
    write(&path("token"), "00000000-0000-0000-0000-000000000000", 0o600);
    write(&path("config.toml"), &config, 0o644);
    let mut program = Program::start(command(&[
        &format!("--config.file={}", path("config.toml").display()),
        "--web.listen-address=127.0.0.1:0",
    ]));
    program.wait_for_log("serving metrics");
    program
}

/// A guest that is connected.
async fn guest(host: &Host) -> Attached {
    runs_as(host.directory(), VMID, std::process::id());
    Port::bind(&host.directory().join(format!("{VMID}.telemetry")))
        .accept()
        .await
}

async fn scraped(program: &mut Program) -> String {
    let path = format!("/guests/main/qemu/{VMID}/metrics");
    let answer = get(program.address(), &path, &[]).await;
    answer.text().to_owned()
}

#[tokio::test]
async fn a_guest_is_read_through_the_opener_and_to_the_end() {
    let host = Host::for_user(rustix::process::geteuid().as_raw());
    let mut program = exporter(&host);
    let mut attached = guest(&host).await;
    let request = attached.request().await;
    let mut collector = Collector::new();
    attached.send(&collector.answer(1.5, &request)).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !scraped(&mut program).await.contains("\nnode_load1 1.5\n") {
        assert!(tokio::time::Instant::now() < deadline, "{}", program.log());
    }

    // It sends more than is read, until much of it lies in the socket.
    let flood = [b' '; 64 * 1024];
    let mut full = 0;
    while full < 3 {
        full = match attached.stream.try_write(&flood) {
            Ok(_) => 0,
            Err(_) => full + 1,
        };
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    program.signal("TERM");
    // A connection that is closed with something unread is reset instead.
    attached.closed().await;
    assert!(program.ended().success(), "{}", program.log());
}

#[tokio::test]
async fn a_clone_is_not_read_through_the_opener() {
    let host = Host::for_user(rustix::process::geteuid().as_raw());
    let mut program = exporter(&host);
    let _port = Port::bind(&host.directory().join(format!("{VMID}.telemetry")));
    runs_as(host.directory(), VMID, 1);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !scraped(&mut program).await.contains(State::Misattributed.as_str()) {
        assert!(tokio::time::Instant::now() < deadline, "{}", program.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    program.signal("TERM");
    until("the end", || program.ended().success().then_some(())).await;
}
