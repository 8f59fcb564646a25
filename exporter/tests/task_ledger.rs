//! The ledger of tasks against a model of PVE's own books: whatever is polled when, each task counts once.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use pve_exporter::pve::task_status::TaskResult;
use pve_exporter::sources::tasks::{ArchiveRequest, Ledger, Task, decode};
use serde_json::{Value, json};

const NODES: [&str; 3] = ["pve1", "pve2", "pve-3"];
const KINDS: [&str; 5] = ["vzdump", "qmstart", "aptupdate", "vncproxy", "imgcopy"];
const STATUSES: [&str; 5] = ["OK", "OK", "WARNINGS: 2", "job errors", ""];

/// What a file of an archive holds.
const FILE_BYTES: usize = 50_000;

const BEGIN: u32 = 1_000_000;

/// How often PVE looks after its tasks anyway, in seconds.
const CYCLE: u32 = 10;

#[derive(Clone, Debug)]
struct Logged {
    upid: String,
    kind: &'static str,
    start: u32,
    status: String,
    end: Option<u32>,
    saved: bool,
}

impl Logged {
    fn json(&self, node: &str) -> Value {
        let mut row = json!({"upid": self.upid, "node": node, "type": self.kind, "starttime": self.start, "user": "root@pam", "saved": "1", "id": ""});
        if let Some(end) = self.end {
            row["endtime"] = end.into();
            row["status"] = self.status.clone().into();
        }
        row
    }

    fn tally(&self) -> ((&'static str, &'static str), (u64, u64)) {
        let result = TaskResult::of_finished(&self.status).as_str();
        ((self.kind, result), (1, u64::from(self.end.unwrap() - self.start)))
    }
}

/// A list as the cluster has it, and how much the log held then.
#[derive(Clone, Debug, Default)]
struct Published {
    rows: Vec<Logged>,
    logged: usize,
}

/// What a node of PVE keeps of its tasks.
#[derive(Debug)]
struct Node {
    name: &'static str,
    /// How far its clock is ahead.
    ahead: u32,
    alive: BTreeSet<String>,
    /// Ends to come: when, which, and whether PVE notices at once.
    ends: Vec<(u32, String, bool)>,
    active: Vec<Logged>,
    log: Vec<Logged>,
    /// Where the newer file of the archive begins, and the older one.
    files: [usize; 2],
    rotates: bool,
    /// What tasks are about: the longer, the sooner an archive is full.
    id: String,
    /// Whether there is something to find for a look after the tasks.
    unnoticed: bool,
    published: Published,
    before: Published,
    pid: u32,
    up: bool,
    hidden: bool,
    ghost: bool,
}

impl Node {
    fn look_after(&mut self, now: u32, new: Option<Logged>) {
        let tasks: Vec<Logged> = self.active.drain(..).chain(new).collect();
        let (mut list, mut finished): (Vec<_>, Vec<_>) =
            tasks.into_iter().partition(|task| self.alive.contains(&task.upid));
        finished.sort_by_key(|task| std::cmp::Reverse(task.start));
        for task in &mut finished {
            task.end.get_or_insert(now + self.ahead);
            if !task.saved {
                task.saved = true;
                self.log.push(task.clone());
            }
        }
        let line = |entry: &Logged| entry.upid.len() + entry.status.len() + 11;
        if self.rotates && self.log[self.files[0]..].iter().map(line).sum::<usize>() > FILE_BYTES {
            self.files = [self.log.len(), self.files[0]];
        }
        self.unnoticed = false;
        let room = 25_usize.saturating_sub(list.len());
        list.extend(finished.into_iter().take(room));
        self.active.clone_from(&list);
        let row = |task: &Logged| 2 * task.upid.len() + 150 + task.end.map_or(0, |_| task.status.len());
        let bytes = |list: &[Logged]| list.iter().map(row).sum::<usize>();
        while bytes(&list) >= 32 * 1024 {
            list.pop();
        }
        let published = Published {
            rows: list,
            logged: self.log.len(),
        };
        self.before = std::mem::replace(&mut self.published, published);
    }

    fn start(&mut self, now: u32, kind: &'static str, duration: u32, status: &str, noticed: bool) {
        self.pid += 1;
        let start = now + self.ahead;
        let upid = format!(
            "UPID:{}:{:08X}:{:08X}:{start:08X}:{kind}:{}:root@pam:",
            self.name,
            self.pid,
            now * 100,
            self.id
        );
        self.alive.insert(upid.clone());
        self.ends.push((now + duration, upid.clone(), noticed));
        let entry = Logged {
            upid,
            kind,
            start,
            status: status.to_owned(),
            end: None,
            saved: false,
        };
        self.look_after(now, Some(entry));
    }

