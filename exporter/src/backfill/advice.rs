//! What to do with the files: the commands, and what Prometheus needs.

use std::path::Path;

use crate::backfill::months::{moment, written};
use crate::backfill::state::State;

const DAY: u64 = 86_400;

/// Prometheus itself makes no block longer than this.
const LONGEST_BLOCK_HOURS: u64 = 31 * 24;

/// Prometheus has the samples of the last hours in its head, which no block may overlap.
pub const HEAD: u64 = 3 * 3_600;

/// The text for a directory, as of `now`.
#[must_use]
pub fn advice(state: &State, directory: &Path, now: u64) -> String {
    let files: Vec<_> = state.months.iter().filter(|(_, month)| month.samples > 0).collect();
    let samples: u64 = files.iter().map(|(_, month)| month.samples).sum();
    let Some((first, _)) = files.first() else {
        return format!("{}\nPVE keeps no history of this time.\n", head(0, 0, state, directory));
    };
    let mut text = head(files.len(), samples, state, directory);
    let began = moment(&format!("{first}-01"), now).map_or(state.since, |month| month.max(state.since));
    let days = now.saturating_sub(began) / DAY + 2;
    // As long as those that Prometheus itself makes: a tenth of the retention.
    let hours = (days * 24 / 10).clamp(2, LONGEST_BLOCK_HOURS);
    let quoted = quoted(directory);
    text += &format!(
        "\nMake blocks of them, with the promtool of your Prometheus:\n\n    \
         for file in {quoted}/*.om; do promtool tsdb create-blocks-from openmetrics --max-block-duration={hours}h \
         \"$file\" {quoted}/blocks || break; done\n\n\
         Then, in this order:\n\n\
         1. Let Prometheus keep at least {days} days (--storage.tsdb.retention.time={days}d) and restart it; else it removes the\n   \
            blocks as soon as it sees them. A limit by size must leave room for them as well.\n\
         2. Give the blocks to the user that Prometheus runs as, and move them into its data directory\n   \
            (--storage.tsdb.path). It finds them within a minute or two, without a restart.\n\n\
         Prometheus 2.38 and older need --storage.tsdb.allow-overlapping-blocks where blocks overlap with their own.\n"
    );
    if now.saturating_sub(state.until) < HEAD {
        text += &format!(
            "The files reach into the last 3 hours. Move the blocks when prometheus_tsdb_head_min_time_seconds of Prometheus is later\n\
             than {}: what it has in memory beside a block, of whatever job, it loses with its next start.\n",
            state.until
        );
    }
    let labels = &state.asked.labels;
    let target: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    text += &format!(
        "If Prometheus has live samples that are older than the end of the files, end where they begin with --until:\n\n    \
         min_over_time(timestamp(up{{{}}})[400d:1m]) - 60\n",
        target.join(",")
    );
    text += &unlabelled(labels);
    text += "\nSamples are 1 minute to 7 days apart, and Prometheus looks back 5 minutes. Ask with a range as long as the distance, or\n\
             graphs stay empty: avg_over_time(pve_node_cpu_usage_ratio[6h]).\n";
    text
}

fn head(files: usize, samples: u64, state: &State, directory: &Path) -> String {
    let (since, until) = (written(state.since), written(state.until));
    let directory = directory.display();
    format!("{files} files with {samples} samples from {since} to {until} are in {directory}.\n")
}

/// What to say about labels that the samples should have and have not; nothing as a rule.
#[must_use]
pub fn unlabelled(labels: &[(String, String)]) -> String {
    let missing: Vec<_> = ["job", "instance"]
        .into_iter()
        .filter(|name| labels.iter().all(|(label, _)| label != name))
        .collect();
    if missing.is_empty() {
        return String::new();
    }
    format!(
        "\nThe samples have no {}. To be one with the live series they need the labels that Prometheus gives the target:\n\
         see up in Prometheus, and begin again in an empty directory with --label name=value.\n",
        missing.join(" and no ")
    )
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+' | ',' | '=' | '@');
    if path.chars().all(plain) {
        path
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backfill::state::{Asked, Written};

    fn state(since: u64, until: u64, labels: &[&str]) -> State {
        let asked = Asked {
            labels: labels.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect(),
            ..Asked::default()
        };
        let mut state = State::new(asked, since, until, Vec::new(), Vec::new());
        let month = |samples| Written { objects: 1, samples };
        state.months.insert("2026-06".to_owned(), month(0));
        state.months.insert("2026-07".to_owned(), month(7));
        state
    }

    #[test]
    fn commands_can_be_pasted() {
        let now = 1_786_800_000;
        let text = advice(
            &state(now - 365 * DAY, now - HEAD, &["job", "instance"]),
            Path::new("/a dir/it's"),
            now,
        );
        let command = "    for file in '/a dir/it'\\''s'/*.om; do promtool tsdb create-blocks-from openmetrics --max-block-duration=112h \"$file\" '/a dir/it'\\''s'/blocks || break; done\n";
        assert!(text.contains(command), "{text}");
        assert!(!text.contains("have no") && !text.contains("last 3 hours"));
        assert!(text.contains("timestamp(up{job=\"x\",instance=\"x\"})["), "{text}");
        // The first file begins on the 1st of July, 45 days before.
        assert!(text.contains("--storage.tsdb.retention.time=47d"), "{text}");
        let text = advice(&state(now - 10 * DAY, now, &["job"]), Path::new("/out"), now);
        assert!(
            text.contains("--max-block-duration=28h \"$file\" /out/blocks "),
            "{text}"
        );
        assert!(text.contains("have no instance") && text.contains("last 3 hours"));
    }
}
