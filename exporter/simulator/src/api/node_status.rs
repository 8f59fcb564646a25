//! `/nodes/{node}/status`

use super::{ALWAYS, Answer, Endpoint, Scene};
use crate::{json::Json, model::NodeSample, reply::Refusal, view::View};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/status",
    since: ALWAYS,
    parameters: &[],
    privilege: Some(("/nodes/{node}", "Sys.Audit")),
    answer: Answer::One(render),
};

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let View { model, .. } = scene.view;
    let node = &model.nodes[scene.node];
    // This is read from /proc and not from a sample of pvestatd, which may be frozen.
    let at = scene.cluster.time.sample_at(scene.cluster.time.now());
    let sample = node.sample(at, scene.view.load(scene.node, at));
    let kernel = node.kernel();
    json.begin_object();
    json.integer_field("uptime", sample.uptime);
    json.integer_field("idle", 0);
    json.float_field("cpu", sample.cpu);
    json.float_field("wait", sample.waiting);
    json.string_field("kversion", &format!("Linux {kernel} #1 SMP PREEMPT_DYNAMIC PMX"));
    json.string_field("pveversion", &format!("pve-manager/{}/{}", node.version, node.build()));
    json.key("loadavg");
    json.begin_list();
    for load in sample.load {
        json.string(&format!("{load:.2}"));
    }
    json.end_list();
    json.key("current-kernel");
    json.begin_object();
    json.string_field("sysname", "Linux");
    json.string_field("release", kernel);
    json.string_field("version", "#1 SMP PREEMPT_DYNAMIC PMX");
    json.string_field("machine", "x86_64");
    json.end_object();
    json.key("boot-info");
    json.begin_object();
    json.string_field("mode", "efi");
    json.flag_field("secureboot", false);
    json.end_object();
    processors(node.cpus, json);
    space(node, &sample, json);
    json.end_object();
    Ok(())
}

fn processors(cpus: u64, json: &mut Json) {
    json.key("cpuinfo");
    json.begin_object();
    json.integer_field("cpus", cpus);
    json.integer_field("cores", cpus / 2);
    json.integer_field("sockets", 1);
    json.integer_field("user_hz", 100);
    json.string_field("model", "AMD EPYC 9354P 32-Core Processor");
    json.string_field("vendor", "AuthenticAMD");
    json.string_field("family", "25");
    json.string_field("mhz", "3245.604");
    json.string_field("hvm", "1");
    json.string_field(
        "flags",
        "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat svm",
    );
    json.end_object();
}

fn space(node: &crate::model::Node, sample: &NodeSample, json: &mut Json) {
    json.key("memory");
    json.begin_object();
    json.integer_field("total", node.memory);
    json.integer_field("used", sample.memory);
    let left = node.memory - sample.memory;
    // Some of what is available holds the page cache.
    json.integer_field("free", left / 4 * 3);
    if node.version.has_host_memory() {
        json.integer_field("available", left);
    }
    json.end_object();
    json.key("swap");
    json.begin_object();
    json.integer_field("total", node.swap);
    json.integer_field("used", sample.swap);
    json.integer_field("free", node.swap - sample.swap);
    json.end_object();
    json.key("ksm");
    json.begin_object();
    json.integer_field("shared", 0);
    json.end_object();
    json.key("rootfs");
    json.begin_object();
    json.integer_field("total", node.disk);
    json.integer_field("used", sample.disk);
    json.integer_field("free", node.disk - sample.disk);
    json.integer_field("avail", (node.disk - sample.disk) / 20 * 19);
    json.end_object();
}
