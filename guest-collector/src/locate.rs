//! Where the port is.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// How the configuration names the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The name that the host gave it.
    Named(String),
    /// A path, whatever is there.
    At(PathBuf),
}

impl Wanted {
    /// An absolute path is a path, all else a name.
    pub fn new(text: &str) -> Self {
        if text.starts_with('/') {
            Self::At(text.into())
        } else {
            Self::Named(text.to_owned())
        }
    }

    /// The path to open, if there is such a port. `dev` and `sys` are where devtmpfs and sysfs are mounted.
    pub fn find(&self, dev: &Path, sys: &Path) -> Option<PathBuf> {
        match self {
            Self::At(path) => path.exists().then(|| path.clone()),
            Self::Named(name) => {
                let link = dev.join("virtio-ports").join(name);
                // Without udev nobody makes the link.
                if link.exists() {
                    Some(link)
                } else {
                    scan(name, dev, sys)
                }
            }
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => write!(f, "virtio-serial port {name}"),
            Self::At(path) => path.display().fmt(f),
        }
    }
}

fn scan(name: &str, dev: &Path, sys: &Path) -> Option<PathBuf> {
    let ports = fs::read_dir(sys.join("class/virtio-ports")).ok()?;
    let port = ports.flatten().find(|port| {
        let found = fs::read_to_string(port.path().join("name"));
        found.is_ok_and(|found| found.trim_end() == name)
    })?;
    Some(dev.join(port.file_name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "org.pve-telemetry.guest.0";

    fn tree(ports: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("dev/virtio-ports")).unwrap();
        for (device, name) in ports {
            let port = root.path().join("sys/class/virtio-ports").join(device);
            fs::create_dir_all(&port).unwrap();
            // A port without a name has no such file.
            if !name.is_empty() {
                fs::write(port.join("name"), format!("{name}\n")).unwrap();
            }
        }
        root
    }

    fn find(root: &tempfile::TempDir) -> Option<PathBuf> {
        let found = Wanted::new(NAME).find(&root.path().join("dev"), &root.path().join("sys"));
        found.map(|path| path.strip_prefix(root.path()).unwrap().to_owned())
    }

    #[test]
    fn a_link_of_udev_is_taken() {
        let root = tree(&[("vport1p1", NAME)]);
        fs::write(root.path().join("dev/virtio-ports").join(NAME), "").unwrap();
        assert_eq!(find(&root).unwrap(), Path::new("dev/virtio-ports").join(NAME));
    }

    #[test]
    fn without_udev_the_names_in_sysfs_are_read() {
        let root = tree(&[
            ("vport0p1", "org.qemu.guest_agent.0"),
            ("vport1p0", ""),
            ("vport2p1", NAME),
        ]);
        assert_eq!(find(&root).unwrap(), Path::new("dev/vport2p1"));
    }

    #[test]
    fn another_name_and_no_virtio_at_all_are_no_port() {
        assert_eq!(find(&tree(&[("vport0p1", "org.pve-telemetry.guest.01")])), None);
        assert_eq!(find(&tree(&[])), None);
    }

    #[test]
    fn a_path_is_taken_as_it_is() {
        let anywhere = Path::new("/nowhere");
        assert_eq!(
            Wanted::new("/dev/null").find(anywhere, anywhere).unwrap(),
            Path::new("/dev/null")
        );
        assert_eq!(Wanted::new("/dev/nul").find(anywhere, anywhere), None);
    }
}
