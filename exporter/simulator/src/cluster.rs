//! The running cluster that all connections share.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::watch;

use crate::{
    Fault, FaultId, Options,
    calendar::seconds,
    calls::Calls,
    clock::{Milliseconds, SimulatedTime, milliseconds},
    faults::ActiveFaults,
    model::{Events, Model, lost_nodes},
    tickets::Tickets,
    view::View,
};

/// What a rendered body depends on, besides what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    generation: u64,
    revision: u64,
    view: u64,
}

/// Bodies are rendered once per sample: what a benchmark measures must not be the simulator.
type Bodies = HashMap<(usize, String), (Stamp, Bytes)>;

#[derive(Debug)]
struct State {
    model: Model,
    events: Events,
    faults: ActiveFaults,
    bodies: Bodies,
    revision: u64,
}

/// The cluster behind all listeners.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) options: Options,
    pub(crate) time: SimulatedTime,
    pub(crate) calls: Calls,
    pub(crate) fingerprints: Vec<String>,
    names: Vec<String>,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
    token_secret: Mutex<String>,
    password: Mutex<String>,
    pub(crate) tickets: Tickets,
}

impl Cluster {
    pub(crate) fn new(options: Options, time: SimulatedTime, fingerprints: Vec<String>) -> Self {
        let model = Model::new(&options, time.start());
        let names = model.nodes.iter().map(|node| node.name.clone()).collect();
        let state = State {
            model,
            events: Events::new(&options),
            faults: ActiveFaults::default(),
            bodies: Bodies::new(),
            revision: 0,
        };
        Self {
            token_secret: Mutex::new(options.token_secret.clone()),
            password: Mutex::new(options.password.clone()),
            tickets: Tickets::default(),
            options,
            time,
            calls: Calls::default(),
            fingerprints,
            names,
            state: Mutex::new(state),
            changes: watch::Sender::new(0),
        }
    }

    /// The secret of the API token as it is now.
    pub(crate) fn token_secret(&self) -> String {
        self.token_secret.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_token_secret(&self, secret: String) {
        *self.token_secret.lock().unwrap_or_else(PoisonError::into_inner) = secret;
    }

    /// The user's password as it is now.
    pub(crate) fn password(&self) -> String {
        self.password.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_password(&self, password: String) {
        *self.password.lock().unwrap_or_else(PoisonError::into_inner) = password;
    }

    pub(crate) fn node_name(&self, node: usize) -> &str {
        &self.names[node]
    }

    pub(crate) fn node_named(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|other| other == name)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state as of now.
    fn current(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        let State {
            model, events, faults, ..
        } = &mut *state;
        events.catch_up(model, faults, self.time.start(), self.time.generation());
        let sampled = self.time.sample_at(self.time.now());
        model.pass_time(seconds(sampled), &lost_nodes(model, faults));
        state
    }

    /// Looks at the model.
    pub(crate) fn with_model<T>(&self, look: impl FnOnce(&Model) -> T) -> T {
        look(&self.current().model)
    }

    /// Looks at the faults.
    pub(crate) fn with_faults<T>(&self, look: impl FnOnce(&ActiveFaults) -> T) -> T {
        look(&self.state().faults)
    }

    /// Changes the model; everything rendered before is out of date.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Model, Milliseconds) -> T) -> T {
        let mut state = self.current();
        state.revision += 1;
        change(&mut state.model, self.time.now())
    }

    fn change_faults<T>(&self, change: impl FnOnce(&mut ActiveFaults, Milliseconds) -> T) -> T {
        let mut state = self.current();
        state.revision += 1;
        let revision = state.revision;
        let result = change(&mut state.faults, self.time.now());
        drop(state);
        self.changes.send_replace(revision);
        result
    }

    pub(crate) fn inject(&self, fault: Fault) -> FaultId {
        self.change_faults(|faults, now| faults.add(fault, now))
    }

    pub(crate) fn clear(&self, id: FaultId) -> bool {
        self.change_faults(|faults, _| faults.remove(id))
    }

    pub(crate) fn clear_all(&self) {
        self.change_faults(|faults, _| faults.clear());
    }

    /// Tells of every change of the faults.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Waits for faults to change so that the condition holds.
    pub(crate) async fn until(self: &Arc<Self>, condition: impl Fn(&Self) -> bool) {
        let mut changes = self.changes();
        while !condition(self) {
            // The sender lives in `self`.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    pub(crate) fn refuses(&self, node: usize) -> bool {
        self.with_faults(|faults| faults.refuses(self.node_name(node)))
    }

    pub(crate) fn is_black_hole(&self, node: usize) -> bool {
        self.with_faults(|faults| faults.black_hole(self.node_name(node)))
    }

    /// Looks at the cluster as a node sees it.
    pub(crate) fn with_view<T>(&self, viewer: usize, look: impl FnOnce(&View<'_>) -> T) -> T {
        look(&self.view(&self.current(), viewer))
    }

    fn view<'a>(&self, state: &'a State, viewer: usize) -> View<'a> {
        let stale_after = milliseconds(self.options.stale_after);
        View::new(
            &state.model,
            &state.faults,
            &self.time,
            viewer,
            self.options.standalone,
            stale_after,
        )
    }

    /// When a node's own pvestatd took its newest sample.
    pub(crate) fn own_sample(&self, node: usize) -> Milliseconds {
        let state = self.state();
        View::own_sample(&state.model, &state.faults, &self.time, node)
    }

    /// The body for a question to a node, rendered now or earlier in the same sample.
    pub(crate) fn body<E>(
        &self,
        node: usize,
        question: &str,
        render: impl FnOnce(&View<'_>) -> Result<Bytes, E>,
    ) -> Result<Bytes, E> {
        let mut state = self.current();
        let view = self.view(&state, node);
        let stamp = Stamp {
            generation: view.generation,
            revision: state.revision,
            view: view.fingerprint(),
        };
        let key = (node, question.to_owned());
        if let Some((_, body)) = state.bodies.get(&key).filter(|(rendered, _)| *rendered == stamp) {
            return Ok(body.clone());
        }
        let body = render(&view)?;
        // Old bodies are dropped with the sample they belong to, so that the cache stays small.
        state
            .bodies
            .retain(|_, (rendered, _)| (rendered.generation, rendered.revision) == (stamp.generation, stamp.revision));
        state.bodies.insert(key, (stamp, body.clone()));
        Ok(body)
    }
}
