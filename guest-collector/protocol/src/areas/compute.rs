//! CPUs, memory and processes.

use super::wire;

wire! {
    /// What one CPU did since boot, in ticks (`kernel.ticks_per_second`).
    Cpu {
        required {
            /// Number of the CPU.
            cpu: u32,
            /// In user mode; includes `guest`.
            user: u64,
            /// In user mode with low priority; includes `guest_nice`.
            nice: u64,
            /// In the kernel.
            system: u64,
            /// Idle.
            idle: u64,
            /// Idle while a task waits for I/O.
            iowait: u64,
            /// In interrupts.
            irq: u64,
            /// In softirqs.
            softirq: u64,
            /// Taken by the host for others.
            steal: u64,
            /// Running a guest of this guest.
            guest: u64,
            /// The same with low priority.
            guest_nice: u64,
        }
    }
}

wire! {
    /// What the kernel counts for the whole machine.
    Kernel {
        required {
            /// Ticks in a second (`USER_HZ`), the unit of `cpus`.
            ticks_per_second: u64,
        }
        optional {
            /// `ctxt`: context switches.
            context_switches: u64,
            /// `intr`: interrupts, all of them.
            interrupts: u64,
            /// `processes`: forks.
            forks: u64,
            /// `btime`: time of the boot, Unix seconds.
            boot_time_seconds: u64,
            /// `procs_running`.
            processes_running: u64,
            /// `procs_blocked`.
            processes_blocked: u64,
            /// `softirq`, by kind.
            softirqs: Softirqs,
        }
    }
}

wire! {
    /// Softirqs by kind.
    Softirqs {
        required {
            /// `HI`.
            high: u64,
            /// `TIMER`.
            timer: u64,
            /// `NET_TX`.
            network_transmit: u64,
            /// `NET_RX`.
            network_receive: u64,
            /// `BLOCK`.
            block: u64,
            /// `IRQ_POLL` (`BLOCK_IOPOLL` before 4.5).
            interrupt_poll: u64,
            /// `TASKLET`.
            tasklet: u64,
            /// `SCHED`.
            scheduler: u64,
            /// `HRTIMER`.
            high_resolution_timer: u64,
            /// `RCU`.
            rcu: u64,
        }
    }
}

wire! {
    /// The load averages.
    Load {
        required {
            /// Over one minute.
            load1: f64,
            /// Over five minutes.
            load5: f64,
            /// Over fifteen minutes.
            load15: f64,
        }
        optional {
            /// Tasks that can run now.
            tasks_runnable: u64,
            /// Tasks (processes and threads) that exist.
            tasks: u64,
        }
    }
}

wire! {
    /// Memory in kB, but for the numbers of huge pages.
    Memory {
        optional {
            /// `MemTotal`.
            total: u64,
            /// `MemFree`.
            free: u64,
            /// `MemAvailable`, since 3.14.
            available: u64,
            /// `Buffers`.
            buffers: u64,
            /// `Cached`.
            cached: u64,
            /// `SwapCached`.
            swap_cached: u64,
            /// `Active`.
            active: u64,
            /// `Inactive`.
            inactive: u64,
            /// `Active(anon)`.
            active_anonymous: u64,
            /// `Inactive(anon)`.
            inactive_anonymous: u64,
            /// `Active(file)`.
            active_file: u64,
            /// `Inactive(file)`.
            inactive_file: u64,
            /// `Unevictable`.
            unevictable: u64,
            /// `Mlocked`.
            locked: u64,
            /// `SwapTotal`.
            swap_total: u64,
            /// `SwapFree`.
            swap_free: u64,
            /// `Zswap`, since 5.19.
            compressed_swap: u64,
            /// `Zswapped`, since 5.19.
            compressed_swapped: u64,
            /// `Dirty`.
            dirty: u64,
            /// `Writeback`.
            writeback: u64,
            /// `AnonPages`.
            anonymous_pages: u64,
            /// `Mapped`.
            mapped: u64,
            /// `Shmem`.
            shared: u64,
            /// `KReclaimable`, since 4.20.
            kernel_reclaimable: u64,
            /// `Slab`.
            slab: u64,
            /// `SReclaimable`.
            slab_reclaimable: u64,
            /// `SUnreclaim`.
            slab_unreclaimable: u64,
            /// `KernelStack`.
            kernel_stack: u64,
            /// `ShadowCallStack`, of aarch64.
            shadow_call_stack: u64,
            /// `PageTables`.
            page_tables: u64,
            /// `SecPageTables`, since 6.1.
            secondary_page_tables: u64,
            /// `NFS_Unstable`.
            nfs_unstable: u64,
            /// `Bounce`.
            bounce: u64,
            /// `WritebackTmp`.
            writeback_temporary: u64,
            /// `CommitLimit`.
            commit_limit: u64,
            /// `Committed_AS`.
            committed: u64,
            /// `VmallocTotal`.
            vmalloc_total: u64,
            /// `VmallocUsed`.
            vmalloc_used: u64,
            /// `VmallocChunk`.
            vmalloc_chunk: u64,
            /// `Percpu`
            per_cpu: u64,
            /// `EarlyMemtestBad`
            early_memory_test_bad: u64,
            /// `HardwareCorrupted`.
            hardware_corrupted: u64,
            /// `AnonHugePages`.
            anonymous_huge_pages: u64,
            /// `ShmemHugePages`, since 4.8.
            shared_huge_pages: u64,
            /// `ShmemPmdMapped`, since 4.8.
            shared_huge_pages_mapped: u64,
            /// `FileHugePages`, since 5.4.
            file_huge_pages: u64,
            /// `FilePmdMapped`, since 5.4.
            file_huge_pages_mapped: u64,
            /// `CmaTotal`.
            contiguous_total: u64,
            /// `CmaFree`.
            contiguous_free: u64,
            /// `Unaccepted`
            unaccepted: u64,
            /// `Balloon`
            balloon: u64,
            /// `HugePages_Total`, in pages.
            huge_pages_total: u64,
            /// `HugePages_Free`, in pages.
            huge_pages_free: u64,
            /// `HugePages_Rsvd`, in pages.
            huge_pages_reserved: u64,
            /// `HugePages_Surp`, in pages.
            huge_pages_surplus: u64,
            /// `Hugepagesize`.
            huge_page_size: u64,
            /// `Hugetlb`
            huge_page_memory: u64,
            /// `DirectMap4k`.
            direct_map_4k: u64,
            /// `DirectMap2M`.
            direct_map_2m: u64,
            /// `DirectMap1G`.
            direct_map_1g: u64,
        }
    }
}

