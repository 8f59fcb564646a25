//! Which guests should run, so that nobody is woken up for one that was stopped on purpose.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject};
use crate::subjects::guest::Guest;
use crate::subjects::guest_config::GuestConfig;

/// How long a node starts its guests after it booted, one after the other.
const STARTING_GUESTS: u64 = 15 * 60;

/// A guest that should run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedUp {
    /// `pve_cluster` and `id`.
    pub identity: Identity,
    /// Who says so.
    pub reason: Reason,
}

/// Who says that a guest should run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// HA is asked to keep it started.
    Ha,
    /// It carries the configured tag.
    Tag,
    /// Its node starts it at boot.
    Onboot,
}

impl Reason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ha => "ha",
            Self::Tag => "tag",
            Self::Onboot => "onboot",
        }
    }
}

/// Why `guest` should run, or `None` where nothing says so.
///
/// HA decides where it manages the guest: `ha_requested` is the state that it is asked for, and `ignored` is as if it were not
/// managed. While it is unknown for a guest that has a state in HA, nothing is expected. Else `tag` decides, and then `onboot`,
/// which tells only what a boot of the node does: as long as the node starts its guests, and while it is dead (`node_uptime`, in
/// seconds, is unknown), it tells nothing. What HA and the tag say holds on.
#[must_use]
pub fn expected(
    guest: &Guest,
    ha_requested: Option<&str>,
    config: Option<&GuestConfig>,
    node_uptime: Option<u64>,
    tag: Option<&str>,
) -> Option<Reason> {
    if guest.text.template == Some(true) {
        return None;
    }
    match ha_requested {
        None if guest.ha_state.is_some() => return None,
        None | Some("ignored") => {}
        Some("started") => return Some(Reason::Ha),
        Some(_) => return None,
    }
    if tag.is_some_and(|tag| guest.text.tags.split(';').any(|its| its == tag)) {
        return Some(Reason::Tag);
    }
    let onboot = config.is_some_and(|config| config.onboot == Some(true));
    let started = node_uptime.is_some_and(|uptime| uptime >= STARTING_GUESTS);
    (onboot && started).then_some(Reason::Onboot)
}

impl Subject for ExpectedUp {
    const NAME: &'static str = "guest that should run";
    const ROWS: &'static str = "one per guest that should run";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id"];
    const TABLE: &'static [Metric<Self>] = &[Metric::state(
        "pve_guest_expected_up",
        &["reason"],
        "1 for a guest that should run, by who says so: ha (HA is asked to keep it started), tag (it carries the configured tag) or onboot (its node, up for 15 minutes, starts it at boot; HA does not manage it); never for templates; /cluster/ha/status/current request_state, /cluster/resources tags, /nodes/{node}/{type}/{vmid}/pending onboot.",
        |expected| Some(expected.reason.as_str()),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GuestKind;
    use crate::subjects::guest::{Figures, GuestText};

    const LONG_UP: Option<u64> = Some(15 * 60);

    fn guest(tags: &str, template: Option<bool>) -> Guest {
        Guest {
            identity: Identity::new(&[("id", "qemu/100")]),
            kind: GuestKind::Qemu,
            vmid: 100,
            node: "pve1".into(),
            text: GuestText {
                tags: tags.into(),
                template,
                ..GuestText::default()
            },
            state: "stopped",
            lock: None,
            ha_state: None,
            figures: Figures::default(),
        }
    }

    fn config(onboot: Option<bool>) -> GuestConfig {
        GuestConfig {
            onboot,
            ..GuestConfig::unset(Identity::new(&[("id", "qemu/100")]))
        }
    }

    #[test]
    fn ha_decides_where_it_manages_the_guest() {
        let (guest, onboot) = (guest("prod", Some(false)), config(Some(true)));
        let expected = |requested| expected(&guest, requested, Some(&onboot), LONG_UP, Some("prod"));
        assert_eq!(expected(Some("started")), Some(Reason::Ha));
        assert_eq!(expected(Some("stopped")), None);
        assert_eq!(expected(Some("disabled")), None);
        assert_eq!(expected(Some("ignored")), Some(Reason::Tag));
        assert_eq!(expected(None), Some(Reason::Tag));
    }

    #[test]
    fn nothing_is_expected_while_nobody_tells_what_ha_is_asked_for() {
        let managed = Guest {
            ha_state: Some("stopped".into()),
            ..guest("prod", None)
        };
        let expected = |requested| expected(&managed, requested, Some(&config(Some(true))), LONG_UP, Some("prod"));
        assert_eq!(expected(None), None);
        assert_eq!(expected(Some("started")), Some(Reason::Ha));
    }

    #[test]
    fn a_tag_is_one_of_the_guests_tags_as_a_whole() {
        let expected = |tags, tag| expected(&guest(tags, None), None, None, None, tag);
        assert_eq!(expected("prod;web", Some("web")), Some(Reason::Tag));
        assert_eq!(expected("prod;web", Some("we")), None);
        assert_eq!(expected("prod;web", None), None);
    }

    #[test]
    fn onboot_counts_once_the_node_has_started_its_guests() {
        let expected = |onboot, uptime| expected(&guest("", None), None, Some(&config(onboot)), uptime, None);
        assert_eq!(expected(Some(true), LONG_UP), Some(Reason::Onboot));
        assert_eq!(expected(Some(true), Some(899)), None);
        assert_eq!(expected(Some(true), None), None, "the node is dead");
        assert_eq!(expected(Some(false), LONG_UP), None);
        assert_eq!(expected(None, LONG_UP), None);
    }

    #[test]
    fn a_template_never_runs() {
        let template = guest("prod", Some(true));
        let onboot = config(Some(true));
        assert_eq!(
            expected(&template, Some("started"), Some(&onboot), LONG_UP, Some("prod")),
            None
        );
    }
}
