//! `/nodes/{node}/apt/versions`

use super::{ALWAYS, Answer, Endpoint, Scene};
use crate::{json::Json, model::Node, reply::Refusal};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/apt/versions",
    since: ALWAYS,
    parameters: &[],
    privilege: Some(("/nodes/{node}", "Sys.Audit")),
    answer: Answer::One(render),
};

/// Some of the packages, with their versions in PVE 9, and whether there are newer ones for a node that is out of date.
const PACKAGES: [(&str, &str, bool); 13] = [
    ("corosync", "3.1.9-pve2", false),
    ("libpve-storage-perl", "9.1.0", true),
    ("lvm2", "2.03.31-2+pmx1", false),
    ("lxc-pve", "6.0.5-3", false),
    ("lxcfs", "6.0.4-pve1", false),
    ("proxmox-kernel-helper", "9.0.4", false),
    ("pve-cluster", "9.0.7", false),
    ("pve-container", "6.0.18", true),
    ("pve-ha-manager", "5.1.0", false),
    ("pve-qemu-kvm", "10.1.2-5", true),
    ("qemu-server", "9.1.3", true),
    ("smartmontools", "7.4-pve1", false),
    ("zfsutils-linux", "2.3.4-pve1", false),
];

/// What is written of one package.
struct Package<'a> {
    name: &'a str,
    installed: &'a str,
    candidate: String,
    extra: Option<(&'a str, String)>,
}

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let node = &scene.view.model.nodes[scene.node];
    let version = node.version.to_string();
    let release = format!("{}.{}.0", node.version.major, node.version.minor);
    json.begin_list();
    let with = |name, installed, newer: bool, extra| Package {
        name,
        installed,
        candidate: format!("{installed}{}", if newer { "+1" } else { "" }),
        extra,
    };
    let running = ("RunningKernel", node.kernel().to_owned());
    write(json, &with("proxmox-ve", &release, false, Some(running)));
    let manager = ("ManagerVersion", format!("{version}/{}", node.build()));
    write(
        json,
        &with("pve-manager", &version, node.machine.outdated, Some(manager)),
    );
    write_kernels(json, node);
    for (name, installed, is_renewed) in PACKAGES {
        write(json, &with(name, installed, is_renewed && node.machine.outdated, None));
        if name == "proxmox-kernel-helper" {
            // Its name is one of a kernel, so that PVE lists it twice.
            write(json, &with(name, installed, false, None));
        }
    }
    json.end_list();
    Ok(())
}

fn write_kernels(json: &mut Json, node: &Node) {
    let mut releases = vec![node.newest_kernel(), node.kernel()];
    releases.dedup();
    let (prefix, suffix) = if node.version.major >= 8 {
        ("proxmox-kernel-", "-signed")
    } else {
        ("pve-kernel-", "")
    };
    for release in releases {
        let installed = release.trim_end_matches("-pve");
        let name = format!("{prefix}{release}{suffix}");
        let kernel = Package {
            name: &name,
            installed,
            candidate: installed.to_owned(),
            extra: None,
        };
        write(json, &kernel);
    }
}

fn write(json: &mut Json, package: &Package<'_>) {
    json.begin_row();
    json.string_field("Package", package.name);
    json.string_field("Title", package.name);
    json.string_field("Description", "");
    json.string_field("Origin", "Proxmox");
    json.string_field("Section", "admin");
    json.string_field("Arch", "amd64");
    json.string_field("Priority", "optional");
    json.string_field("Version", &package.candidate);
    json.string_field("OldVersion", package.installed);
    json.string_field("CurrentState", "Installed");
    if let Some((key, value)) = &package.extra {
        json.string_field(key, value);
    }
    json.end_object();
}
