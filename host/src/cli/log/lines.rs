//! Lines on their way to a log that takes them slowly or not at all: whoever writes one never waits.
//!
//! They gather for a moment and are written at once: a wake-up and a system call for each would cost more than making it.

use std::{
    borrow::Cow,
    io::{self, Write},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

use crate::cli::output::is_bidirectional;

/// Bytes that wait at most. Lines beyond that are lost.
const WAITING: usize = 1 << 20;
/// How long lines gather.
const GATHER: Duration = Duration::from_millis(10);
/// At the end, a log that takes nothing is waited for no longer.
const LONGEST_END: Duration = Duration::from_secs(1);

/// Where lines are put; cheap to clone.
#[derive(Clone)]
pub(super) struct Lines(Arc<Waiting>);

struct Waiting {
    /// Held for moments, never while the log is written.
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    is_over: bool,
}

/// Dropped, it lets what waits be written, and nothing after that.
pub(in crate::cli) struct Guard {
    lines: Lines,
    /// Nothing is ever sent: it ends with the thread.
    ended: Receiver<()>,
}

/// Writes lines to `to`, by a thread of its own.
pub(super) fn start(to: impl Write + Send + 'static) -> io::Result<(Lines, Guard)> {
    let lines = Lines(Arc::new(Waiting { state: Mutex::default(), changed: Condvar::new() }));
    let (end, ended) = mpsc::channel();
    let waiting = lines.0.clone();
    thread::Builder::new().name("log".to_owned()).spawn(move || waiting.write_all(to, end))?;
    Ok((lines.clone(), Guard { lines, ended }))
}

impl Waiting {
    fn write_all(&self, mut to: impl Write, end: Sender<()>) {
        let mut lines = Vec::new();
        loop {
            let state = self.lock();
            let quiet = self.changed.wait_while(state, |state| state.lines.is_empty() && !state.is_over);
            let quiet = quiet.unwrap_or_else(PoisonError::into_inner);
            let gathered = self.changed.wait_timeout_while(quiet, GATHER, |state| !state.is_over);
            let (mut state, _) = gathered.unwrap_or_else(PoisonError::into_inner);
            let is_over = state.is_over;
            std::mem::swap(&mut lines, &mut state.lines);
            drop(state);
            // A log that can't be written is lost: it must not stop a delivery.
            let _ = to.write_all(&in_order(&lines)).and_then(|()| to.flush());
            lines.clear();
            if is_over {
                drop(end);
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without what would make a line read as what it is not; other controls are made visible where the line is.
fn in_order(lines: &[u8]) -> Cow<'_, [u8]> {
    match str::from_utf8(lines) {
        Ok(text) if !text.is_ascii() && text.contains(is_bidirectional) => {
            text.replace(is_bidirectional, "\u{fffd}").into_bytes().into()
        }
        _ => lines.into(),
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        if state.lines.is_empty() {
            self.0.changed.notify_one();
        }
        if state.lines.len() + line.len() <= WAITING {
            state.lines.extend_from_slice(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.lines.0.lock().is_over = true;
        self.lines.0.changed.notify_one();
        let _ = self.ended.recv_timeout(LONGEST_END);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    /// A log that tells what it is given, and takes no more until it is let.
    struct Slow(Sender<Vec<u8>>, Receiver<()>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).unwrap();
            self.1.recv().unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_together_in_their_order_and_who_writes_them_never_waits() {
        let (tell, told) = mpsc::channel();
        let (go, may_go) = mpsc::channel();
        let (mut lines, guard) = start(Slow(tell, may_go)).unwrap();
        lines.write_all(b"first\n").unwrap();
        assert_eq!(told.recv_timeout(DEADLINE).unwrap(), b"first\n");
        let line = vec![b'x'; 1000];
        for _ in 0..2000 {
            lines.write_all(&line).unwrap();
        }
        (0..2).for_each(|_| go.send(()).unwrap());
        let rest = told.recv_timeout(DEADLINE).unwrap();
        assert_eq!(rest.len(), WAITING / 1000 * 1000, "the others are lost");
        lines.write_all(b"last\n").unwrap();
        go.send(()).unwrap();
        drop(guard);
        assert_eq!(told.recv_timeout(DEADLINE).unwrap(), b"last\n");
    }
}
