//! The documentation of a guest's metrics.

use super::catalog;
use crate::metrics::catalog::tables;

/// The beginning of `docs/guest-metrics.md`: what a guest's exposition has.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(INTRODUCTION);
    text += &tables(&catalog());
    text
}

const INTRODUCTION: &str = "# Metrics of a guest

Generated from the tables in `exporter/src/telemetry/exposition/`; a test checks that it is current. They are what
`/guests/<cluster>/qemu/<vmid>/metrics` answers for a guest with the collector inside, under the names, labels and types of
node_exporter. What they are about is told by the target's labels, such as `instance`, and not by labels of their own. What the
guest's kernel does not tell is no sample.

Left out are interfaces of containers and of guests of the guest (`veth*`, `docker*`, `br-` and twelve digits and the like), mounts
of containers and of packed images (`overlay`, `squashfs`, what is below `/var/lib/docker` and the like), partitions, loops and RAM
disks.
";
