//! A task's unique id, `UPID:node:PID:PSTART:STARTTIME:type:id:user:`.

/// What a UPID tells of its task. The user in it is checked and left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upid<'a> {
    /// The node that ran the task.
    pub node: &'a str,
    /// The worker's process id.
    pub pid: u32,
    /// When the worker started, in clock ticks since the node's boot.
    pub pstart: u64,
    /// When the task started, in Unix seconds of the node's clock.
    pub start: u32,
    /// The task's type, such as `vzdump`.
    pub kind: &'a str,
    /// What the task is about, as PVE encoded it: most often a guest's number; empty where it is about nothing.
    pub id: &'a str,
    /// The UPID up to and with `id`: without the user, and still unique.
    pub without_user: &'a str,
}

impl<'a> Upid<'a> {
    /// Reads a UPID of exactly the shape that PVE writes; anything else is `None`.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (without_user, user) = text.strip_suffix(':')?.rsplit_once(':')?;
        let mut parts = without_user.strip_prefix(START)?.split(':');
        let upid = Self {
            node: parts.next().filter(|node| is_node(node))?,
            pid: u32::try_from(hex(parts.next()?, 8)?).ok()?,
            pstart: parts
                .next()
                .and_then(|digits| hex(digits, 8).or_else(|| hex(digits, 9)))?,
            start: u32::try_from(hex(parts.next()?, 8)?).ok()?,
            kind: parts.next()?,
            id: parts.next()?,
            without_user,
        };
        let whole = parts.next().is_none() && !upid.kind.is_empty() && !user.is_empty();
        (whole && !text.contains(char::is_whitespace)).then_some(upid)
    }
}

/// `text` with the user cut out of each UPID in it, for logs and errors.
#[must_use]
pub fn without_users(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(before) = rest.find(START) {
        let (kept, upid) = rest.split_at(before);
        shown += kept;
        let user = user_at(upid).unwrap_or(START.len()..START.len());
        shown += upid.get(..user.start).unwrap_or_default();
        rest = upid.get(user.end..).unwrap_or_default();
    }
    shown + rest
}

/// Where the user stands in what begins as a UPID does: behind the seventh colon, as in PVE's own pattern.
fn user_at(upid: &str) -> Option<std::ops::Range<usize>> {
    let (before, _) = upid.match_indices(':').nth(6)?;
    let start = before + 1;
    let head = upid.get(..start)?;
    let tail = upid.get(start..)?;
    let ends = |c: char| c == ':' || c.is_whitespace();
    let end = start + tail.find(ends).unwrap_or(tail.len());
    let another = head.rfind(START) != Some(0);
    (!another && !head.contains(char::is_whitespace)).then_some(start..end)
}

const START: &str = "UPID:";

fn hex(digits: &str, length: usize) -> Option<u64> {
    let plain = digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

fn is_node(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    plain && !name.is_empty() && !name.starts_with('-') && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_part_is_found_and_the_user_is_not() {
        let upid = Upid::parse("UPID:pve2:000015B3:100BC614E:6A804B60:qmigrate:102:admin@pve!ci:").unwrap();
        assert_eq!(
            upid,
            Upid {
                node: "pve2",
                pid: 0x15B3,
                pstart: 0x1_00BC_614E,
                start: 0x6A80_4B60,
                kind: "qmigrate",
                id: "102",
                without_user: "UPID:pve2:000015B3:100BC614E:6A804B60:qmigrate:102",
            }
        );
        assert!(!format!("{upid:?}").contains("admin"));
    }

    #[test]
    fn the_id_may_be_empty_or_encoded() {
        for id in ["", "100", "local%3Aiso%2Fa.iso", "backup-1a2b/é"] {
            let text = format!("UPID:pve1:0000024E:000488B4:6AFFD186:download:{id}:root@pam:");
            assert_eq!(Upid::parse(&text).map(|upid| upid.id), Some(id));
        }
    }

    #[test]
    fn no_other_shape_is_taken() {
        for text in [
            "",
            "UPID:",
            "UPID:pve1:0000024E:000488B4:6AFFD186:vzdump:201:root@pam",
            "UPID:pve1:0000024E:000488B4:6AFFD186:vzdump:root@pam:",
            "UPID:pve1:0000024E:000488B4:6AFFD186:vzdump:201::",
            "UPID:pve1:0000024E:000488B4:6AFFD186::201:root@pam:",
            "UPID:pve1:0000024E:000488B4:6AFFD186:vzdump:a:b:root@pam:",
            "UPID:pve1:0000024E:000488B4:6AFFD186:vz dump:201:root@pam:",
            "UPID:pve1:+000024E:000488B4:6AFFD186:vzdump:201:root@pam:",
            "UPID:pve1:0000024:000488B4:6AFFD186:vzdump:201:root@pam:",
            "UPID:pve1:0000024E:00000488B4:6AFFD186:vzdump:201:root@pam:",
            "UPID:-pve1:0000024E:000488B4:6AFFD186:vzdump:201:root@pam:",
            "UPID::0000024E:000488B4:6AFFD186:vzdump:201:root@pam:",
            "upid:pve1:0000024E:000488B4:6AFFD186:vzdump:201:root@pam:",
        ] {
            assert_eq!(Upid::parse(text), None, "{text}");
        }
    }

    #[test]
    fn text_loses_the_users_of_its_upids() {
        const CUT: &str = "UPID:pve1:0000024E:000488B4:6AFFD186:vzdump:201:";
        for user in ["alice@corp!token", "a%20b@pve", "é@x"] {
            let upid = format!("{CUT}{user}:");
            for (text, shown) in [
                (
                    format!("/nodes/pve1/tasks/{upid}/log?limit=0"),
                    format!("/nodes/pve1/tasks/{CUT}:/log?limit=0"),
                ),
                (format!("no '{upid}' or {CUT}{user}"), format!("no '{CUT}:' or {CUT}")),
                (format!("UPID:x: {upid}"), format!("UPID:x: {CUT}:")),
                (format!("UPID:x:{upid}"), format!("UPID:x:{CUT}:")),
            ] {
                assert_eq!(without_users(&text), shown);
            }
        }
        for text in ["", "/cluster/tasks", "UPID:", "bad UPID:pve1:0:0:0:a b:c:d:e:"] {
            assert_eq!(without_users(text), text);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), parts in prop::collection::vec("[0-9A-Fé ]{0,9}", 0..10)) {
            let near = format!("UPID:{}:", parts.join(":"));
            for text in [&text, &near] {
                prop_assert!(without_users(text).len() <= text.len());
                if let Some(upid) = Upid::parse(text) {
                    prop_assert!(text.starts_with(upid.without_user));
                }
            }
        }
    }
}
