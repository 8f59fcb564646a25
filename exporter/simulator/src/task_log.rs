//! The logs of tasks, made when they are asked for.

mod vzdump;

use crate::{
    calendar::Seconds,
    model::{Model, Task},
};

/// The lines that a task has written up to a time.
pub(crate) fn lines(model: &Model, node: usize, task: &Task, is_running: bool, now: Seconds) -> Vec<String> {
    let end = task.end.as_ref().filter(|_| !is_running);
    let mut lines = Lines {
        lines: Vec::new(),
        until: end.map_or(now, |end| end.at),
    };
    match &task.backup {
        Some(run) => vzdump::write(model, node, task, run, &mut lines),
        None => plain(model, node, task, &mut lines),
    }
    if let Some(end) = end {
        lines.end(&end.status, task.backup.is_some());
    }
    lines.lines
}

/// Lines, each at its time.
struct Lines {
    lines: Vec<String>,
    until: Seconds,
}

impl Lines {
    fn at(&mut self, at: Seconds, line: impl Into<String>) {
        if at <= self.until {
            self.lines.push(line.into());
        }
    }

    fn end(&mut self, status: &str, is_backup: bool) {
        match status {
            "OK" => self.lines.push("TASK OK".to_owned()),
            // Nobody was there to write it.
            crate::model::UNEXPECTED => {}
            warnings if warnings.starts_with("WARNINGS: ") => self.lines.push(format!("TASK {warnings}")),
            problem => {
                if is_backup && problem == "job errors" {
                    self.lines.push(String::new());
                }
                self.lines.push(format!("TASK ERROR: {problem}"));
            }
        }
    }
}

/// A few words of the usual types of tasks.
fn plain(model: &Model, node: usize, task: &Task, lines: &mut Lines) {
    let (id, at, node) = (&task.id, task.started, &model.nodes[node].name);
    match task.kind.as_ref() {
        "aptupdate" => {
            lines.at(at, "starting apt-get update");
            lines.at(at + 1, "Hit:1 http://deb.debian.org/debian trixie InRelease");
            lines.at(at + 2, "Reading package lists...");
        }
        "qmigrate" | "vzmigrate" => {
            let when = crate::calendar::DateTime::at(model.schedule.local(at)).plain();
            lines.at(at, format!("{when} starting migration of {id} from node '{node}'"));
        }
        "qmsnapshot" => lines.at(at, format!("snapshotting virtual machine {id}")),
        "qmstop" => lines.at(at, format!("stopping VM {id}")),
        "vncshell" => lines.at(at, "starting termproxy UPID"),
        _ => {}
    }
}
