//! The collector as guests get it: one static file that any kernel runs.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian::{self, Fetch};
use crate::workspace::{Workspace, on_path, output, run};

const VARIABLE: &str = "PVE_TEST_GUEST_COLLECTOR";
const PACKAGE: &str = "pve-guest-collector";

/// A larger one is not shipped: it stays in the memory of every guest.
const LARGEST: u64 = 3 * 512 * 1024;

/// What is shipped, and what Debian calls an emulator of that processor.
const TARGETS: [(&str, &str); 2] = [
    ("x86_64-unknown-linux-musl", "qemu-x86_64-static"),
    ("aarch64-unknown-linux-musl", "qemu-aarch64-static"),
];

/// A collector for the guests that tests boot.
#[derive(Debug)]
pub(crate) struct GuestCollector(PathBuf);

/// The one that the environment names, else one that is built now: static as well, but larger than what is shipped, since it needs
/// no more than the compiler that is here.
pub(crate) fn provide(workspace: &Workspace) -> Result<GuestCollector, String> {
    if let Some(chosen) = env::var_os(VARIABLE) {
        return Ok(GuestCollector(chosen.into()));
    }
    let target = "x86_64-unknown-linux-gnu";
    let mut build = workspace.cargo(&[
        "build",
        "--locked",
        "--package",
        PACKAGE,
        "--profile",
        "guest",
        "--target",
        target,
    ]);
    build.env("RUSTFLAGS", "-C target-feature=+crt-static");
    run(build)?;
    Ok(GuestCollector(program(workspace, target)))
}

impl GuestCollector {
    /// Tells the command's tests where the program is.
    pub(crate) fn given_to(&self, mut command: Command) -> Command {
        command.env(VARIABLE, &self.0);
        command
    }
}

/// Builds what is shipped, for each processor; tells its size and tries it.
pub(crate) fn build(workspace: &Workspace) -> Result<(), String> {
    let compiler = compiler(workspace)?;
    let linker = linker(workspace)?;
    let emulators = emulators(workspace)?;
    for (target, emulator) in TARGETS {
        let mut build = workspace.command(linker.join("bin/cargo-zigbuild"));
        build.args([
            "zigbuild",
            "--locked",
            "--package",
            PACKAGE,
            "--profile",
            "guest",
            "--target",
            target,
        ]);
        // A standard library of our own: none for musl comes with the compiler, and one that is compiled for size is smaller.
        build
            .args(["-Z", "build-std=std,panic_abort"])
            .env("RUSTC_BOOTSTRAP", "1");
        build.env("RUSTC", &compiler);
        // The linker brings the C library's start files.
        build.env("RUSTFLAGS", "-C link-self-contained=no");
        build.env("CARGO_ZIGBUILD_ZIG_PATH", linker.join("ziglang/zig"));
        run(build)?;
        let program = program(workspace, target);
        let mut sample = workspace.command(emulators.join(emulator));
        sample.arg(&program).args(["--config", "/dev/null", "--once", "--json"]);
        let sample = output(sample)?;
        if !sample.contains("\"boot_id\"") {
            return Err(format!("{} gave no sample: {sample}", program.display()));
        }
        let size = size(&program)?;
        eprintln!("{}: {size} bytes", program.display());
        if size > LARGEST {
            return Err(format!("{} is larger than {LARGEST} bytes", program.display()));
        }
    }
    Ok(())
}

fn program(workspace: &Workspace, target: &str) -> PathBuf {
    workspace.target().join(target).join("guest").join(PACKAGE)
}

fn size(program: &Path) -> Result<u64, String> {
    let metadata = fs::metadata(program).map_err(|error| format!("cannot read {}: {error}", program.display()))?;
    Ok(metadata.len())
}

/// Debian's Rust compiler, because Debian also has the source of its standard library.
fn compiler(workspace: &Workspace) -> Result<PathBuf, String> {
    let directory = workspace.tools().join("rustc-web");
    let starter = directory.join("rustc");
    if !starter.exists() {
        let fetch = Fetch {
            packages: &["rustc-web"],
            dependencies: &[
                "libstd-rust",
                "libllvm",
                "libedit",
                "libbsd",
                "libmd",
                "libtinfo",
                "libffi",
                "libgcc-s",
                "libstdc++",
                "libxml2",
                "libicu",
                "liblzma",
                "libz",
                "zlib1g",
            ],
            alone: &["rust-web-src"],
            otherwise: "the static collector needs the source of Rust's standard library, and there is no apt-get here to fetch \
                        Debian's packages `rustc-web` and `rust-web-src` with",
        };
        debian::fetch(workspace, &directory, &fetch)?;
        debian::write_starter(&directory, "rustc", "usr/bin/rustc", &[])?;
    }
    Ok(starter)
}

/// Zig, a linker that brings musl for each processor, and what makes it one for cargo: Python packages that hold programs.
fn linker(workspace: &Workspace) -> Result<PathBuf, String> {
    const PACKAGES: [&str; 2] = ["ziglang==0.17.0", "cargo-zigbuild==0.24.0"];
    let directory = workspace.tools().join("zig");
    if !directory.exists() {
        let python = on_path("python3")
            .ok_or("the static collector is linked by zig, which is fetched with python3's pip; there is none here")?;
        eprintln!(
            "fetching {} below {}",
            PACKAGES.join(" and "),
            workspace.tools().display()
        );
        let partial = workspace.tools().join("zig-partial");
        let mut install = workspace.command(python);
        install.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-compile",
            "--upgrade",
        ]);
        install.arg("--target").arg(&partial).args(PACKAGES);
        run(install)?;
        fs::rename(&partial, &directory).map_err(|error| format!("cannot create {}: {error}", directory.display()))?;
    }
    Ok(directory)
}

fn emulators(workspace: &Workspace) -> Result<PathBuf, String> {
    let directory = workspace.tools().join("qemu-user-static");
    if !directory.exists() {
        let fetch = Fetch {
            packages: &["qemu-user-static"],
            dependencies: &[],
            alone: &[],
            otherwise: "the static collector is tried on each processor, and there is no apt-get here to fetch Debian's package \
                        `qemu-user-static` with",
        };
        debian::fetch(workspace, &directory, &fetch)?;
    }
    Ok(directory.join("usr/bin"))
}
