//! Tickets: what a login gets, and what requests show.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    clock::{Milliseconds, milliseconds},
    random::hash,
};

/// How long PVE takes a ticket.
const LIFETIME: Duration = Duration::from_secs(2 * 3600);

/// The letters of a signature, and how many RSA with 2,048 bits makes of them before the padding.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const SIGNATURE: u64 = 342;

/// The tickets that are good for now. Real ones are signed; these are remembered.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    issued: Mutex<Issued>,
}

#[derive(Debug, Default)]
struct Issued {
    by_ticket: HashMap<String, (String, Milliseconds)>,
    count: u64,
}

impl Tickets {
    fn lock(&self) -> MutexGuard<'_, Issued> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn issue(&self, user: &str, now: Milliseconds) -> String {
        let mut issued = self.lock();
        let ticket = issued.next(user, now);
        issued.by_ticket.insert(ticket.clone(), (user.to_owned(), now));
        ticket
    }

    /// A ticket that is good for giving a second factor only, which is to say for nothing here.
    pub(crate) fn half(&self, now: Milliseconds) -> String {
        self.lock().next("!tfa!{\"totp\"%3Atrue}", now)
    }

    /// Whether `ticket` lets `user` in.
    pub(crate) fn are_good(&self, ticket: &str, user: &str, now: Milliseconds) -> bool {
        self.user_of(ticket, now).is_some_and(|found| found == user)
    }

    /// The user whom `ticket` lets in.
    pub(crate) fn user_of(&self, ticket: &str, now: Milliseconds) -> Option<String> {
        let issued = self.lock();
        let (user, since) = issued.by_ticket.get(ticket)?;
        (now.saturating_sub(*since) < milliseconds(LIFETIME)).then(|| user.clone())
    }

    /// Forgets all, as when the key that signs them is another one.
    pub(crate) fn forget(&self) {
        self.lock().by_ticket.clear();
    }

    /// What has to stand beside the ticket where something is not only read.
    pub(crate) fn csrf_token(&self, user: &str, now: Milliseconds) -> String {
        let digest = letters(hash(&[crate::random::text(user), 43]), 43);
        format!("{:08X}:{digest}", now / 1_000)
    }

    pub(crate) fn is_csrf_token(&self, token: &str, user: &str, now: Milliseconds) -> bool {
        let issued = token
            .split(':')
            .next()
            .and_then(|time| u64::from_str_radix(time, 16).ok());
        issued.is_some_and(|issued| {
            let issued = issued * 1_000;
            now.saturating_sub(issued) < milliseconds(LIFETIME) && token == self.csrf_token(user, issued)
        })
    }
}

impl Issued {
    fn next(&mut self, data: &str, now: Milliseconds) -> String {
        self.count += 1;
        format!("PVE:{data}:{:08X}::{}==", now / 1_000, letters(self.count, SIGNATURE))
    }
}

fn letters(seed: u64, count: u64) -> String {
    (0..count)
        .map(|index| char::from(LETTERS[crate::random::index(LETTERS.len(), &[seed, index])]))
        .collect()
}
