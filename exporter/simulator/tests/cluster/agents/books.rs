//! Who has an agent, and what the simulator keeps of the calls.

use std::{collections::BTreeSet, time::Duration};

use pve_simulator::{Agent, AgentMix, BackupBeside, BackupResult, GuestKind, NewBackup, Options, Simulator};

use super::{V9, ask, cluster, machines, path};
use crate::client::{Connection, quick, rows};

const FSINFO: &str = "/nodes/{node}/qemu/{vmid}/agent/get-fsinfo";

#[tokio::test]
async fn configurations_agree_with_the_agents() {
    let quiet = Simulator::start(Options { guests: 60, ..quick() }).await.unwrap();
    assert!(quiet.guests().iter().all(|guest| guest.settings.agent.is_none()));

    let lively = Options {
        guests: 60,
        events: true,
        ..quick()
    };
    let simulator = Simulator::start(lively).await.unwrap();
    let mut values = BTreeSet::new();
    for guest in simulator.guests() {
        assert!(guest.kind == GuestKind::Qemu || guest.settings.agent.is_none());
        values.insert(guest.settings.agent);
    }
    let expected = [
        "1",
        "enabled=1,fstrim_cloned_disks=1",
        "fstrim_cloned_disks=1,enabled=0",
        "0",
    ];
    for value in expected {
        assert!(values.contains(&Some(value.to_owned())), "{value} in {values:?}");
    }
    assert_eq!(simulator.agent(100), Some(Agent::Dead));
    assert_eq!(simulator.agent(101), Some(Agent::Full));
    assert!(matches!(simulator.agent(106), Some(Agent::Disabled(_))));

    let single = AgentMix::none().with(103, Agent::Windows);
    let simulator = cluster(single, V9).await;
    assert_eq!(
        (simulator.agent(100), simulator.agent(103)),
        (None, Some(Agent::Windows))
    );
    assert!(simulator.set_agent(100, Agent::Dead));
    let pending = rows(&simulator, "pve1", "/nodes/pve1/qemu/100/pending").await;
    let agent = pending.iter().find(|row| row["key"] == "agent").unwrap();
    assert_eq!(
        (&agent["value"], simulator.agent(100)),
        (&"1".into(), Some(Agent::Dead))
    );
    assert!(!simulator.set_agent(102, Agent::Healthy), "a container has no agent");
}

#[tokio::test]
async fn a_worker_waits_for_a_dead_agent_after_the_client_has_left() {
    let options = Options {
        agents: AgentMix::all(Agent::Dead),
        agent_silence: Duration::from_millis(700),
        ..quick()
    };
    let simulator = Simulator::start(options).await.unwrap();
    let vmid = machines(&simulator)[0];
    let node = simulator.guest(vmid).unwrap().node;
    let path = path(&simulator, vmid, "get-fsinfo");
    for _ in 0..2 {
        let mut connection = Connection::open(&simulator, "pve1").await.unwrap();
        let before = simulator.calls().executed_for(FSINFO);
        let left = async {
            while simulator.calls().executed_for(FSINFO) == before {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = connection.get(&path) => panic!("a dead agent answered"),
            () = left => {}
        }
    }
    assert_eq!(simulator.highest_agent_concurrency(&node), 2);
    assert_eq!(simulator.highest_agent_concurrency_of(vmid), 2);
    while simulator.running_agent_calls(&node) > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(simulator.calls().agent_calls(), 2);
    simulator.reset_calls();
    let none = simulator.highest_agent_concurrency(&node);
    assert_eq!((none, simulator.agent_calls().len()), (0, 0));
}

#[tokio::test]
async fn calls_during_backups_are_counted() {
    let simulator = cluster(AgentMix::all(Agent::Healthy), V9).await;
    let [first, second] = machines(&simulator);
    let node = simulator.guest(first).unwrap().node;
    simulator.migrate(second, &node);
    let other = 102;
    let counts = |simulator: &Simulator| {
        (
            simulator.agent_calls_during_backups(),
            simulator.agent_calls_beside_backups(),
        )
    };
    ask(&simulator, first, "get-fsinfo").await;
    assert_eq!(counts(&simulator), (0, 0));

    simulator.lock_guest(first, Some("snapshot"));
    ask(&simulator, first, "get-fsinfo").await;
    assert_eq!(counts(&simulator), (1, 0));
    simulator.lock_guest(first, None);

    let backup = |guests: &[u32]| NewBackup {
        node: node.clone(),
        storage: "nas".to_owned(),
        guests: guests.iter().map(|vmid| (*vmid, BackupResult::Done)).collect(),
        each: Duration::from_secs(60),
    };
    simulator.start_backup(&backup(&[first])).unwrap();
    ask(&simulator, second, "get-time").await;
    assert_eq!(counts(&simulator), (1, 1));
    ask(&simulator, first, "get-time").await;
    assert_eq!(counts(&simulator), (2, 2));
    simulator.advance(Duration::from_secs(300));

    simulator.start_backup(&backup(&[first, other])).unwrap();
    ask(&simulator, second, "get-time").await;
    assert_eq!(counts(&simulator), (3, 3));
    let calls = simulator.agent_calls();
    let seen: Vec<_> = calls
        .iter()
        .map(|call| (call.vmid, call.backup, call.is_overlap()))
        .collect();
    assert_eq!(
        seen,
        [
            (first, None, false),
            (first, None, true),
            (second, Some(BackupBeside::Others), false),
            (first, Some(BackupBeside::MayBeNext), true),
            (second, Some(BackupBeside::MayBeNext), true),
        ]
    );
    assert_eq!((calls[0].command, calls[0].at), ("get-fsinfo", calls[1].at));
    assert!(calls[4].at > calls[3].at && calls[4].at == simulator.now());
}
