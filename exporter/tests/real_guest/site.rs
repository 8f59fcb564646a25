//! A node as it is in the field: PVE's API, machines, and the exporter as a program beside them.

use std::net::SocketAddr;
use std::sync::Mutex;

use pve_simulator::{GuestKind, NewGuest, Options, Simulator};
use tempfile::TempDir;

use crate::machine::Node;
use crate::support::program::{Program, command, write};

/// PVE, with one virtual machine for each real one.
pub(crate) struct Site {
    simulator: Simulator,
    directory: TempDir,
    /// Where the exporter serves, from its first start on.
    address: Mutex<Option<SocketAddr>>,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let simulator = Simulator::start(Options {
            nodes: 2,
            guests: 0,
            ..Options::default()
        });
        Self {
            simulator: simulator.await.unwrap(),
            directory: TempDir::new().unwrap(),
            address: Mutex::default(),
        }
    }

    /// Creates a machine in PVE's books, and gives its number.
    pub(crate) fn register(&self, name: &str) -> u32 {
        let guest = NewGuest {
            kind: GuestKind::Qemu,
            node: self.simulator.nodes()[0].clone(),
            name: name.to_owned(),
            running: true,
        };
        self.simulator.add_guest(guest).unwrap()
    }

    /// Starts the exporter of `node`, the first of the cluster; each time at the same address.
    pub(crate) fn exporter(&self, node: &Node) -> Program {
        let path = |name: &str| self.directory.path().join(name);
        let nodes = self.simulator.nodes();
        let fingerprints = nodes.iter().map(|node| self.simulator.fingerprint(node).unwrap());
        let config = format!(
            "[clusters.main]\nendpoints = {:?}\ntoken_id = {:?}\ntoken_file = {:?}\nfingerprints = {:?}\n\n\
             [guest_telemetry]\nenabled = true\ndirectory = {:?}\nnode = {:?}\n",
            self.simulator.endpoints(),
            self.simulator.token_id(),
            path("token"),
            fingerprints.collect::<Vec<_>>(),
            node.directory(),
            nodes[0],
        );
        write(&path("token"), &self.simulator.token_secret(), 0o600);
        write(&path("config.toml"), &config, 0o644);
        let mut address = self.address.lock().unwrap();
        let listen = address.map_or_else(|| "127.0.0.1:0".to_owned(), |address| address.to_string());
        let mut program = Program::start(command(&[
            &format!("--config.file={}", path("config.toml").display()),
            &format!("--web.listen-address={listen}"),
        ]));
        *address = Some(program.address());
        program
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address.lock().unwrap().unwrap()
    }
}