    fn crash(&mut self) {
        for task in &mut self.active {
            if self.alive.contains(&task.upid) {
                "unexpected status".clone_into(&mut task.status);
            }
        }
        self.alive.clear();
        self.ends.clear();
        let published = Published {
            rows: Vec::new(),
            logged: self.log.len(),
        };
        (self.published, self.before) = (published.clone(), published);
        self.up = false;
        self.unnoticed = true;
    }

    /// Lets time pass from `now` until and with `until`.
    fn pass(&mut self, now: u32, until: u32) {
        for now in now + 1..=until {
            let mut look = self.unnoticed && self.up && now % CYCLE == 0;
            for (_, upid, noticed) in self.ends.extract_if(.., |(end, ..)| *end < now) {
                self.alive.remove(&upid);
                self.unnoticed = true;
                look |= noticed;
            }
            if look {
                self.look_after(now, None);
            }
        }
    }

    fn archive(&self, since: u32) -> Vec<Value> {
        let kept = self.log[self.files[1]..].iter().rev();
        kept.filter(|task| task.start >= since)
            .map(|task| task.json(self.name))
            .collect()
    }
}

/// What becomes of the requests for archives.
#[derive(Clone, Copy, Debug)]
enum Archives {
    Fail,
    Arrive,
    /// They are answered at once and arrive later.
    Linger,
    /// They are answered when they arrive.
    Wait,
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u32),
    Tasks {
        node: usize,
        kind: usize,
        status: usize,
        count: u32,
        duration: u32,
        noticed: bool,
        wordy: bool,
    },
    Poll {
        archives: Archives,
        stale: bool,
    },
    /// The archives that are on their way arrive.
    Arrive,
    Hide {
        node: usize,
        ghost: bool,
        crash: bool,
    },
    Show(usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0..NODES.len();
    let archives = prop_oneof![
        1 => Just(Archives::Fail),
        3 => Just(Archives::Arrive),
        1 => Just(Archives::Linger),
        1 => Just(Archives::Wait),
    ];
    let tasks = |count, duration| {
        let flags = (any::<bool>(), prop::bool::weighted(0.1));
        (
            0..NODES.len(),
            0..KINDS.len(),
            0..STATUSES.len(),
            count,
            duration,
            flags,
        )
            .prop_map(|(node, kind, status, count, duration, (noticed, wordy))| Step::Tasks {
                node,
                kind,
                status,
                count,
                duration,
                noticed,
                wordy,
            })
    };
    prop_oneof![
        4 => (1..90_u32).prop_map(Step::Pass),
        1 => (90..8000_u32).prop_map(Step::Pass),
        5 => tasks(1..4_u32, 0..40_u32),
        2 => tasks(1..4_u32, 0..9000_u32),
        2 => tasks(5..70_u32, 0..60_u32),
        7 => (archives, prop::bool::weighted(0.1)).prop_map(|(archives, stale)| Step::Poll { archives, stale }),
        3 => Just(Step::Arrive),
        1 => (node.clone(), any::<bool>(), any::<bool>()).prop_map(|(node, ghost, crash)| Step::Hide { node, ghost, crash }),
        2 => node.prop_map(Step::Show),
        1 => prop::bool::weighted(0.1).prop_map(|restart| if restart { Step::Restart } else { Step::Pass(1) }),
    ]
}

/// An exporter, and from where on in each node's log it ought to count: at the latest, and at the earliest.
struct Exporter {
    ledger: Ledger,
    from: BTreeMap<&'static str, (Option<usize>, usize)>,
    /// Nodes of which the first list told nothing: PVE's archive alone does not show that a file of it is gone.
    blind: BTreeSet<&'static str>,
}

struct World {
    now: u32,
    nodes: Vec<Node>,
    told_who_is_online: bool,
    exporter: Exporter,
    on_the_way: Vec<(ArchiveRequest, Option<Answer>)>,
}

type Answer = (&'static str, Vec<Value>, usize);

type Counts = BTreeMap<(String, String), (u64, u64)>;

fn tasks(rows: &[Value]) -> Vec<Task> {
    let body = json!({ "data": rows }).to_string();
    let (tasks, read) = decode(body.as_bytes()).unwrap();
    assert_eq!(read.damaged_rows, 0);
    tasks
}

fn label<'a>(pairs: &'a str, name: &str) -> &'a str {
    let (_, rest) = pairs.split_once(&format!("{name}=\"")).unwrap();
    rest.split_once('"').unwrap().0
}

