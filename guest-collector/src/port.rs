//! The virtio-serial port: an open descriptor that is never waited for in any other way than edge-triggered.
//!
//! With no host attached such a port is readable and hung up at once and for ever: whoever waits for its level spins. Its edges tell
//! all that is needed. An edge comes when the host attaches, when it leaves and when it sends; it carries the state of its moment, and
//! the last change always brings one. So [`Port::is_attached`] costs nothing, and while nobody is attached nothing happens at all.

use std::fmt;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use pve_guest_protocol::EMPTY_LINE;
use rustix::event::epoll;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::time::Timespec;

/// An open port.
#[derive(Debug)]
pub struct Port {
    descriptor: OwnedFd,
    epoll: OwnedFd,
    attached: bool,
    /// The next line may not begin on a boundary, or would not get through: an empty one goes ahead of it.
    doubtful: bool,
}

/// Why a port can be used no longer: it was unplugged, or whatever else the kernel says. What helps is to open it anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone(pub Errno);

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Errno::NODEV => f.write_str("the port was unplugged"),
            errno => errno.fmt(f),
        }
    }
}

impl std::error::Error for Gone {}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The kernel took all of it.
    Whole,
    /// The kernel took nothing: the host is away, or does not read.
    Refused,
}

impl Port {
    /// Opens the port at `path`. A virtio-serial port can be open once only: the second one gets [`Errno::BUSY`].
    pub fn open(path: &Path) -> Result<Self, Errno> {
        // Without NOCTTY a terminal that stands in for the port would send its signals here.
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        Self::new(rustix::fs::open(path, flags, Mode::empty())?)
    }

    /// Takes over an open descriptor, which must be non-blocking.
    pub fn new(descriptor: OwnedFd) -> Result<Self, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        // Without OUT the attaching of a host brings no edge.
        let edges = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        epoll::add(&epoll, &descriptor, epoll::EventData::new_u64(0), edges)?;
        Ok(Self {
            descriptor,
            epoll,
            attached: false,
            // The guest may have been reset in the middle of a line.
            doubtful: true,
        })
    }

    /// Whether a host is attached, as of the last edge.
    pub fn is_attached(&self) -> bool {
        self.attached
    }

    /// Waits for an edge, without a limit if `timeout` is `None`. Returns whether there may be something to read: then
    /// [`Self::read`] until nothing is left, or no further edge tells of it.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<bool, Gone> {
        let timeout = timeout.map(|timeout| Timespec::try_from(timeout).unwrap_or(LONGEST));
        let mut events = [MaybeUninit::uninit(); 1];
        let (events, _) = match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
            // Stopped and continued, or traced.
            Err(Errno::INTR) => return Ok(false),
            result => result.map_err(Gone)?,
        };
        let Some(event) = events.first() else {
            return Ok(false);
        };
        let state = event.flags;
        if state.contains(epoll::EventFlags::ERR) {
            // No virtio-serial port says this; a terminal does when its other end is closed.
            return Err(Gone(Errno::IO));
        }
        self.attached = !state.contains(epoll::EventFlags::HUP);
        Ok(state.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP))
    }

    /// Reads what the host has sent; 0 if there is nothing more for now.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Gone> {
        loop {
            match rustix::io::read(&self.descriptor, &mut *buffer) {
                Ok(0) => {
                    // Not the end: the host is away, and may be back for the next read.
                    self.attached = false;
                    return Ok(0);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    // A host is there: perhaps another one than that whose leaving the edge told of.
                    self.attached = true;
                    return Ok(0);
                }
                result => return result.map_err(Gone),
            }
        }
    }

    /// Whether the kernel would take a line. Costs nothing unless it did not take the one before.
    pub fn is_ready(&mut self) -> Result<bool, Gone> {
        if self.doubtful {
            self.doubtful = self.send(EMPTY_LINE)? == 0;
        }
        Ok(!self.doubtful)
    }

    /// Sends a line with its newline in one go. What the kernel does not take at once is not sent later either.
    pub fn write(&mut self, line: &[u8]) -> Result<Written, Gone> {
        if !self.is_ready()? {
            return Ok(Written::Refused);
        }
        // Of lines of up to 32 KiB a virtio-serial port takes all or nothing. Of another one the rest would come too late.
        self.doubtful = self.send(line)? < line.len();
        Ok(if self.doubtful {
            Written::Refused
        } else {
            Written::Whole
        })
    }

    fn send(&self, bytes: &[u8]) -> Result<usize, Gone> {
        loop {
            match rustix::io::write(&self.descriptor, bytes) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(0),
                result => return result.map_err(Gone),
            }
        }
    }
}

const LONGEST: Timespec = Timespec {
    tv_sec: 86_400,
    tv_nsec: 0,
};
