use super::*;
use crate::metrics::labels::Identity;
use crate::pve::api::agent::{Answer, Refusal, Silence};
use crate::subjects::guest::{Figures, GuestText};

const SECOND: Duration = Duration::from_secs(1);

fn guest(vmid: u32, node: usize) -> Guest {
    Guest {
        identity: Identity::new(&[]),
        kind: GuestKind::Qemu,
        vmid,
        node: format!("pve{node}").into(),
        text: GuestText::default(),
        state: "running",
        lock: None,
        ha_state: None,
        figures: Figures {
            uptime: Some(1000),
            ..Figures::default()
        },
    }
}

/// Guests at nodes, and whom not to ask.
struct Scene {
    plan: Plan,
    guests: Vec<Guest>,
    nodes: usize,
    now: Instant,
    barred: Vec<u32>,
    closed: Vec<&'static str>,
}

impl Scene {
    fn new(nodes: usize, guests: u32) -> Self {
        let nodes_of = |vmid: u32| usize::try_from(vmid).unwrap() % nodes + 1;
        Self {
            plan: Plan::new(Limits::default(), Duration::from_secs(300)),
            guests: (100..100 + guests).map(|vmid| guest(vmid, nodes_of(vmid))).collect(),
            nodes,
            now: Instant::now(),
            barred: Vec::new(),
            closed: Vec::new(),
        }
    }

    fn next(&mut self) -> Vec<Call> {
        self.now += SECOND;
        let calls = self.plan.next(&View {
            now: self.now,
            guests: &self.guests,
            configured: &|_| Some(true),
            is_barred: &|vmid| self.barred.contains(&vmid),
            is_closed: &|node| self.closed.contains(&&**node),
            nodes: self.nodes,
        });
        for call in &calls {
            self.plan.started(call, self.now);
        }
        calls
    }

    fn ends(&mut self, call: &Call, outcome: Outcome, took: Duration) {
        self.plan.ended(call, outcome, Exchange { end: 0.0, took }, self.now);
    }

    /// Lets a second pass in which whoever is asked answers.
    fn second(&mut self) -> Vec<Call> {
        let calls = self.next();
        for call in &calls {
            self.ends(
                call,
                Outcome::Answer(Answer::Refused(Refusal::Other)),
                Duration::from_millis(10),
            );
        }
        calls
    }
}

fn vmids(calls: &[Call]) -> Vec<u32> {
    calls.iter().map(|call| call.vmid).collect()
}

#[test]
fn a_node_is_asked_one_guest_at_a_time_and_all_for_the_same_first() {
    let mut scene = Scene::new(2, 6);
    let mut calls = Vec::new();
    for _ in 0..6 {
        let asked = scene.second();
        assert!(asked.len() <= 2 && asked.iter().map(|call| &call.node).is_sorted());
        calls.extend(asked);
    }
    assert!(calls.iter().take(6).all(|call| call.command == Command::FileSystems));
    assert!(calls.iter().skip(6).all(|call| call.command == Command::Time));
    let mut first = vmids(&calls[..6]);
    first.sort_unstable();
    assert_eq!(first, [100, 101, 102, 103, 104, 105]);
}

#[test]
fn neither_templates_nor_containers_are_asked_nor_who_is_barred_or_at_a_closed_node() {
    let mut scene = Scene::new(2, 6);
    scene.guests[0].text.template = Some(true);
    scene.guests[4].kind = GuestKind::Lxc;
    scene.barred = vec![102];
    scene.closed = vec!["pve2"];
    assert_eq!(vmids(&scene.next()), [0; 0]);
    assert!(!scene.plan.agents().contains_key(&100) && !scene.plan.agents().contains_key(&104));
    scene.closed.clear();
    assert_eq!(vmids(&scene.next()), [101]);
    scene.barred.clear();
    assert_eq!(
        vmids(&scene.next()),
        [102, 103],
        "each has a call of its own under way at most"
    );
    scene.guests.retain(|guest| guest.vmid != 103);
    scene.next();
    assert!(!scene.plan.agents().contains_key(&103));
}

#[test]
fn who_is_slow_takes_a_third_of_the_time_at_most() {
    let mut scene = Scene::new(1, 200);
    let (began, mut at_work) = (scene.now, Duration::ZERO);
    while scene.now - began < 5 * MINUTE {
        let calls = scene.next();
        if let [call] = &calls[..] {
            scene.now += 3 * SECOND;
            at_work += 3 * SECOND;
            scene.ends(call, Outcome::Silence(Silence::Silent), 3 * SECOND);
        }
    }
    assert!((90..=102).contains(&at_work.as_secs()), "{at_work:?} of five minutes");
}

#[test]
fn who_does_not_answer_comes_after_those_who_have_waited_meanwhile() {
    let mut scene = Scene::new(1, 20);
    let (mut silent, mut answered) = (Vec::new(), Vec::new());
    while silent.iter().filter(|vmid| **vmid == 100).count() < 2 {
        for call in scene.next() {
            if call.vmid < 110 {
                scene.now += 3 * SECOND;
                scene.ends(&call, Outcome::Silence(Silence::Silent), 3 * SECOND);
                silent.push(call.vmid);
            } else {
                scene.ends(&call, Outcome::Answer(Answer::Refused(Refusal::Other)), Duration::ZERO);
                answered.push(call.vmid);
            }
        }
    }
    for vmid in 110..120 {
        let times = answered.iter().filter(|other| **other == vmid).count();
        assert!(times >= 5, "{vmid}: {times}");
    }
}

#[test]
fn a_minute_has_a_ceiling_and_a_second_a_share_of_it() {
    for (nodes, ceiling) in [(1, 60), (20, 280)] {
        let mut scene = Scene::new(nodes, 1000);
        let seconds: Vec<usize> = (0..180).map(|_| scene.second().len()).collect();
        let minutes = seconds.windows(60).map(|minute| minute.iter().sum::<usize>());
        assert_eq!(minutes.max(), Some(ceiling));
        assert_eq!(seconds.iter().max(), Some(&ceiling.div_ceil(30).min(nodes)));
    }
}