impl World {
    fn new(ahead: &[u32], rotates: Option<usize>, told_who_is_online: bool) -> Self {
        let node = |(name, ahead): (&&'static str, &u32)| Node {
            name,
            ahead: *ahead,
            alive: BTreeSet::new(),
            ends: Vec::new(),
            active: Vec::new(),
            log: Vec::new(),
            files: [0, 0],
            rotates: rotates.is_some(),
            id: "1".repeat(rotates.unwrap_or(3)),
            unnoticed: false,
            published: Published::default(),
            before: Published::default(),
            pid: 0,
            up: true,
            hidden: false,
            ghost: false,
        };
        Self {
            now: BEGIN,
            nodes: NODES.iter().zip(ahead).map(node).collect(),
            told_who_is_online,
            exporter: Exporter::new(),
            on_the_way: Vec::new(),
        }
    }

    fn pass(&mut self, seconds: u32) {
        for node in &mut self.nodes {
            node.pass(self.now, self.now + seconds);
        }
        self.now += seconds;
    }

    fn take(&mut self, step: &Step) {
        match *step {
            // What is in no list for a day is given up.
            Step::Pass(seconds) if self.now + seconds > BEGIN + 60_000 => {}
            Step::Pass(seconds) => self.pass(seconds),
            Step::Tasks {
                node,
                kind,
                status,
                count,
                duration,
                noticed,
                wordy,
            } => {
                for _ in 0..count {
                    // PVE's list says nothing of the order within one second.
                    self.pass(1);
                    let long = format!("{} {}", STATUSES[status], "x".repeat(4000));
                    let status = if wordy { &long } else { STATUSES[status] };
                    if self.nodes[node].up {
                        self.nodes[node].start(self.now, KINDS[kind], duration, status, noticed);
                    }
                }
            }
            Step::Poll { archives, stale } => self.poll(archives, stale),
            Step::Hide { node, ghost, crash } => {
                let node = &mut self.nodes[node];
                (node.hidden, node.ghost) = (true, ghost);
                if crash && node.up {
                    node.crash();
                }
            }
            Step::Show(node) => {
                self.nodes[node].hidden = false;
                self.nodes[node].up = true;
            }
            Step::Arrive => {
                for request in std::mem::take(&mut self.on_the_way) {
                    self.arrive(request);
                }
            }
            Step::Restart => {
                self.exporter = Exporter::new();
                self.on_the_way.clear();
            }
        }
    }

    fn poll(&mut self, archives: Archives, stale: bool) {
        let mut rows = Vec::new();
        for node in &mut self.nodes {
            let list = if stale { &node.before } else { &node.published };
            if !node.hidden || node.ghost {
                rows.extend(list.rows.iter().map(|task| task.json(node.name)));
            }
            let here = !node.hidden || node.ghost && !self.told_who_is_online;
            let seen = here && !list.rows.is_empty();
            if seen {
                // Without a finished task in the first list the count begins with the first archive.
                let clear = list.rows.iter().any(|task| task.end.is_some());
                let from = (clear.then_some(list.logged), list.logged);
                if let Entry::Vacant(vacant) = self.exporter.from.entry(node.name) {
                    vacant.insert(from);
                    self.exporter.blind.extend((!clear).then_some(node.name));
                }
            }
            node.before = node.published.clone();
        }
        let online: BTreeMap<_, _> = self
            .nodes
            .iter()
            .map(|node| (Arc::from(node.name), !node.hidden))
            .collect();
        let online = self.told_who_is_online.then_some(&online);
        self.exporter
            .ledger
            .apply_recent(tasks(&rows), online, f64::from(self.now));
        let wanted = self.exporter.ledger.archive_wanted();
        let requests = wanted.into_iter().map(|request| (request, None));
        match archives {
            Archives::Fail => {}
            Archives::Arrive => requests.for_each(|request| self.arrive(request)),
            Archives::Wait => self.on_the_way.extend(requests),
            Archives::Linger => {
                for (request, _) in requests {
                    let answer = self.answer(&request);
                    self.on_the_way.push((request, answer));
                }
            }
        }
        self.check(false);
        self.pass(1);
    }

    /// A node's archive as it is at this moment, and how much its log holds.
    fn answer(&self, request: &ArchiveRequest) -> Option<Answer> {
        let node = self.nodes.iter().find(|node| *node.name == *request.node).unwrap();
        (!node.hidden).then(|| (node.name, node.archive(request.since), node.log.len()))
    }

