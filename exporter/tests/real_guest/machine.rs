//! A virtual machine as Proxmox VE starts it, with its files in a directory like `/var/run/qemu-server`.

use std::env;
use std::fs::{self, File};
use std::ops::Not as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::console::Console;
use crate::{initramfs, qmp};

/// Ends the process `$1`, if it is the one with the directory `$2`, when nobody holds this script's input any more: also when the
/// tests themselves were killed.
const GUARD: &str = "read -r _; grep -qF \"$2\" /proc/$1/cmdline && kill -KILL $1";

/// What the collector may hold, in kB.
const MOST_MEMORY_KB: u32 = 2560;

const DEADLINE: Duration = Duration::from_secs(60);
const STATE: &str = "state";
const DISK_BYTES: u64 = 16 << 20;

/// A node: the directory in which its machines have their files, beside a storage that it may share with others.
pub(crate) struct Node {
    storage: Arc<TempDir>,
    directory: PathBuf,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self::on(Arc::new(TempDir::new().unwrap()), "pve1")
    }

    /// Another node with the same storage.
    pub(crate) fn neighbour(&self) -> Self {
        Self::on(Arc::clone(&self.storage), "pve2")
    }

    fn on(storage: Arc<TempDir>, name: &str) -> Self {
        let directory = storage.path().join(name);
        fs::create_dir(&directory).unwrap();
        Self { storage, directory }
    }

    /// What `/var/run/qemu-server` is on a real one.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A file on the storage.
    pub(crate) fn stored(&self, name: &str) -> PathBuf {
        self.storage.path().join(name)
    }

    /// Starts a machine and waits until it has booted.
    #[track_caller]
    pub(crate) fn boot(&self, vmid: u32) -> Machine {
        let machine = self.start(vmid, &[]);
        machine.console.wait_until_ready();
        machine
    }

    /// Starts a machine with what [`Machine::suspend`] has left.
    pub(crate) fn resume(&self, vmid: u32) -> Machine {
        let state = self.stored(STATE);
        let machine = self.start(vmid, &["-incoming", &format!("exec:cat {}", state.display())]);
        wait_for("it runs", || machine.runs().then_some(()));
        machine
    }

    /// Starts QEMU with further arguments, and does not wait.
    pub(crate) fn start(&self, vmid: u32, further: &[&str]) -> Machine {
        let telemetry = self.directory().join(format!("{vmid}.telemetry"));
        self.start_with_port(vmid, &telemetry, further)
    }

    /// The same with its telemetry port at the given path: that of another machine, say.
    pub(crate) fn start_with_port(&self, vmid: u32, telemetry: &Path, further: &[&str]) -> Machine {
        let file = |kind: &str| self.directory().join(format!("{vmid}.{kind}"));
        let archive = self.stored("initramfs");
        if !archive.exists() {
            fs::write(&archive, initramfs::archive()).unwrap();
        }
        let socket = |id: &str, path: &Path| format!("socket,id={id},path={},server=on,wait=off", path.display());
        let mut command = Command::new(program());
        command.arg("-name").arg(format!("guest-{vmid}"));
        command.args([
            "-machine",
            "pc",
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-m",
            "160",
        ]);
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-vga", "none"]);
        command.arg("-daemonize").arg("-pidfile").arg(file("pid"));
        command.arg("-kernel").arg(initramfs::kernel());
        command.arg("-initrd").arg(&archive);
        command.args([
            "-append",
            "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off psi=1",
        ]);
        command.args([
            "-chardev",
            &socket("qmp", &file("qmp")),
            "-mon",
            "chardev=qmp,mode=control",
        ]);
        command.args([
            "-chardev",
            &socket("serial0", &file("serial0")),
            "-serial",
            "chardev:serial0",
        ]);
        let disk = self.stored(&format!("vm-{vmid}-disk-0.raw"));
        if !disk.exists() {
            File::create(&disk).and_then(|file| file.set_len(DISK_BYTES)).unwrap();
        }
        let drive = format!("if=none,id=disk0,format=raw,file={}", disk.display());
        command.args(["-drive", &drive, "-device", "virtio-blk-pci,drive=disk0"]);
        command.args(["-netdev", "user,id=net0,restrict=on"]);
        command.args(["-device", "virtio-net-pci,netdev=net0,romfile="]);
        command.args(["-device", "virtio-serial,id=qga0,bus=pci.0,addr=0x8"]);
        command.args(["-chardev", &socket("qga0", &file("qga"))]);
        command.args([
            "-device",
            "virtserialport,chardev=qga0,bus=qga0.0,name=org.qemu.guest_agent.0",
        ]);
        command.args(["-device", "virtio-serial,id=tel0,bus=pci.0"]);
        command.args(["-chardev", &socket("tel0", telemetry), "-device", PORT]);
        let output = command.args(further).stdin(Stdio::null()).output().unwrap();
        assert!(
            output.status.success(),
            "QEMU did not start: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let pid = fs::read_to_string(file("pid")).unwrap().trim().parse().unwrap();
        Machine {
            console: Console::connect(&file("serial0")),
            _guard: Guard::over(pid, self.directory()),
            directory: self.directory().to_owned(),
            vmid,
            pid,
        }
    }
}

/// The telemetry port, on a controller of its own.
pub(crate) const PORT: &str = "virtserialport,chardev=tel0,bus=tel0.0,id=telemetry,name=org.pve-telemetry.guest.0";

fn program() -> PathBuf {
    let program = env::var_os("PVE_TEST_QEMU").map(PathBuf::from);
    program.expect("no PVE_TEST_QEMU: run `cargo xtask test`, which provides it")
}

