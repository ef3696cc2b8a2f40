//! Whose turn it is on a connection, and whether the client has let us wait for too long.
//!
//! hyper can only limit the head of a request and the wait before it with one and the same time, and sets a timer for
//! every request. Here a connection may be idle for much longer than a head may take, and what comes quickly sets none.

use std::{
    future::{Future, poll_fn},
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::rt::{Read, ReadBufCursor, Write};

use crate::clock;

/// How long a client is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// For a whole head, from its first byte; for the first one, from the connection's beginning.
    pub head: Duration,
    /// At least for as long, and for less than twice as long, a connection is kept on which nothing happens.
    pub idle: Duration,
}

/// A connection is in one of these states.
mod state {
    /// Bytes are there that are no whole head yet, or nothing was ever said.
    pub const HEAD: u8 = 0;
    /// A request is under way; its body has a limit of its own.
    pub const BUSY: u8 = 1;
    /// The last request was answered, and nothing has come since.
    pub const ANSWERED: u8 = 2;
    /// The same, and that was so for the whole time of `Limits::idle`.
    pub const IDLE: u8 = 3;
}

/// What is known of the talk on a connection. Shared by what the connection's one task is made of.
#[derive(Default)]
pub(super) struct Talk {
    state: AtomicU8,
    /// How many heads were whole.
    heads: AtomicU32,
}

impl Talk {
    /// Something came. Between requests that is the beginning of a head.
    fn heard(&self) {
        if self.state.load(Relaxed) >= state::ANSWERED {
            self.state.store(state::HEAD, Relaxed);
        }
    }

    /// A request is there.
    pub fn asked(&self) {
        self.heads.fetch_add(1, Relaxed);
        self.state.store(state::BUSY, Relaxed);
    }

    /// Its answer is there. What came meanwhile of a next head counts only with what follows it.
    pub fn answered(&self) {
        self.state.store(state::ANSWERED, Relaxed);
    }
}

/// Over when the client has taken too long, which it then tells. Must be polled whenever the connection was.
pub(super) async fn too_slow(talk: &Talk, limits: Limits) -> &'static str {
    let mut alarm = pin!(clock::pause(limits.head));
    // The number of the head that the alarm is for.
    let mut for_head = Some(0);
    poll_fn(|cx| {
        loop {
            let now = talk.state.load(Relaxed);
            if now == state::BUSY {
                return Poll::Pending;
            }
            let head = (now == state::HEAD).then(|| talk.heads.load(Relaxed));
            if head != for_head {
                alarm.set(clock::pause(if head.is_some() { limits.head } else { limits.idle }));
                for_head = head;
            }
            ready!(alarm.as_mut().poll(cx));
            match now {
                state::HEAD => return Poll::Ready("a request did not begin in time, or its head was not whole"),
                state::IDLE => return Poll::Ready("nothing was asked for a long time"),
                // Set anew only here, and not with every answer: that would cost each of them.
                _ => {
                    talk.state.store(state::IDLE, Relaxed);
                    alarm.set(clock::pause(limits.idle));
                }
            }
        }
    })
    .await
}

/// A connection that tells the talk what it hears.
pub(super) struct Heard<S> {
    inner: S,
    talk: Arc<Talk>,
}

impl<S> Heard<S> {
    pub fn new(inner: S, talk: Arc<Talk>) -> Self {
        Self { inner, talk }
    }
}

impl<S: Read + Unpin> Read for Heard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        // The end counts too: there is no more to wait for then.
        if read.is_ready() {
            self.talk.heard();
        }
        read
    }
}

impl<S: Write + Unpin> Write for Heard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const SHORT: Duration = Duration::from_millis(5);
    const LONG: Duration = Duration::from_hours(1);

    #[tokio::test]
    async fn a_head_is_waited_for_shortly_and_a_kept_connection_for_long() {
        let limits = Limits { head: SHORT, idle: LONG };
        let talk = Talk::default();
        assert!(too_slow(&talk, limits).await.contains("head"), "nothing was ever said");
        let mut slow = pin!(too_slow(&talk, limits));
        // The limit for a head runs, and no longer counts, as one has come.
        assert!(slow.as_mut().now_or_never().is_none());
        talk.asked();
        talk.heard();
        clock::pause(2 * SHORT).await;
        assert!(slow.as_mut().now_or_never().is_none(), "a request may take its time");
        talk.answered();
        assert!(slow.as_mut().now_or_never().is_none());
        clock::pause(2 * SHORT).await;
        assert!(slow.as_mut().now_or_never().is_none(), "a connection may be kept");
        talk.heard();
        assert!(slow.await.contains("head"), "a second head");
    }

    #[tokio::test]
    async fn every_head_has_the_whole_time() {
        let talk = Talk::default();
        let mut slow = pin!(too_slow(&talk, Limits { head: SHORT, idle: LONG }));
        assert!(slow.as_mut().now_or_never().is_none());
        clock::pause(2 * SHORT).await;
        // The first is whole, and the next one has begun, before anybody has looked.
        talk.asked();
        talk.answered();
        talk.heard();
        assert!(slow.as_mut().now_or_never().is_none());
        assert!(slow.await.contains("head"));
    }

    #[tokio::test]
    async fn a_connection_on_which_nothing_happens_is_ended_at_last() {
        let limits = Limits { head: LONG, idle: SHORT };
        let talk = Talk::default();
        talk.asked();
        talk.answered();
        assert!(too_slow(&talk, limits).await.contains("nothing was asked"));
    }
}