    fn arrive(&mut self, (request, answer): (ArchiveRequest, Option<Answer>)) {
        let Some((name, rows, logged)) = answer.or_else(|| self.answer(&request)) else {
            return;
        };
        // Only what is still wanted is taken.
        let taken = self.exporter.ledger.archive_wanted().contains(&request);
        self.exporter
            .ledger
            .apply_archive(&request, tasks(&rows), f64::from(self.now));
        let (latest, earliest) = self.exporter.from.entry(name).or_insert_with(|| {
            self.exporter.blind.insert(name);
            (None, logged)
        });
        if taken && latest.is_none() {
            (*latest, *earliest) = (Some(logged), logged.min(*earliest));
        }
    }

    fn counted(&mut self, node: &str) -> (Counts, u64) {
        let rows = self.exporter.ledger.rows("main");
        let mut counts = Counts::new();
        for row in rows.finished.iter() {
            let pairs = str::from_utf8(row.identity.pairs()).unwrap();
            if label(pairs, "node") == node && row.finished > 0 {
                let key = (label(pairs, "type").to_owned(), label(pairs, "result").to_owned());
                assert_eq!(counts.insert(key, (row.finished, row.duration)), None);
            }
        }
        let here = |pairs: &[u8]| label(str::from_utf8(pairs).unwrap(), "node") == node;
        let mut gaps = rows.history.iter().filter(|row| here(row.identity.pairs()));
        (counts, gaps.next().map_or(0, |row| row.gaps))
    }

    /// Compares what was counted with the logs; `settled` says that nothing is on its way any more.
    fn check(&mut self, settled: bool) {
        for index in 0..self.nodes.len() {
            let name = self.nodes[index].name;
            let (counted, gaps) = self.counted(name);
            let node = &self.nodes[index];
            let Some((latest, earliest)) = self.exporter.from.get(name).copied() else {
                assert_eq!(counted, Counts::new());
                continue;
            };
            let least = sum(&node.log[latest.unwrap_or(node.log.len())..]);
            let most = sum(&node.log[earliest..]);
            assert!(within(&counted, &most), "{name}: {counted:?} of {most:?}");
            if settled {
                let all = within(&least, &counted);
                assert!(all || gaps > 0, "{name}: {counted:?} lacks some of {least:?}");
                let blind = self.exporter.blind.contains(name);
                assert!(node.rotates || all && (gaps == 0 || blind), "{name}: {gaps} gaps");
            }
        }
    }

    fn settle(&mut self) {
        for index in 0..self.nodes.len() {
            self.take(&Step::Show(index));
        }
        self.pass(20_000);
        for _ in 0..2 {
            self.poll(Archives::Arrive, false);
        }
        assert_eq!(self.exporter.ledger.archive_wanted(), []);
        self.check(true);
    }
}

impl Exporter {
    fn new() -> Self {
        Self {
            ledger: Ledger::new(10),
            from: BTreeMap::new(),
            blind: BTreeSet::new(),
        }
    }
}

fn sum(log: &[Logged]) -> Counts {
    let mut counts = Counts::new();
    for entry in log {
        let ((kind, result), (count, duration)) = entry.tally();
        let sum = counts.entry((kind.to_owned(), result.to_owned())).or_default();
        *sum = (sum.0 + count, sum.1 + duration);
    }
    counts
}

fn within(some: &Counts, all: &Counts) -> bool {
    some.iter().all(|(key, (count, duration))| {
        all.get(key)
            .is_some_and(|(most, longest)| count <= most && duration <= longest)
    })
}

fn runner(cases: u32) -> TestRunner {
    // What was found once belongs into a test of its own, not into a file of seeds.
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 500,
        ..Config::default()
    })
}

fn run(cases: u32, rotates: impl Strategy<Value = Option<usize>>) {
    // A day ahead is as much as is believed.
    let skews = prop::collection::vec(0..80_000_u32, NODES.len());
    let steps = prop::collection::vec(step(), 1..60);
    let histories = (skews, rotates, any::<bool>(), steps);
    let outcome = runner(cases).run(&histories, |(ahead, rotates, told, steps)| {
        let mut world = World::new(&ahead, rotates, told);
        for step in &steps {
            world.take(step);
        }
        world.settle();
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn each_task_counts_once_while_the_archive_is_whole() {
    run(100, Just(None));
}

#[test]
fn what_an_archive_has_dropped_is_a_gap_and_nothing_counts_twice() {
    run(100, (3..400_usize).prop_map(Some));
}
