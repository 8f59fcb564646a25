//! Memory and swap: `/proc/meminfo`.

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::Memory;

use super::Roots;
use super::source::{Reading, Shape, Source};
use super::text::{Words, lines};

pub(super) struct MemoryInfo {
    file: Source,
}

impl MemoryInfo {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            file: Source::new(roots.proc.join("meminfo"), Shape::Whole),
        }
    }

    pub(super) fn sample(&mut self, reading: &mut Reading, areas: &mut Areas) {
        areas.memory = self.file.read(reading).map(parse);
    }
}

fn parse(contents: &[u8]) -> Memory {
    let mut memory = Memory::default();
    for line in lines(contents) {
        let mut words = Words::of(line);
        let Some(field) = words.next().and_then(|key| field(&mut memory, key)) else {
            continue;
        };
        *field = words.number();
    }
    memory
}

fn field<'a>(memory: &'a mut Memory, key: &[u8]) -> Option<&'a mut Option<u64>> {
    Some(match key {
        b"MemTotal:" => &mut memory.total,
        b"MemFree:" => &mut memory.free,
        b"MemAvailable:" => &mut memory.available,
        b"Buffers:" => &mut memory.buffers,
        b"Cached:" => &mut memory.cached,
        b"SwapCached:" => &mut memory.swap_cached,
        b"Active:" => &mut memory.active,
        b"Inactive:" => &mut memory.inactive,
        b"Active(anon):" => &mut memory.active_anonymous,
        b"Inactive(anon):" => &mut memory.inactive_anonymous,
        b"Active(file):" => &mut memory.active_file,
        b"Inactive(file):" => &mut memory.inactive_file,
        b"Unevictable:" => &mut memory.unevictable,
        b"Mlocked:" => &mut memory.locked,
        b"SwapTotal:" => &mut memory.swap_total,
        b"SwapFree:" => &mut memory.swap_free,
        b"Zswap:" => &mut memory.compressed_swap,
        b"Zswapped:" => &mut memory.compressed_swapped,
        b"Dirty:" => &mut memory.dirty,
        b"Writeback:" => &mut memory.writeback,
        b"AnonPages:" => &mut memory.anonymous_pages,
        b"Mapped:" => &mut memory.mapped,
        b"Shmem:" => &mut memory.shared,
        b"KReclaimable:" => &mut memory.kernel_reclaimable,
        b"Slab:" => &mut memory.slab,
        b"SReclaimable:" => &mut memory.slab_reclaimable,
        b"SUnreclaim:" => &mut memory.slab_unreclaimable,
        b"KernelStack:" => &mut memory.kernel_stack,
        b"ShadowCallStack:" => &mut memory.shadow_call_stack,
        b"PageTables:" => &mut memory.page_tables,
        b"SecPageTables:" => &mut memory.secondary_page_tables,
        b"NFS_Unstable:" => &mut memory.nfs_unstable,
        b"Bounce:" => &mut memory.bounce,
        b"WritebackTmp:" => &mut memory.writeback_temporary,
        b"CommitLimit:" => &mut memory.commit_limit,
        b"Committed_AS:" => &mut memory.committed,
        b"VmallocTotal:" => &mut memory.vmalloc_total,
        b"VmallocUsed:" => &mut memory.vmalloc_used,
        b"VmallocChunk:" => &mut memory.vmalloc_chunk,
        b"Percpu:" => &mut memory.per_cpu,
        b"EarlyMemtestBad:" => &mut memory.early_memory_test_bad,
        b"HardwareCorrupted:" => &mut memory.hardware_corrupted,
        b"AnonHugePages:" => &mut memory.anonymous_huge_pages,
        b"ShmemHugePages:" => &mut memory.shared_huge_pages,
        b"ShmemPmdMapped:" => &mut memory.shared_huge_pages_mapped,
        b"FileHugePages:" => &mut memory.file_huge_pages,
        b"FilePmdMapped:" => &mut memory.file_huge_pages_mapped,
        b"CmaTotal:" => &mut memory.contiguous_total,
        b"CmaFree:" => &mut memory.contiguous_free,
        b"Unaccepted:" => &mut memory.unaccepted,
        b"Balloon:" => &mut memory.balloon,
        b"HugePages_Total:" => &mut memory.huge_pages_total,
        b"HugePages_Free:" => &mut memory.huge_pages_free,
        b"HugePages_Rsvd:" => &mut memory.huge_pages_reserved,
        b"HugePages_Surp:" => &mut memory.huge_pages_surplus,
        b"Hugepagesize:" => &mut memory.huge_page_size,
        b"Hugetlb:" => &mut memory.huge_page_memory,
        b"DirectMap4k:" => &mut memory.direct_map_4k,
        b"DirectMap2M:" => &mut memory.direct_map_2m,
        b"DirectMap1G:" => &mut memory.direct_map_1g,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_known_lines_count() {
        let memory =
            parse(b"MemTotal:  1016232 kB\nMemFree: x kB\nMemFuture: 7 kB\nHugePages_Total:       0\nCached: 12");
        let expected = Memory {
            total: Some(1_016_232),
            huge_pages_total: Some(0),
            ..Memory::default()
        };
        assert_eq!(memory, expected);
    }
}
