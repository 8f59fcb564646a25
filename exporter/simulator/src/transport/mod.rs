//! HTTPS as pveproxy speaks it: listeners, connections and bodies.

mod body;
mod connection;
mod listener;

pub(crate) use listener::Listener;
