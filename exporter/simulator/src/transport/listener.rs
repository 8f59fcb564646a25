//! The API port of one node, which faults can close and open again.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::connection;
use crate::{cluster::Cluster, tls::Identity};

/// The port of a node, reserved for as long as this lives.
pub(crate) struct Listener {
    node: usize,
    acceptor: TlsAcceptor,
    address: SocketAddr,
    /// Bound and never listening: it keeps the port while the node refuses connections.
    _reservation: TcpSocket,
    listening: watch::Sender<bool>,
}

impl Listener {
    pub(crate) fn reserve(node: usize, identity: &Identity) -> io::Result<Self> {
        let reservation = socket((Ipv4Addr::LOCALHOST, 0).into())?;
        Ok(Self {
            node,
            acceptor: TlsAcceptor::from(Arc::clone(&identity.config)),
            address: reservation.local_addr()?,
            _reservation: reservation,
            listening: watch::Sender::new(false),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether the port is open right now.
    pub(crate) fn listening(&self) -> watch::Receiver<bool> {
        self.listening.subscribe()
    }

    /// Serves until it is dropped, and drops its connections with it.
    pub(crate) async fn serve(self, cluster: Arc<Cluster>) {
        let mut changes = cluster.changes();
        let mut connections = JoinSet::new();
        let mut open: Option<TcpListener> = None;
        loop {
            changes.mark_unchanged();
            if cluster.refuses(self.node) {
                open = None;
                connections.shutdown().await;
            } else if open.is_none() {
                match socket(self.address).and_then(|socket| socket.listen(1024)) {
                    Ok(listener) => open = Some(listener),
                    Err(error) => {
                        tracing::warn!(address = %self.address, %error, "cannot listen again, trying once more");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        continue;
                    }
                }
            }
            self.listening.send_replace(open.is_some());
            tokio::select! {
                accepted = accept(open.as_ref()) => match accepted {
                    Ok(stream) => self.welcome(&cluster, &mut connections, stream),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                },
                changed = changes.changed() => if changed.is_err() { return },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    fn welcome(&self, cluster: &Arc<Cluster>, connections: &mut JoinSet<()>, stream: TcpStream) {
        // A fault may have struck after the connection was accepted.
        if !cluster.refuses(self.node) {
            cluster.calls.connected(cluster.node_name(self.node));
            connections.spawn(connection::serve(
                Arc::clone(cluster),
                self.node,
                stream,
                self.acceptor.clone(),
            ));
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

/// A socket that shares its port with the reservation, bound.
fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}
