//! The operating system, its clock, its users, and the collector.

use super::{AreaSet, wire};

wire! {
    /// The kernel's entropy pool.
    Entropy {
        optional {
            /// `entropy_avail`.
            available_bits: u64,
            /// `poolsize`.
            pool_bits: u64,
        }
    }
}

wire! {
    /// What `adjtimex(2)` tells, as it tells it.
    Time {
        optional {
            /// What the call returned; 5 (`TIME_ERROR`): not synchronised.
            state: i64,
            /// `status`: bits `STA_*`; `STA_NANO` (0x2000) makes `offset` and `pps_jitter` nanoseconds.
            status: i64,
            /// `offset`, in microseconds or nanoseconds.
            offset: i64,
            /// `freq`, in parts per million times 65,536.
            frequency: i64,
            /// `maxerror`, in microseconds.
            maximum_error: i64,
            /// `esterror`, in microseconds.
            estimated_error: i64,
            /// `constant`.
            loop_time_constant: i64,
            /// `tick`, in microseconds.
            tick: i64,
            /// `ppsfreq`, in parts per million times 65,536.
            pps_frequency: i64,
            /// `jitter`, in microseconds or nanoseconds.
            pps_jitter: i64,
            /// `shift`, in seconds as a power of two.
            pps_shift: i64,
            /// `stabil`, in parts per million times 65,536.
            pps_stability: i64,
            /// `jitcnt`.
            pps_jitter_exceeded: i64,
            /// `calcnt`.
            pps_calibrations: i64,
            /// `errcnt`.
            pps_errors: i64,
            /// `stbcnt`.
            pps_stability_exceeded: i64,
            /// `tai`, in seconds.
            tai_offset: i64,
        }
    }
}

wire! {
    /// Who is logged in. Names are not told: they are nobody's business outside.
    Users {
        required {
            /// Sessions.
            sessions: u64,
        }
        optional {
            /// Different users among them.
            users: u64,
        }
    }
}

wire! {
    /// What seldom changes: `os-release(5)`, `uname(2)` and the like.
    System {
        optional {
            /// `ID`.
            id: String,
            /// `ID_LIKE`.
            id_like: String,
            /// `NAME`.
            name: String,
            /// `PRETTY_NAME`.
            pretty_name: String,
            /// `VARIANT`.
            variant: String,
            /// `VARIANT_ID`.
            variant_id: String,
            /// `VERSION`.
            version: String,
            /// `VERSION_CODENAME`.
            version_codename: String,
            /// `VERSION_ID`.
            version_id: String,
            /// `BUILD_ID`.
            build_id: String,
            /// `IMAGE_ID`.
            image_id: String,
            /// `IMAGE_VERSION`.
            image_version: String,
            /// `SUPPORT_END`, such as `2028-06-30`.
            support_end: String,
            /// `sysname` of `uname`, such as `Linux`.
            kernel_name: String,
            /// `release` of `uname`.
            kernel_release: String,
            /// `version` of `uname`.
            kernel_version: String,
            /// `machine` of `uname`, such as `x86_64`.
            machine: String,
            /// `nodename` of `uname`.
            host_name: String,
            /// `domainname` of `uname`.
            domain_name: String,
            /// The hypervisor or container that the guest sees, as systemd calls it, such as `kvm`.
            virtualization: String,
            /// Name of the time zone.
            time_zone: String,
            /// The time zone's offset to UTC now, in seconds.
            time_zone_offset_seconds: i64,
            /// `current_clocksource`.
            clock_source: String,
            /// `available_clocksource`: names with spaces between.
            clock_sources: String,
            /// `/sys/class/dmi/id`.
            dmi: Dmi,
        }
    }
}

wire! {
    /// What the firmware says of the machine.
    Dmi {
        optional {
            /// `bios_date`.
            bios_date: String,
            /// `bios_release`.
            bios_release: String,
            /// `bios_vendor`.
            bios_vendor: String,
            /// `bios_version`.
            bios_version: String,
            /// `board_name`.
            board_name: String,
            /// `board_vendor`.
            board_vendor: String,
            /// `board_version`.
            board_version: String,
            /// `chassis_vendor`.
            chassis_vendor: String,
            /// `chassis_version`.
            chassis_version: String,
            /// `product_family`.
            product_family: String,
            /// `product_name`.
            product_name: String,
            /// `product_sku`.
            product_sku: String,
            /// `product_version`.
            product_version: String,
            /// `sys_vendor`.
            system_vendor: String,
        }
    }
}

wire! {
    /// What the collector costs, and what it could not do since it started.
    Collector {
        required {
            /// Areas that are switched on and could not be read this time.
            failed: AreaSet,
        }
        optional {
            /// Samples taken.
            samples: u64,
            /// Samples not sent because the host was away or did not read.
            samples_skipped: u64,
            /// Requests answered.
            requests: u64,
            /// Lines from the host that were no request.
            lines_damaged: u64,
            /// CPU time, in microseconds.
            cpu_microseconds: u64,
            /// Resident memory, in kB.
            resident: u64,
        }
    }
}
