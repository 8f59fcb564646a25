//! CPUs, the kernel as a whole, and what runs.

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::{Cpu, Kernel, Load, Pressure, Processes, SchedulerCpu, SoftnetCpu};

use super::{Row, each, numbered, one, parts, rows, whole};
use crate::metrics::catalog::{Group, group};
use crate::metrics::exposition::Section;
use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit, Value};

const MICROSECONDS: f64 = 1e6;
const NANOSECONDS: f64 = 1e9;

/// A CPU, and what its ticks are.
pub(super) struct CpuTime {
    cpu: Cpu,
    ticks_per_second: f64,
}

impl CpuTime {
    fn seconds(&self, ticks: u64) -> Option<Value> {
        parts(Some(ticks), self.ticks_per_second)
    }
}

pub(super) fn sections(areas: &Areas) -> Vec<Box<dyn Section>> {
    vec![
        rows(cpus(areas)),
        one(areas.kernel.as_ref()),
        one(areas.load.as_ref()),
        one(areas.pressure.as_ref()),
        one(areas.processes.as_ref()),
        each(areas.scheduler.as_ref(), |row| numbered("cpu", row.cpu)),
        each(areas.softnet.as_ref(), |row| numbered("cpu", row.cpu)),
    ]
}

pub(super) fn groups() -> Vec<Group> {
    vec![
        group::<Row<CpuTime>>(),
        group::<Row<Kernel>>(),
        group::<Row<Load>>(),
        group::<Row<Pressure>>(),
        group::<Row<Processes>>(),
        group::<Row<SchedulerCpu>>(),
        group::<Row<SoftnetCpu>>(),
    ]
}

/// None where nobody has told what a tick is.
fn cpus(areas: &Areas) -> Vec<Row<CpuTime>> {
    let ticks = areas.kernel.as_ref().map(|kernel| kernel.ticks_per_second);
    let Some(ticks_per_second) = ticks.filter(|ticks| *ticks > 0).map(|ticks| ticks as f64) else {
        return Vec::new();
    };
    let cpus = areas.cpus.iter().flatten();
    cpus.map(|cpu| Row {
        identity: numbered("cpu", cpu.cpu),
        value: CpuTime {
            cpu: cpu.clone(),
            ticks_per_second,
        },
    })
    .collect()
}

