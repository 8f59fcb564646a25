//! How far it is, for whoever waits: a bar on a terminal, now and then a line elsewhere.

use std::io::Write;
use std::time::{Duration, Instant};

const WIDTH: usize = 30;
const BETWEEN_LINES: Duration = Duration::from_secs(30);
const BETWEEN_BARS: Duration = Duration::from_millis(100);

/// Where progress is shown.
pub struct Progress<'a> {
    out: &'a mut (dyn Write + Send),
    terminal: bool,
    what: &'static str,
    total: usize,
    shown: Option<Instant>,
}

impl<'a> Progress<'a> {
    /// Shows progress on `out`.
    pub fn new(out: &'a mut (dyn Write + Send), terminal: bool) -> Self {
        Self {
            out,
            terminal,
            what: "",
            total: 0,
            shown: None,
        }
    }

    /// Says something.
    pub fn say(&mut self, text: &str) {
        drop(writeln!(self.out, "{text}"));
    }

    /// Begins something that has `total` steps.
    pub fn begin(&mut self, what: &'static str, total: usize) {
        (self.what, self.total, self.shown) = (what, total, None);
    }

    /// Says that `done` steps are done and `name` is next.
    pub fn step(&mut self, done: usize, name: &str) {
        let pause = if self.terminal { BETWEEN_BARS } else { BETWEEN_LINES };
        if self.shown.is_some_and(|shown| shown.elapsed() < pause) {
            return;
        }
        self.shown = Some(Instant::now());
        let (what, total) = (self.what, self.total);
        // Nobody is told less than they could be by an output that is gone.
        if self.terminal {
            let full = (done * WIDTH).checked_div(total).unwrap_or(WIDTH).min(WIDTH);
            let bar = "#".repeat(full) + &" ".repeat(WIDTH - full);
            drop(write!(self.out, "\r{what} [{bar}] {done}/{total} {name}\u{1b}[K"));
            drop(self.out.flush());
        } else {
            drop(writeln!(self.out, "{what}: {done} of {total}"));
        }
    }

    /// Ends what was begun.
    pub fn end(&mut self) {
        if self.terminal {
            drop(write!(self.out, "\r\u{1b}[K"));
        }
        drop(writeln!(self.out, "{}: all {}", self.what, self.total));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(terminal: bool) -> String {
        let mut out = Vec::new();
        let mut progress = Progress::new(&mut out, terminal);
        progress.begin("histories", 4);
        progress.step(1, "node/pve1");
        progress.step(2, "node/pve2");
        progress.end();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_bar_is_for_terminals() {
        assert_eq!(shown(false), "histories: 1 of 4\nhistories: all 4\n");
        let bar = shown(true);
        assert!(bar.starts_with("\rhistories [#######   ") && bar.contains("] 1/4 node/pve1"));
        assert!(bar.ends_with("\u{1b}[Khistories: all 4\n"));
    }
}
