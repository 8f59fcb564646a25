//! `pve-exporter opener`: the part of the exporter that runs as root.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use pve_exporter::config::SocketName;
use pve_exporter::telemetry::identity::Ports;
use pve_exporter::telemetry::opener::{Opener, OpenerError, user_number};

/// Where it answers, to whom, and for which sockets.
#[derive(Args)]
pub(crate) struct OpenerArguments {
    /// The socket to answer at, in a directory where nobody else may write
    #[arg(long, value_name = "PATH", default_value = "/run/pve-exporter-opener/socket")]
    socket: PathBuf,
    /// The user that the exporter runs as, by name or number; nobody else is answered
    #[arg(long, value_name = "USER", default_value = "pve-exporter")]
    user: String,
    /// Where QEMU has the sockets and the files with its processes
    #[arg(long, value_name = "DIR", default_value = "/var/run/qemu-server")]
    directory: PathBuf,
    /// The name of a guest's socket there
    #[arg(long, value_name = "NAME", default_value_t = SocketName::default())]
    name: SocketName,
}

impl OpenerArguments {
    /// Serves until a signal ends it.
    pub(crate) fn run(self) -> ExitCode {
        match self.bind() {
            Ok(opener) => opener.serve(),
            Err(error @ OpenerError::UnknownUser(_)) => crate::misconfigured(&error),
            Err(error) => crate::fail(&error),
        }
    }

    fn bind(self) -> Result<Opener, OpenerError> {
        // Without the file there are numbers only.
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let user = user_number(&self.user, &passwd)?;
        let ports = Ports {
            directory: self.directory,
            name: self.name,
        };
        let opener = Opener::bind(&self.socket, user, ports)?;
        tracing::info!(socket = %self.socket.display(), user, "opening ports of guests");
        Ok(opener)
    }
}
