//! Asks file systems how full they are: local ones at once, those that may hang in threads of their own.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use pve_guest_protocol::areas::FileSystemError;
use rustix::io::Errno;

/// What a file system says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of a block.
    pub block_size: u64,
    /// Blocks in all.
    pub blocks: u64,
    /// Blocks that nobody uses.
    pub blocks_free: u64,
    /// Blocks that a user without privileges may use.
    pub blocks_available: u64,
    /// Inodes in all.
    pub inodes: u64,
    /// Inodes that nobody uses.
    pub inodes_free: u64,
}

/// How a file system is asked.
pub type Ask = Arc<dyn Fn(&Path) -> Answer + Send + Sync>;

type Answer = Result<Usage, FileSystemError>;

/// The question to the kernel.
pub(super) fn statvfs() -> Ask {
    Arc::new(|path| {
        let answer = rustix::fs::statvfs(path).map_err(|error| match error {
            Errno::ACCESS | Errno::PERM => FileSystemError::Denied,
            _ => FileSystemError::Other,
        })?;
        Ok(Usage {
            block_size: answer.f_frsize,
            blocks: answer.f_blocks,
            blocks_free: answer.f_bfree,
            blocks_available: answer.f_bavail,
            inodes: answer.f_files,
            inodes_free: answer.f_ffree,
        })
    })
}

/// How long a sample waits for file systems that may hang, all of them together. One that exceeded it is not waited for again until it
/// has answered faster.
pub(super) const LIMIT: Duration = Duration::from_millis(100);
/// How long a slow file system is asked before its last answer no longer stands for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// As long as a sample counts at most, so a late answer.
const OLDEST: Duration = Duration::from_secs(300);
/// Threads there may be, the ones that hang in a dead mount among them.
const MAX_THREADS: usize = 16;
/// How long questions wait for a thread before there is one more. Most file systems answer at once, so one is enough for many.
const STEP: Duration = Duration::from_millis(4);
/// The kernel's call is all that a thread does.
const STACK: usize = 64 * 1024;

pub(super) struct Asker {
    ask: Ask,
    known: HashMap<Arc<Path>, FileSystem>,
    /// How many of them this sample waits for.
    waited_for: usize,
    pool: Arc<Pool>,
    answers: Receiver<Told>,
    answering: Sender<Told>,
}

#[derive(Default)]
struct FileSystem {
    /// Since when it owes an answer.
    asked: Option<Instant>,
    is_waited_for: bool,
    /// Its last answer took longer than a sample waits.
    is_slow: bool,
    /// The mount has gone while it was asked.
    is_gone: bool,
    /// What was not told yet, or of a slow one what it said last; and since when.
    answer: Option<(Answer, Instant)>,
}

struct Told {
    path: Arc<Path>,
    answer: Answer,
    took: Duration,
}

impl Asker {
    pub(super) fn new(ask: Ask) -> Self {
        let (answering, answers) = channel();
        Self {
            ask,
            known: HashMap::new(),
            waited_for: 0,
            pool: Arc::default(),
            answers,
            answering,
        }
    }

    /// Asks a file system that cannot hang.
    pub(super) fn direct(&self, path: &Path) -> Answer {
        (self.ask)(path)
    }