wire! {
    /// Paging since boot.
    Paging {
        optional {
            /// `pgpgin`: read from block devices, in kB.
            paged_in: u64,
            /// `pgpgout`: written to block devices, in kB.
            paged_out: u64,
            /// `pswpin`: pages read from swap.
            swapped_in: u64,
            /// `pswpout`: pages written to swap.
            swapped_out: u64,
            /// `pgfault`: page faults.
            faults: u64,
            /// `pgmajfault`: page faults that needed I/O.
            major_faults: u64,
            /// `oom_kill`, since 4.13: processes killed for want of memory.
            oom_kills: u64,
        }
    }
}

wire! {
    /// Microseconds in which some or all tasks waited (`total=`).
    Pressure {
        optional {
            /// `cpu`, `some`.
            cpu_some: u64,
            /// `cpu`, `full`, since 5.13.
            cpu_full: u64,
            /// `memory`, `some`.
            memory_some: u64,
            /// `memory`, `full`.
            memory_full: u64,
            /// `io`, `some`.
            io_some: u64,
            /// `io`, `full`.
            io_full: u64,
            /// `irq`, `full`, since 6.1.
            irq_full: u64,
        }
    }
}

wire! {
    /// What runs and what is open.
    Processes {
        optional {
            /// Processes that exist.
            processes: u64,
            /// Threads that exist.
            threads: u64,
            /// `kernel/pid_max`.
            process_limit: u64,
            /// `kernel/threads-max`.
            thread_limit: u64,
            /// `fs/file-nr`: open files.
            files: u64,
            /// `fs/file-nr`: how many may be open.
            file_limit: u64,
        }
    }
}

wire! {
    /// The run queue of one CPU since boot.
    SchedulerCpu {
        required {
            /// Number of the CPU.
            cpu: u32,
            /// Nanoseconds in which tasks ran.
            running_nanoseconds: u64,
            /// Nanoseconds in which tasks waited to run.
            waiting_nanoseconds: u64,
            /// Time slices run.
            timeslices: u64,
        }
    }
}

wire! {
    /// Packets that one CPU has taken from devices since boot.
    SoftnetCpu {
        required {
            /// Number of the CPU (of the line, before 5.10).
            cpu: u32,
            /// Packets handled.
            processed: u64,
            /// Packets dropped because the backlog was full.
            dropped: u64,
            /// How often the budget or time was used up with work left.
            times_squeezed: u64,
        }
        optional {
            /// Collisions while transmitting.
            collisions: u64,
            /// How often other CPUs woke this one to handle packets.
            received_steering: u64,
            /// Packets dropped by the flow limit.
            flow_limited: u64,
            /// Packets in the backlog now, since 5.10.
            backlog_length: u64,
        }
    }
}
