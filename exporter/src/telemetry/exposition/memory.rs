//! Memory and paging.

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::{Memory, Paging};

use super::{Row, kilobytes, one, whole};
use crate::metrics::catalog::{Group, group};
use crate::metrics::exposition::Section;
use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit, Value};

pub(super) fn sections(areas: &Areas) -> Vec<Box<dyn Section>> {
    vec![one(areas.memory.as_ref()), one(areas.paging.as_ref())]
}

pub(super) fn groups() -> Vec<Group> {
    vec![group::<Row<Memory>>(), group::<Row<Paging>>()]
}

const fn bytes(
    name: &'static str,
    help: &'static str,
    value: fn(&Row<Memory>) -> Option<Value>,
) -> Metric<Row<Memory>> {
    Metric::gauge(name, Unit::Bytes, help, value)
}

const fn pages(
    name: &'static str,
    help: &'static str,
    value: fn(&Row<Memory>) -> Option<Value>,
) -> Metric<Row<Memory>> {
    Metric::gauge(name, Unit::None, help, value)
}

impl Subject for Row<Memory> {
    const NAME: &'static str = "memory";
    const ROWS: &'static str = "one";
    const LABELS: &'static [&'static str] = &[];
    const TABLE: &'static [Metric<Self>] = &[
        bytes("node_memory_MemTotal_bytes", "Memory that the kernel has.", |memory| {
            kilobytes(memory.total)
        }),
        bytes(
            "node_memory_MemFree_bytes",
            "Memory that is used for nothing.",
            |memory| kilobytes(memory.free),
        ),
        bytes(
            "node_memory_MemAvailable_bytes",
            "Memory that programs could have without swapping; since Linux 3.14.",
            |memory| kilobytes(memory.available),
        ),
        bytes("node_memory_Buffers_bytes", "Cache of raw block devices.", |memory| {
            kilobytes(memory.buffers)
        }),
        bytes(
            "node_memory_Cached_bytes",
            "Cache of files, shared memory included.",
            |memory| kilobytes(memory.cached),
        ),
        bytes(
            "node_memory_SwapCached_bytes",
            "Memory that was swapped out, is back, and still has its copy in swap.",
            |memory| kilobytes(memory.swap_cached),
        ),
        bytes("node_memory_Active_bytes", "Memory used lately.", |memory| {
            kilobytes(memory.active)
        }),
        bytes(
            "node_memory_Inactive_bytes",
            "Memory not used lately, which is taken first.",
            |memory| kilobytes(memory.inactive),
        ),
        bytes(
            "node_memory_Active_anon_bytes",
            "Memory of programs used lately.",
            |memory| kilobytes(memory.active_anonymous),
        ),
        bytes(
            "node_memory_Inactive_anon_bytes",
            "Memory of programs not used lately.",
            |memory| kilobytes(memory.inactive_anonymous),
        ),
        bytes(
            "node_memory_Active_file_bytes",
            "Cache of files used lately.",
            |memory| kilobytes(memory.active_file),
        ),
        bytes(
            "node_memory_Inactive_file_bytes",
            "Cache of files not used lately.",
            |memory| kilobytes(memory.inactive_file),
        ),
        bytes(
            "node_memory_Unevictable_bytes",
            "Memory that cannot be taken back.",
            |memory| kilobytes(memory.unevictable),
        ),
        bytes(
            "node_memory_Mlocked_bytes",
            "Memory that programs have locked.",
            |memory| kilobytes(memory.locked),
        ),
        bytes("node_memory_SwapTotal_bytes", "Swap that there is.", |memory| {
            kilobytes(memory.swap_total)
        }),
        bytes("node_memory_SwapFree_bytes", "Swap that is not in use.", |memory| {
            kilobytes(memory.swap_free)
        }),
        bytes(
            "node_memory_Zswap_bytes",
            "Memory that holds compressed swap; since Linux 5.19.",
            |memory| kilobytes(memory.compressed_swap),
        ),
        bytes(
            "node_memory_Zswapped_bytes",
            "What is in compressed swap, before compression; since Linux 5.19.",
            |memory| kilobytes(memory.compressed_swapped),
        ),
        bytes(
            "node_memory_Dirty_bytes",
            "Memory that has to be written to disks.",
            |memory| kilobytes(memory.dirty),
        ),
        bytes(
            "node_memory_Writeback_bytes",
            "Memory that is being written to disks.",
            |memory| kilobytes(memory.writeback),
        ),
        bytes(
            "node_memory_AnonPages_bytes",
            "Memory of programs that no file backs.",
            |memory| kilobytes(memory.anonymous_pages),
        ),
        bytes(
            "node_memory_Mapped_bytes",
            "Files that programs have mapped.",
            |memory| kilobytes(memory.mapped),
        ),
        bytes("node_memory_Shmem_bytes", "Shared memory and tmpfs.", |memory| {
            kilobytes(memory.shared)
        }),
        bytes(
            "node_memory_KReclaimable_bytes",
            "Memory of the kernel that it gives back under pressure; since Linux 4.20.",
            |memory| kilobytes(memory.kernel_reclaimable),
        ),
        bytes(
            "node_memory_Slab_bytes",
            "The kernel's own data structures.",
            |memory| kilobytes(memory.slab),
        ),
        bytes(
            "node_memory_SReclaimable_bytes",
            "Those of them that can be given back, such as caches.",
            |memory| kilobytes(memory.slab_reclaimable),
        ),
        bytes(
            "node_memory_SUnreclaim_bytes",
            "Those of them that cannot be given back.",
            |memory| kilobytes(memory.slab_unreclaimable),
        ),
        bytes(
            "node_memory_KernelStack_bytes",
            "Stacks of tasks in the kernel.",
            |memory| kilobytes(memory.kernel_stack),
        ),
        bytes(
            "node_memory_ShadowCallStack_bytes",
            "Protected stacks of tasks in the kernel, on ARM.",
            |memory| kilobytes(memory.shadow_call_stack),
        ),
        bytes(
            "node_memory_PageTables_bytes",
            "The lowest level of page tables.",
            |memory| kilobytes(memory.page_tables),
        ),
        bytes(
            "node_memory_SecPageTables_bytes",
            "Page tables of guests of the guest; since Linux 6.1.",
            |memory| kilobytes(memory.secondary_page_tables),
        ),
        bytes(
            "node_memory_NFS_Unstable_bytes",
            "Sent to NFS servers and not yet on their disks; 0 since Linux 5.8.",
            |memory| kilobytes(memory.nfs_unstable),
        ),
        bytes(
            "node_memory_Bounce_bytes",
            "Buffers for devices that do not reach all memory.",
            |memory| kilobytes(memory.bounce),
        ),
        bytes(
            "node_memory_WritebackTmp_bytes",
            "Buffers that FUSE writes from.",
            |memory| kilobytes(memory.writeback_temporary),
        ),
        bytes(
            "node_memory_CommitLimit_bytes",
            "The most that may be promised to programs when nothing is overcommitted.",
            |memory| kilobytes(memory.commit_limit),
        ),
        bytes(
            "node_memory_Committed_AS_bytes",
            "What has been promised to programs.",
            |memory| kilobytes(memory.committed),
        ),
        bytes(
            "node_memory_VmallocTotal_bytes",
            "Size of the kernel's virtual area.",
            |memory| kilobytes(memory.vmalloc_total),
        ),
        bytes(
            "node_memory_VmallocUsed_bytes",
            "What of the kernel's virtual area is in use.",
            |memory| kilobytes(memory.vmalloc_used),
        ),
        bytes(
            "node_memory_VmallocChunk_bytes",
            "The largest free piece of the kernel's virtual area; 0 since Linux 4.4.",
            |memory| kilobytes(memory.vmalloc_chunk),
        ),
        bytes(
            "node_memory_Percpu_bytes",
            "What the kernel keeps once for each CPU; since Linux 4.20.",
            |memory| kilobytes(memory.per_cpu),
        ),
        bytes(
            "node_memory_EarlyMemtestBad_bytes",
            "Memory that the test at boot has found bad; since Linux 6.4.",
            |memory| kilobytes(memory.early_memory_test_bad),
        ),
        bytes(
            "node_memory_HardwareCorrupted_bytes",
            "Memory with errors that the kernel has put aside.",
            |memory| kilobytes(memory.hardware_corrupted),
        ),
        bytes(
            "node_memory_AnonHugePages_bytes",
            "Memory of programs in huge pages.",
            |memory| kilobytes(memory.anonymous_huge_pages),
        ),
        bytes(
            "node_memory_ShmemHugePages_bytes",
            "Shared memory in huge pages; since Linux 4.8.",
            |memory| kilobytes(memory.shared_huge_pages),
        ),
        bytes(
            "node_memory_ShmemPmdMapped_bytes",
            "Shared memory that programs have mapped by huge pages; since Linux 4.8.",
            |memory| kilobytes(memory.shared_huge_pages_mapped),
        ),
        bytes(
            "node_memory_FileHugePages_bytes",
            "Cache of files in huge pages; since Linux 5.4.",
            |memory| kilobytes(memory.file_huge_pages),
        ),
        bytes(
            "node_memory_FilePmdMapped_bytes",
            "Cache of files that programs have mapped by huge pages; since Linux 5.4.",
            |memory| kilobytes(memory.file_huge_pages_mapped),
        ),
        bytes(
            "node_memory_CmaTotal_bytes",
            "Memory kept for devices that need it in one piece.",
            |memory| kilobytes(memory.contiguous_total),
        ),
        bytes("node_memory_CmaFree_bytes", "What of that is free.", |memory| {
            kilobytes(memory.contiguous_free)
        }),
        bytes(
            "node_memory_Unaccepted_bytes",
            "Memory of a confidential guest that it has not accepted yet; since Linux 6.5.",
            |memory| kilobytes(memory.unaccepted),
        ),
        bytes(
            "node_memory_Balloon_bytes",
            "Memory that the balloon has taken; since Linux 6.16.",
            |memory| kilobytes(memory.balloon),
        ),
        bytes(
            "node_memory_Hugepagesize_bytes",
            "The usual size of a huge page.",
            |memory| kilobytes(memory.huge_page_size),
        ),
        bytes(
            "node_memory_Hugetlb_bytes",
            "Memory reserved in huge pages of all sizes; since Linux 4.19.",
            |memory| kilobytes(memory.huge_page_memory),
        ),
        bytes(
            "node_memory_DirectMap4k_bytes",
            "Memory that the kernel has mapped in pages of 4 KiB.",
            |memory| kilobytes(memory.direct_map_4k),
        ),
        bytes(
            "node_memory_DirectMap2M_bytes",
            "Memory that the kernel has mapped in pages of 2 MiB.",
            |memory| kilobytes(memory.direct_map_2m),
        ),
        bytes(
            "node_memory_DirectMap1G_bytes",
            "Memory that the kernel has mapped in pages of 1 GiB.",
            |memory| kilobytes(memory.direct_map_1g),
        ),
        pages(
            "node_memory_HugePages_Total",
            "Huge pages that there are, counted in pages.",
            |memory| whole(memory.huge_pages_total),
        ),
        pages(
            "node_memory_HugePages_Free",
            "Huge pages that nobody has, counted in pages.",
            |memory| whole(memory.huge_pages_free),
        ),
        pages(
            "node_memory_HugePages_Rsvd",
            "Free huge pages that are promised, counted in pages.",
            |memory| whole(memory.huge_pages_reserved),
        ),
        pages(
            "node_memory_HugePages_Surp",
            "Huge pages above the number that was set, counted in pages.",
            |memory| whole(memory.huge_pages_surplus),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for Row<Paging> {
    const NAME: &'static str = "paging";
    const ROWS: &'static str = "one";
    const LABELS: &'static [&'static str] = &[];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::untyped(
            "node_vmstat_oom_kill",
            "Processes killed for want of memory since the boot; since Linux 4.13.",
            |paging| whole(paging.oom_kills),
        ),
        Metric::untyped("node_vmstat_pgfault", "Page faults since the boot.", |paging| {
            whole(paging.faults)
        }),
        Metric::untyped(
            "node_vmstat_pgmajfault",
            "Page faults that had to wait for a disk since the boot.",
            |paging| whole(paging.major_faults),
        ),
        Metric::untyped("node_vmstat_pgpgin", "KiB read from disks since the boot.", |paging| {
            whole(paging.paged_in)
        }),
        Metric::untyped(
            "node_vmstat_pgpgout",
            "KiB written to disks since the boot.",
            |paging| whole(paging.paged_out),
        ),
        Metric::untyped("node_vmstat_pswpin", "Pages read from swap since the boot.", |paging| {
            whole(paging.swapped_in)
        }),
        Metric::untyped(
            "node_vmstat_pswpout",
            "Pages written to swap since the boot.",
            |paging| whole(paging.swapped_out),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