    /// Puts the question to each of these, and waits for their answers no longer than the limit.
    pub(super) fn question<'a>(&mut self, paths: impl Iterator<Item = &'a Path>, now: Instant) {
        while let Ok(told) = self.answers.try_recv() {
            self.collect(told);
        }
        for path in paths {
            self.put(path, now);
        }
        match self.known.is_empty() {
            true => self.pool.end(),
            false => self.wait(),
        }
    }

    /// The answer to the question. That of a slow file system may be the one to the question before.
    pub(super) fn answer(&mut self, path: &Path, now: Instant) -> Answer {
        let Some(known) = self.known.get_mut(path) else {
            return Err(FileSystemError::Timeout);
        };
        let answer = match known.is_slow {
            true => known.answer,
            false => known.answer.take(),
        };
        let is_patient = known.asked.is_none_or(|asked| now.duration_since(asked) < PATIENCE);
        match answer {
            Some((answer, at)) if is_patient && now.duration_since(at) < OLDEST => answer,
            _ => Err(FileSystemError::Timeout),
        }
    }

    /// Forgets all other file systems, those that are asked as soon as they answer.
    pub(super) fn keep(&mut self, kept: &HashSet<&Path>) {
        self.pool.queue().paths.retain(|path| {
            let is_kept = kept.contains(&**path);
            if !is_kept {
                self.known.remove(path);
            }
            is_kept
        });
        self.known.retain(|path, known| {
            known.is_gone = !kept.contains(&**path);
            !known.is_gone || known.asked.is_some()
        });
    }

    fn put(&mut self, path: &Path, now: Instant) {
        let path = match self.known.get_key_value(path) {
            Some((path, _)) => Arc::clone(path),
            None => path.into(),
        };
        let known = self.known.entry(Arc::clone(&path)).or_default();
        if known.asked.is_some() {
            return;
        }
        known.asked = Some(now);
        known.is_waited_for = !known.is_slow;
        self.waited_for += usize::from(known.is_waited_for);
        let is_slow = known.is_slow;
        self.pool.put(path);
        if is_slow {
            self.add_thread();
        }
    }

    fn wait(&mut self) {
        let until = Instant::now() + LIMIT;
        let mut step = Instant::now() + STEP;
        if self.pool.is_stuck() {
            self.add_thread();
        }
        while self.waited_for > 0 {
            let now = Instant::now();
            if now >= until {
                break;
            }
            if now >= step {
                self.add_thread();
                step = now + STEP;
            }
            let next = match self.pool.wants_a_thread() {
                true => step.min(until),
                false => until,
            };
            if let Ok(told) = self.answers.recv_timeout(next.saturating_duration_since(now)) {
                self.collect(told);
            }
        }
        if self.waited_for > 0 {
            self.known.values_mut().for_each(|known| known.is_waited_for = false);
            self.waited_for = 0;
        }
    }

    /// Has questions that no thread is free for answered by one more, if there may be more.
    fn add_thread(&self) {
        if !self.pool.lets_in() {
            return;
        }
        let (ask, pool, answering) = (Arc::clone(&self.ask), Arc::clone(&self.pool), self.answering.clone());
        let run = move || {
            while let Some(path) = pool.next() {
                let asked = Instant::now();
                let answer = ask(&path);
                let took = asked.elapsed();
                // Before the answer: the next question is for this thread.
                pool.queue().free += 1;
                if answering.send(Told { path, answer, took }).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("file-system".into()).stack_size(STACK);
        if thread.spawn(run).is_err() {
            self.pool.queue().leave();
        }
    }

    fn collect(&mut self, told: Told) {
        let Some(known) = self.known.get_mut(&told.path) else {
            return;
        };
        if known.is_waited_for {
            self.waited_for -= 1;
        }
        if known.is_gone {
            self.known.remove(&told.path);
            return;
        }
        *known = FileSystem {
            is_slow: told.took > LIMIT,
            answer: known.asked.map(|asked| (told.answer, asked + told.took)),
            ..FileSystem::default()
        };
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.pool.end();
    }
}

/// The questions that no thread has taken yet, and the threads.
#[derive(Default)]
struct Pool {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    paths: VecDeque<Arc<Path>>,
    threads: usize,
    /// How many of them have no question: at most one that waits, and those that start.
    free: usize,
    is_ended: bool,
}

impl Queue {
    /// Whether one more thread would answer more.
    fn wants_a_thread(&self) -> bool {
        self.threads < MAX_THREADS && self.paths.len() > self.free
    }

    fn leave(&mut self) {
        self.threads -= 1;
        self.free -= 1;
    }
}

impl Pool {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, path: Arc<Path>) {
        let mut queue = self.queue();
        queue.is_ended = false;
        queue.paths.push_back(path);
        // With more in the queue the thread is awake already.
        if queue.free > 0 && queue.paths.len() == 1 {
            self.changed.notify_one();
        }
    }

    /// Counts a thread that is about to start, if one is wanted.
    fn lets_in(&self) -> bool {
        let mut queue = self.queue();
        let is_wanted = queue.wants_a_thread();
        queue.threads += usize::from(is_wanted);
        queue.free += usize::from(is_wanted);
        is_wanted
    }

    fn wants_a_thread(&self) -> bool {
        self.queue().wants_a_thread()
    }

    /// Whether all threads are busy, as far as is known for ever.
    fn is_stuck(&self) -> bool {
        self.queue().free == 0
    }

    /// Lets the thread that waits end.
    fn end(&self) {
        let mut queue = self.queue();
        queue.is_ended = true;
        if queue.free > 0 {
            self.changed.notify_one();
        }
    }

    /// The next question for a free thread, or `None` when it shall end: one that waits is enough.
    fn next(&self) -> Option<Arc<Path>> {
        let mut queue = self.queue();
        loop {
            if let Some(path) = queue.paths.pop_front() {
                queue.free -= 1;
                return Some(path);
            }
            if queue.free > 1 || queue.is_ended {
                queue.leave();
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: Usage = Usage {
        block_size: 1,
        blocks: 10,
        blocks_free: 5,
        blocks_available: 4,
        inodes: 3,
        inodes_free: 2,
    };

    /// A file system that answers when it is told what.
    fn told() -> (Sender<Answer>, Asker) {
        let (tell, told) = channel::<Answer>();
        let told = Mutex::new(told);
        let ask: Ask = Arc::new(move |_| told.lock().unwrap().recv().unwrap_or(Err(FileSystemError::Other)));
        (tell, Asker::new(ask))
    }

    /// What a sample says of the file system.
    fn sample(asker: &mut Asker, now: Instant) -> Answer {
        let path = Path::new("/srv");
        asker.question([path].into_iter(), now);
        asker.answer(path, now)
    }

    /// Takes in the answer that comes next, as one that took so long.
    fn collect(asker: &mut Asker, took: Duration) {
        let told = asker.answers.recv_timeout(Duration::from_secs(20)).unwrap();
        asker.collect(Told { took, ..told });
    }

    fn usage(blocks: u64) -> Answer {
        Ok(Usage { blocks, ..USAGE })
    }

    const TIMEOUT: Answer = Err(FileSystemError::Timeout);

    #[test]
    fn a_late_answer_is_told_in_the_next_sample() {
        let (tell, mut asker) = told();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(sample(&mut asker, at(0)), TIMEOUT);
        for sampled in 1..4 {
            tell.send(usage(sampled)).unwrap();
            collect(&mut asker, 2 * LIMIT);
            assert_eq!(sample(&mut asker, at(10 * sampled)), usage(sampled));
        }
        // For a request of the host between two samples; but not for long.
        assert_eq!(sample(&mut asker, at(31)), usage(3));
        assert_eq!(sample(&mut asker, at(40)), TIMEOUT);
    }

    #[test]
    fn a_late_answer_counts_for_five_minutes() {
        let (tell, mut asker) = told();
        let start = Instant::now();
        assert_eq!(sample(&mut asker, start), TIMEOUT);
        tell.send(usage(1)).unwrap();
        collect(&mut asker, 2 * LIMIT);
        assert_eq!(sample(&mut asker, start + Duration::from_secs(3600)), TIMEOUT);
    }

    #[test]
    fn only_a_fast_file_system_is_waited_for() {
        let (tell, mut asker) = told();
        let mut answered = |took| {
            asker.put(Path::new("/srv"), Instant::now());
            let waited_for = asker.waited_for;
            asker.add_thread();
            tell.send(usage(1)).unwrap();
            collect(&mut asker, took);
            waited_for
        };
        assert_eq!([2 * LIMIT, LIMIT / 2, 2 * LIMIT].map(&mut answered), [1, 0, 1]);
    }

    #[test]
    fn a_fast_answer_is_told_once() {
        let (tell, mut asker) = told();
        let (path, now) = (Path::new("/srv"), Instant::now());
        asker.put(path, now);
        asker.add_thread();
        tell.send(usage(1)).unwrap();
        collect(&mut asker, Duration::ZERO);
        assert_eq!(asker.answer(path, now), usage(1));
        assert_eq!(asker.answer(path, now), TIMEOUT);
    }
}
