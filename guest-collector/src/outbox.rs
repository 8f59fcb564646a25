//! The lines of one sample or answer on their way out.

use pve_guest_protocol::Credit;

use crate::port::{Gone, Port, Written};

/// What the kernel keeps beside each message; a host's buffer fills with that as well.
pub(crate) const MESSAGE_OVERHEAD: usize = 768;

/// Lines that have not been sent. Never holds more than one sample: the next one takes its place.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

/// What became of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// All are sent.
    All,
    /// Some wait until the host shows that it reads.
    Waiting,
    /// The kernel refused one; it and those behind it are dropped.
    Dropped,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
    }

    /// Where new lines go. What has not been sent is dropped.
    pub(crate) fn refill(&mut self) -> &mut Vec<u8> {
        self.clear();
        &mut self.bytes
    }

    /// How many bytes were put in.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Sends what may be sent, each line by itself.
    pub(crate) fn flush(&mut self, port: &mut Port, credit: &mut Credit) -> Result<Sent, Gone> {
        let rest = self.bytes.get(self.sent..).unwrap_or_default();
        for line in rest.split_inclusive(|byte| *byte == b'\n') {
            let cost = line.len() + MESSAGE_OVERHEAD;
            if !credit.allows(cost) {
                return Ok(Sent::Waiting);
            }
            if port.write(line)? == Written::Refused {
                self.clear();
                return Ok(Sent::Dropped);
            }
            credit.take(cost);
            self.sent += line.len();
        }
        Ok(Sent::All)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use pve_guest_protocol::MAX_UNDER_WAY_BYTES;

    use super::*;

    const LINE: usize = 10_000;

    fn filled(lines: usize) -> Outbox {
        let mut outbox = Outbox::default();
        let line = [&[b'x'; LINE - 1][..], b"\n"].concat();
        outbox.refill().extend(line.repeat(lines));
        outbox
    }

    fn port() -> (Port, UnixStream) {
        let (guest, host) = UnixStream::pair().unwrap();
        guest.set_nonblocking(true).unwrap();
        host.set_nonblocking(true).unwrap();
        (Port::new(OwnedFd::from(guest)).unwrap(), host)
    }

    fn received(host: &mut UnixStream) -> usize {
        let mut bytes = Vec::new();
        assert!(host.read_to_end(&mut bytes).is_err(), "the port is still open");
        bytes.iter().filter(|byte| **byte == b'x').count() / (LINE - 1)
    }

    #[test]
    fn a_sample_waits_where_the_credit_ends_and_goes_on_with_the_next() {
        let (mut port, mut host) = port();
        let mut credit = Credit::default();
        let mut outbox = filled(30);
        assert_eq!(outbox.flush(&mut port, &mut credit), Ok(Sent::Waiting));
        assert_eq!(received(&mut host), 0, "the host has not shown that it reads");
        let mut sent = 0;
        for _ in 0..2 {
            credit.renew();
            assert_eq!(outbox.flush(&mut port, &mut credit), Ok(Sent::Waiting));
            assert_eq!(outbox.flush(&mut port, &mut credit), Ok(Sent::Waiting));
            let now = received(&mut host);
            assert_eq!(now, MAX_UNDER_WAY_BYTES / (LINE + MESSAGE_OVERHEAD));
            sent += now;
        }
        credit.renew();
        assert_eq!(outbox.flush(&mut port, &mut credit), Ok(Sent::All));
        assert_eq!(sent + received(&mut host), 30);
        assert!(outbox.is_empty());
    }

    #[test]
    fn what_the_kernel_refuses_is_dropped_with_all_that_follows() {
        let (mut port, mut host) = port();
        let mut sent = Sent::All;
        let mut outbox = Outbox::default();
        while sent != Sent::Dropped {
            outbox = filled(5);
            let mut credit = Credit::default();
            credit.renew();
            sent = outbox.flush(&mut port, &mut credit).unwrap();
        }
        assert!(outbox.is_empty());
        received(&mut host);
        let mut credit = Credit::default();
        credit.renew();
        assert_eq!(filled(1).flush(&mut port, &mut credit), Ok(Sent::All));
        assert_eq!(received(&mut host), 1);
    }
}