/// A running machine; killed when dropped.
pub(crate) struct Machine {
    console: Console,
    /// Ends it.
    _guard: Guard,
    directory: PathBuf,
    vmid: u32,
    pid: i32,
}

impl Machine {
    /// One of its files: `pid`, `qga`, `telemetry`, `qmp`.
    pub(crate) fn file(&self, kind: &str) -> PathBuf {
        self.directory.join(format!("{}.{kind}", self.vmid))
    }

    /// The process of its QEMU.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Runs a line of shell in the guest that has to succeed, and returns what it printed.
    #[track_caller]
    pub(crate) fn run(&self, command: &str) -> String {
        let (status, printed) = self.console.run(command);
        assert_eq!(status, "0", "{command}: {printed}");
        printed.trim_end().to_owned()
    }

    /// Whether a line of shell succeeds in the guest.
    #[track_caller]
    pub(crate) fn succeeds(&self, command: &str) -> bool {
        self.console.run(command).0 == "0"
    }

    /// Waits until a line of shell succeeds in the guest.
    #[track_caller]
    pub(crate) fn wait_until(&self, command: &str) {
        wait_for(command, || self.succeeds(command).then_some(()));
    }

    /// Starts the collector as a user of its own, with an interval of a second.
    #[track_caller]
    pub(crate) fn start_collector(&self) {
        self.run(
            "su collector -c 'exec pve-guest-collector --interval 1s' >>/run/collector.log 2>&1 & \
             echo $! >/run/collector.pid",
        );
    }

    /// Ends the collector as the kernel does when memory is short.
    #[track_caller]
    pub(crate) fn kill_collector(&self) {
        self.run("kill -KILL $(cat /run/collector.pid)");
        self.wait_until("! [ -e /proc/$(cat /run/collector.pid)/exe ]");
    }

    /// How often the collector has been given a CPU.
    #[track_caller]
    pub(crate) fn collector_runs(&self) -> u64 {
        let schedstat = self.run("cat /proc/$(cat /run/collector.pid)/schedstat");
        schedstat.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// The collector has never held more memory than it is to.
    #[track_caller]
    pub(crate) fn collector_is_small(&self) {
        let most = self.run("awk '/VmHWM/ {print $2}' /proc/$(cat /run/collector.pid)/status");
        assert!(most.parse::<u32>().unwrap() <= MOST_MEMORY_KB, "{most} kB");
    }

    /// Runs a command of QEMU's monitor.
    pub(crate) fn monitor(&self, command: &str, arguments: Value) -> Value {
        let answer = qmp::execute(&self.file("qmp"), command, &arguments);
        answer.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Starts the guest again, as its reset button does.
    #[track_caller]
    pub(crate) fn reset(&self) {
        self.monitor("system_reset", json!({}));
        self.console.wait_until_ready();
    }

    /// Whether the guest runs; not while it is on its way to another node.
    fn runs(&self) -> bool {
        self.monitor("query-status", json!({}))["running"] == true
    }

    /// Writes the state of the guest into a file of the storage, and ends this QEMU.
    pub(crate) fn suspend(self) {
        let state = self.directory.join("..").join(STATE);
        self.send(&format!("exec:cat >{}", state.display()));
    }

    /// Moves the guest to another node while it runs.
    pub(crate) fn migrate(self, target: &Node) -> Machine {
        let socket = format!("unix:{}", target.directory().join("migration").display());
        let arriving = target.start(self.vmid, &["-incoming", &socket]);
        self.send(&socket);
        wait_for("it runs on the other node", || arriving.runs().then_some(()));
        arriving
    }

    fn send(self, target: &str) {
        self.monitor("migrate", json!({"uri": target}));
        wait_for("the state is written", || {
            let status = self.monitor("query-migrate", json!({}));
            assert_ne!(status["status"], "failed", "{status}");
            (status["status"] == "completed").then_some(())
        });
        self.quit();
    }

    /// Ends QEMU in its own way, and waits until it has.
    pub(crate) fn quit(self) {
        self.monitor("quit", json!({}));
        let process = PathBuf::from(format!("/proc/{}/cmdline", self.pid));
        // A process that nobody has waited for yet has no command line any more.
        wait_for("QEMU ends", || {
            fs::read(&process)
                .is_ok_and(|line| !line.is_empty())
                .not()
                .then_some(())
        });
    }

    /// Takes the telemetry port out of the machine and waits until the guest has given it up.
    pub(crate) fn unplug_port(&self) {
        let is_gone = |event: &Value| event["event"] == "DEVICE_DELETED" && event["data"]["device"] == "telemetry";
        qmp::execute_until(&self.file("qmp"), "device_del", &json!({"id": "telemetry"}), is_gone);
    }

    /// Puts it back.
    pub(crate) fn plug_port(&self) {
        let port = json!({
            "driver": "virtserialport",
            "chardev": "tel0",
            "bus": "tel0.0",
            "id": "telemetry",
            "name": "org.pve-telemetry.guest.0",
        });
        self.monitor("device_add", port);
    }
}

/// Asks until something is found, and returns it.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "not after {DEADLINE:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Ends a process that is not our child, at the latest when this process ends.
struct Guard {
    shell: Child,
    input: Option<ChildStdin>,
}

impl Guard {
    fn over(pid: i32, directory: &Path) -> Self {
        let mut shell = Command::new("sh")
            .args(["-c", GUARD, "guard", &pid.to_string()])
            .arg(directory)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = shell.stdin.take();
        Self { shell, input }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.input.take());
        drop(self.shell.wait());
    }
}
