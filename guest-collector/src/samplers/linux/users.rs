//! Who is logged in, in numbers: the sessions of logind, or else the records of utmp.

use std::collections::HashSet;
use std::path::PathBuf;

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::Users;

use super::Roots;
use super::source::Reading;
use super::text::lines;

/// Bytes of a `struct utmp` of glibc: where 32-bit programs never ran, its times have 64 bits.
const RECORD: usize = if cfg!(target_arch = "aarch64") { 400 } else { 384 };
/// `ut_type` of a user's session.
const USER_PROCESS: [u8; 2] = 7_i16.to_ne_bytes();

pub(super) struct Sessions {
    logind: PathBuf,
    utmp: PathBuf,
}

impl Sessions {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            logind: roots.run.join("systemd/sessions"),
            utmp: roots.run.join("utmp"),
        }
    }

    pub(super) fn sample(&mut self, reading: &mut Reading, areas: &mut Areas) {
        areas.users = self
            .of_logind(reading)
            .or_else(|| reading.once(self.utmp.clone()).map(of_utmp));
    }

    fn of_logind(&self, reading: &mut Reading) -> Option<Users> {
        let mut sessions = 0;
        let mut users = HashSet::new();
        for entry in std::fs::read_dir(&self.logind).ok()?.flatten() {
            // Beside each file stands a pipe, which must not be opened.
            if entry.file_type().is_ok_and(|kind| kind.is_file())
                && let Some(user) = reading.once(entry.path()).and_then(user_of_session)
            {
                sessions += 1;
                users.insert(user.to_owned());
            }
        }
        Some(Users {
            sessions,
            users: u64::try_from(users.len()).ok(),
        })
    }
}

/// The user's number, if this is a session of a user that has not ended.
fn user_of_session(contents: &[u8]) -> Option<&[u8]> {
    let value = |key: &[u8]| lines(contents).find_map(|line| line.strip_prefix(key));
    let is_user = matches!(value(b"CLASS="), Some(b"user" | b"user-early" | b"user-incomplete"));
    let is_closing = value(b"STATE=") == Some(b"closing");
    value(b"UID=").filter(|_| is_user && !is_closing)
}

fn of_utmp(contents: &[u8]) -> Users {
    let sessions = contents
        .chunks_exact(RECORD)
        .filter(|record| record.starts_with(&USER_PROCESS));
    let names: Vec<_> = sessions.filter_map(|record| record.get(44..76)).collect();
    let users: HashSet<_> = names.iter().collect();
    Users {
        sessions: names.len() as u64,
        users: u64::try_from(users.len()).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_of_users_are_counted() {
        let of = |text: &str| user_of_session(text.as_bytes()).map(<[u8]>::to_vec);
        assert_eq!(
            of("# written by logind\nUID=1000\nUSER=ann\nSTATE=active\nCLASS=user\n"),
            Some(b"1000".to_vec())
        );
        assert_eq!(of("UID=1000\nSTATE=closing\nCLASS=user\n"), None);
        assert_eq!(of("UID=0\nSTATE=active\nCLASS=manager\n"), None);
        assert_eq!(of("UID=0\nSTATE=active\nCLASS=us"), None);
    }

    #[test]
    fn records_of_other_kinds_and_cut_ones_are_none() {
        let record = |kind: i16, name: &str| {
            let mut record = vec![0; RECORD];
            record[..2].copy_from_slice(&kind.to_ne_bytes());
            record[44..44 + name.len()].copy_from_slice(name.as_bytes());
            record
        };
        let mut file = [
            record(7, "ann"),
            record(2, "reboot"),
            record(7, "ann"),
            record(7, "bob"),
            record(8, "old"),
        ]
        .concat();
        file.extend_from_slice(&record(7, "cut")[..100]);
        assert_eq!(
            of_utmp(&file),
            Users {
                sessions: 3,
                users: Some(2)
            }
        );
    }
}