impl Subject for Row<CpuTime> {
    const NAME: &'static str = "CPU";
    const ROWS: &'static str = "one per CPU that is online";
    const LABELS: &'static [&'static str] = &["cpu"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::counters(
            "node_cpu_seconds_total",
            Unit::Seconds,
            &["mode"],
            "Time that the CPU spent in the mode since the boot; that of guests of the guest counts as user and nice.",
            &[
                ("idle", |row| row.seconds(row.cpu.idle)),
                ("iowait", |row| row.seconds(row.cpu.iowait)),
                ("irq", |row| row.seconds(row.cpu.irq)),
                ("nice", |row| row.seconds(row.cpu.nice)),
                ("softirq", |row| row.seconds(row.cpu.softirq)),
                ("steal", |row| row.seconds(row.cpu.steal)),
                ("system", |row| row.seconds(row.cpu.system)),
                ("user", |row| row.seconds(row.cpu.user)),
            ],
        ),
        Metric::counters(
            "node_cpu_guest_seconds_total",
            Unit::Seconds,
            &["mode"],
            "Time that the CPU ran guests of the guest since the boot.",
            &[
                ("nice", |row| row.seconds(row.cpu.guest_nice)),
                ("user", |row| row.seconds(row.cpu.guest)),
            ],
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for Row<Kernel> {
    const NAME: &'static str = "kernel";
    const ROWS: &'static str = "one";
    const LABELS: &'static [&'static str] = &[];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "node_boot_time_seconds",
            Unit::Seconds,
            "When the guest booted, by its own clock.",
            |kernel| whole(kernel.boot_time_seconds),
        ),
        Metric::counter(
            "node_context_switches_total",
            Unit::None,
            "Switches from one task to another since the boot.",
            |kernel| whole(kernel.context_switches),
        ),
        Metric::counter(
            "node_forks_total",
            Unit::None,
            "Processes and threads started since the boot.",
            |kernel| whole(kernel.forks),
        ),
        Metric::counter("node_intr_total", Unit::None, "Interrupts since the boot.", |kernel| {
            whole(kernel.interrupts)
        }),
        Metric::gauge(
            "node_procs_running",
            Unit::None,
            "Tasks that run or could run now.",
            |kernel| whole(kernel.processes_running),
        ),
        Metric::gauge(
            "node_procs_blocked",
            Unit::None,
            "Tasks that wait for I/O now.",
            |kernel| whole(kernel.processes_blocked),
        ),
        Metric::counters(
            "node_softirqs_total",
            Unit::None,
            &["vector"],
            "Softirqs of the kind since the boot.",
            &[
                ("block", |kernel| whole(kernel.softirqs.as_ref().map(|all| all.block))),
                ("block_iopoll", |kernel| {
                    whole(kernel.softirqs.as_ref().map(|all| all.interrupt_poll))
                }),
                ("hi", |kernel| whole(kernel.softirqs.as_ref().map(|all| all.high))),
                ("hrtimer", |kernel| {
                    whole(kernel.softirqs.as_ref().map(|all| all.high_resolution_timer))
                }),
                ("net_rx", |kernel| {
                    whole(kernel.softirqs.as_ref().map(|all| all.network_receive))
                }),
                ("net_tx", |kernel| {
                    whole(kernel.softirqs.as_ref().map(|all| all.network_transmit))
                }),
                ("rcu", |kernel| whole(kernel.softirqs.as_ref().map(|all| all.rcu))),
                ("sched", |kernel| {
                    whole(kernel.softirqs.as_ref().map(|all| all.scheduler))
                }),
                ("tasklet", |kernel| {
                    whole(kernel.softirqs.as_ref().map(|all| all.tasklet))
                }),
                ("timer", |kernel| whole(kernel.softirqs.as_ref().map(|all| all.timer))),
            ],
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for Row<Load> {
    const NAME: &'static str = "load";
    const ROWS: &'static str = "one";
    const LABELS: &'static [&'static str] = &[];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge("node_load1", Unit::None, "Load of one minute.", |load| {
            Some(load.load1.into())
        }),
        Metric::gauge("node_load5", Unit::None, "Load of five minutes.", |load| {
            Some(load.load5.into())
        }),
        Metric::gauge("node_load15", Unit::None, "Load of fifteen minutes.", |load| {
            Some(load.load15.into())
        }),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for Row<Pressure> {
    const NAME: &'static str = "pressure";
    const ROWS: &'static str = "one; none before Linux 4.20";
    const LABELS: &'static [&'static str] = &[];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::counter(
            "node_pressure_cpu_waiting_seconds_total",
            Unit::Seconds,
            "Time in which at least one task waited for a CPU.",
            |pressure| parts(pressure.cpu_some, MICROSECONDS),
        ),
        Metric::counter(
            "node_pressure_io_waiting_seconds_total",
            Unit::Seconds,
            "Time in which at least one task waited for I/O.",
            |pressure| parts(pressure.io_some, MICROSECONDS),
        ),
        Metric::counter(
            "node_pressure_io_stalled_seconds_total",
            Unit::Seconds,
            "Time in which all tasks at once waited for I/O.",
            |pressure| parts(pressure.io_full, MICROSECONDS),
        ),
        Metric::counter(
            "node_pressure_memory_waiting_seconds_total",
            Unit::Seconds,
            "Time in which at least one task waited for memory.",
            |pressure| parts(pressure.memory_some, MICROSECONDS),
        ),
        Metric::counter(
            "node_pressure_memory_stalled_seconds_total",
            Unit::Seconds,
            "Time in which all tasks at once waited for memory.",
            |pressure| parts(pressure.memory_full, MICROSECONDS),
        ),
        Metric::counter(
            "node_pressure_irq_stalled_seconds_total",
            Unit::Seconds,
            "Time in which all tasks at once were held up by interrupts; since Linux 6.1.",
            |pressure| parts(pressure.irq_full, MICROSECONDS),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for Row<Processes> {
    const NAME: &'static str = "processes";
    const ROWS: &'static str = "one";
    const LABELS: &'static [&'static str] = &[];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge("node_processes_pids", Unit::None, "Processes that there are.", |all| {
            whole(all.processes)
        }),
        Metric::gauge("node_processes_threads", Unit::None, "Threads that there are.", |all| {
            whole(all.threads)
        }),
        Metric::gauge(
            "node_processes_max_processes",
            Unit::None,
            "The highest process number, which limits how many there can be.",
            |all| whole(all.process_limit),
        ),
        Metric::gauge(
            "node_processes_max_threads",
            Unit::None,
            "How many threads there can be.",
            |all| whole(all.thread_limit),
        ),
        Metric::gauge("node_filefd_allocated", Unit::None, "Files that are open.", |all| {
            whole(all.files)
        }),
        Metric::gauge(
            "node_filefd_maximum",
            Unit::None,
            "How many files can be open.",
            |all| whole(all.file_limit),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for Row<SchedulerCpu> {
    const NAME: &'static str = "scheduler";
    const ROWS: &'static str = "one per CPU, where the kernel keeps count";
    const LABELS: &'static [&'static str] = &["cpu"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::counter(
            "node_schedstat_running_seconds_total",
            Unit::Seconds,
            "Time in which tasks ran on the CPU.",
            |row| parts(Some(row.running_nanoseconds), NANOSECONDS),
        ),
        Metric::counter(
            "node_schedstat_waiting_seconds_total",
            Unit::Seconds,
            "Time in which tasks that could run waited for the CPU, each counted.",
            |row| parts(Some(row.waiting_nanoseconds), NANOSECONDS),
        ),
        Metric::counter(
            "node_schedstat_timeslices_total",
            Unit::None,
            "Slices of time that the CPU has given to tasks.",
            |row| whole(Some(row.timeslices)),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for Row<SoftnetCpu> {
    const NAME: &'static str = "received packets by CPU";
    const ROWS: &'static str = "one per CPU";
    const LABELS: &'static [&'static str] = &["cpu"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::counter(
            "node_softnet_processed_total",
            Unit::None,
            "Packets that the CPU has taken from interfaces.",
            |row| whole(Some(row.processed)),
        ),
        Metric::counter(
            "node_softnet_dropped_total",
            Unit::None,
            "Packets lost because the CPU's backlog was full.",
            |row| whole(Some(row.dropped)),
        ),
        Metric::counter(
            "node_softnet_times_squeezed_total",
            Unit::None,
            "How often the CPU had to stop with packets left.",
            |row| whole(Some(row.times_squeezed)),
        ),
        Metric::counter(
            "node_softnet_cpu_collision_total",
            Unit::None,
            "Collisions with another CPU that was sending through the same interface.",
            |row| whole(row.collisions),
        ),
        Metric::counter(
            "node_softnet_received_rps_total",
            Unit::None,
            "How often another CPU woke this one to handle packets.",
            |row| whole(row.received_steering),
        ),
        Metric::counter(
            "node_softnet_flow_limit_count_total",
            Unit::None,
            "Packets lost to the limit of one flow.",
            |row| whole(row.flow_limited),
        ),
        Metric::gauge(
            "node_softnet_backlog_len",
            Unit::None,
            "Packets in the CPU's backlog now.",
            |row| whole(row.backlog_length),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
