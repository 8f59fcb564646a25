//! Running a task's steps: a heading before each, stop at the first failure, one line of times at the end.

use std::time::{Duration, Instant};

use crate::workspace::Workspace;

/// One command, or the few that belong to one name.
pub(crate) struct Step {
    /// What the heading, the failure and the line of times call it.
    pub(crate) name: &'static str,
    /// The error says which command failed and how.
    pub(crate) run: fn(&Workspace) -> Result<(), String>,
}

/// Runs the steps in order. What fails has been said when this returns.
pub(crate) fn run(steps: &[Step], workspace: &Workspace) -> Result<(), ()> {
    let mut times = Vec::new();
    for step in steps {
        eprintln!("\n==> {}", step.name);
        let start = Instant::now();
        let outcome = (step.run)(workspace);
        times.push((step.name, start.elapsed()));
        if let Err(message) = outcome {
            eprintln!("\nxtask: FAILED in step '{}': {message}", step.name);
            eprintln!("xtask: {}", summary(&times));
            return Err(());
        }
    }
    eprintln!("\nxtask: passed: {}", summary(&times));
    Ok(())
}

fn summary(times: &[(&str, Duration)]) -> String {
    let mut line = String::new();
    for (name, time) in times {
        line += &format!("{name} {}, ", human(*time));
    }
    let total = times.iter().map(|(_, time)| *time).sum();
    line + &format!("total {}", human(total))
}

fn human(time: Duration) -> String {
    match time.as_secs() {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        seconds @ 10..60 => format!("{seconds} s"),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static RUNS: Cell<u32> = const { Cell::new(0) };
    }

    fn count(_: &Workspace) -> Result<(), String> {
        RUNS.set(RUNS.get() + 1);
        Ok(())
    }

    fn fail(_: &Workspace) -> Result<(), String> {
        Err("on purpose".to_owned())
    }

    #[test]
    fn a_failure_stops_the_task() {
        let steps = [
            Step {
                name: "first",
                run: count,
            },
            Step {
                name: "second",
                run: fail,
            },
            Step {
                name: "third",
                run: count,
            },
        ];
        assert_eq!(run(&steps, &Workspace::from_environment()), Err(()));
        assert_eq!(RUNS.get(), 1);
    }

    #[test]
    fn times_are_one_readable_line() {
        let times = [
            ("format", Duration::from_millis(840)),
            ("tests", Duration::from_millis(130_900)),
        ];
        assert_eq!(summary(&times), "format 0.8 s, tests 2 min 10 s, total 2 min 11 s");
    }
}
