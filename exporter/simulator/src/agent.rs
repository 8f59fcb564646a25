//! How a node asks a guest agent: what it checks before, how long it waits, and what it makes of the answer.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;

use crate::{
    Agent, AgentCall, BackupBeside, GuestKind,
    api::{AgentCommand, Answer, Call, Scene},
    calls::RunningAgentCall,
    cluster::Cluster,
    json::Json,
    model::Guest,
    reply::{Refusal, Reply},
};

/// What a node is going to answer, and how long that occupies it.
struct Verdict {
    after: Duration,
    answer: Result<Bytes, Refusal>,
}

/// Takes down that a call arrived, if it is one of a guest agent.
pub(crate) fn begin(cluster: &Arc<Cluster>, node: usize, call: &Call<'_>) -> Option<RunningAgentCall> {
    let Answer::Agent(command) = call.endpoint.answer else {
        return None;
    };
    let vmid: u32 = call.parameter("vmid")?.parse().ok()?;
    let at = UNIX_EPOCH + Duration::from_millis(cluster.time.now());
    let arrived = cluster.with_model(|model| {
        let guest = model.guests.get(&vmid).filter(|guest| guest.node == node);
        let (one, many) = (vmid.to_string(), String::new());
        let backups = model.tasks.of(node).running().filter(|task| task.kind == "vzdump");
        AgentCall {
            at,
            node: model.nodes[node].name.clone(),
            vmid,
            command: command.name,
            lock: guest.and_then(|guest| guest.settings.lock.clone()),
            backup: backups
                .map(|task| {
                    if task.id == one || task.id == many {
                        BackupBeside::MayBeNext
                    } else {
                        BackupBeside::Others
                    }
                })
                .max(),
        }
    });
    Some(RunningAgentCall::begin(cluster, arrived))
}

/// Asks the agent. The worker that waits for it does so to the end, whether or not the client still waits.
pub(crate) async fn answer(
    cluster: &Arc<Cluster>,
    node: usize,
    call: &Call<'_>,
    permitted: bool,
    command: &AgentCommand,
    running: Option<RunningAgentCall>,
) -> Result<Reply, Refusal> {
    let Verdict { after, answer } = cluster.with_view(node, |view| {
        let scene = Scene {
            cluster,
            view,
            call,
            node,
            permitted,
        };
        verdict(&scene, command)
    });
    if !after.is_zero() {
        let worker = tokio::spawn(async move {
            tokio::time::sleep(after).await;
            drop(running);
        });
        if let Err(error) = worker.await {
            tracing::debug!(%error, "a worker did not wait for an agent");
        }
    }
    answer.map(|body| Reply::json(vec![body]))
}

fn verdict(scene: &Scene<'_>, command: &AgentCommand) -> Verdict {
    let options = &scene.cluster.options;
    let at_once = |answer| Verdict {
        after: Duration::ZERO,
        answer,
    };
    let guest = match reachable(scene, command) {
        Ok(guest) => guest,
        Err(refusal) => return at_once(Err(refusal)),
    };
    if guest.agent_is_silent() {
        return Verdict {
            after: options.agent_silence,
            answer: Err(not_running()),
        };
    }
    match guest.agent {
        Agent::Hung(takes) if command.name != "ping" && takes >= options.agent_timeout => Verdict {
            after: options.agent_timeout,
            answer: Err(timed_out(scene, guest, command)),
        },
        Agent::Hung(takes) if command.name != "ping" => Verdict {
            after: takes,
            answer: Ok(body(scene, guest, command)),
        },
        _ => at_once(Ok(body(scene, guest, command))),
    }
}

/// The guest, if there is anything to wait for: PVE checks in this order.
fn reachable<'a>(scene: &'a Scene<'_>, command: &AgentCommand) -> Result<&'a Guest, Refusal> {
    let (has_own, options) = (scene.version().has_agent_privileges(), &scene.cluster.options);
    // Nothing lets the token change a guest, as nothing should.
    let granted = scene.permitted && command.render.is_some() && (has_own || options.monitors_guests);
    if !granted {
        let object = format!("/vms/{}", scene.call.parameter("vmid").unwrap_or_default());
        let privilege = if has_own { command.privileges } else { "VM.Monitor" };
        return Err(Refusal::permission(&object, privilege));
    }
    let guest = scene.guest(GuestKind::Qemu)?;
    let Some(is_on) = guest.agent_is_on() else {
        return Err(Refusal::new(500, "No QEMU guest agent configured"));
    };
    if !guest.is_running() {
        return Err(Refusal::new(500, format!("VM {} is not running", guest.vmid)));
    }
    // Without a socket there is nobody to wait for.
    if is_on { Ok(guest) } else { Err(not_running()) }
}

fn not_running() -> Refusal {
    Refusal::new(500, "QEMU guest agent is not running")
}

fn timed_out(scene: &Scene<'_>, guest: &Guest, command: &AgentCommand) -> Refusal {
    let socket = if scene.version().names_agent_socket() {
        "qga"
    } else {
        "qmp"
    };
    let (vmid, command) = (guest.vmid, command.name);
    Refusal::new(
        500,
        format!("VM {vmid} {socket} command 'guest-{command}' failed - got timeout"),
    )
}

fn body(scene: &Scene<'_>, guest: &Guest, command: &AgentCommand) -> Bytes {
    let name = &scene.view.model.nodes[scene.node].name;
    let faults = scene.view.faults;
    let mut json = Json::new(
        faults.numbers(name, scene.call.path),
        faults.garbage_rows(name, scene.call.path),
    );
    json.begin_object();
    json.key("data");
    json.begin_object();
    json.key("result");
    command.write(scene, guest, &mut json);
    json.end_object();
    json.end_object();
    Bytes::from(json.finish())
}
