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
        atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use hyper::rt::{Read, ReadBufCursor, Write};

use crate::clock;

/// How long a client is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// For a whole head, from its first byte; for the first one, from the connection's beginning.
    pub head: Duration,
    /// At least for as long, and for less than twice as long, a connection is kept on which nothing happens while there are
    /// many; while there are few, [`PATIENCE`] times as long.
    pub idle: Duration,
}

/// So many times `Limits::idle` is waited for who takes nobody's place.
const PATIENCE: u8 = 10;

/// A connection is in one of these states.
mod state {
    /// Bytes are there that are no whole head yet, or nothing was ever said.
    pub const HEAD: u8 = 0;
    /// A request is under way; its body has a limit of its own.
    pub const BUSY: u8 = 1;
    /// The last request was answered, and nothing has come since.
    pub const ANSWERED: u8 = 2;
    // Higher by n: the same, and that was so for n whole times of `Limits::idle`.
    /// It is to end, as others need its place.
    pub const ENDED: u8 = u8::MAX;
}

/// What is known of the talk on a connection. Shared by what the connection's one task is made of.
#[derive(Default)]
pub(super) struct Talk {
    state: AtomicU8,
    /// How many heads were whole.
    heads: AtomicU32,
    /// The number of the moment in which it began, or in which the last request was answered.
    since: AtomicU64,
    /// Of the connection's task.
    waker: AtomicWaker,
}

impl Talk {
    /// One that begins.
    pub fn since(moment: u64) -> Self {
        Self { since: AtomicU64::new(moment), ..Self::default() }
    }

    /// Since which moment the client has had nothing to wait for; none while a request is under way.
    pub fn waits_since(&self) -> Option<u64> {
        let waits = !matches!(self.state.load(Relaxed), state::BUSY | state::ENDED);
        waits.then(|| self.since.load(Relaxed))
    }

    /// Ends the connection, unless a request has just come; whether it did.
    pub fn end(&self) -> bool {
        let end = |now| (now != state::BUSY).then_some(state::ENDED);
        let ended = self.state.fetch_update(Relaxed, Relaxed, end).is_ok();
        if ended {
            self.waker.wake();
        }
        ended
    }

    /// Over when others need the place: for who does not listen to [`too_slow`] yet.
    pub async fn ended(&self) {
        poll_fn(|cx| {
            self.waker.register(cx.waker());
            if self.state.load(Relaxed) == state::ENDED { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Something came. Between requests that is the beginning of a head.
    fn heard(&self) {
        let between = |now| (state::ANSWERED..state::ENDED).contains(&now).then_some(state::HEAD);
        let _ = self.state.fetch_update(Relaxed, Relaxed, between);
    }

    /// A request is there; whether it may be served. On a connection that is to end it comes too late: it would be cut
    /// before its answer, and its client would send it again.
    pub fn asked(&self) -> bool {
        self.heads.fetch_add(1, Relaxed);
        self.state.fetch_update(Relaxed, Relaxed, |now| (now != state::ENDED).then_some(state::BUSY)).is_ok()
    }

    /// Its answer is there. What came meanwhile of a next head counts only with what follows it.
    pub fn answered(&self, moment: u64) {
        self.since.store(moment, Relaxed);
        let _ = self.state.compare_exchange(state::BUSY, state::ANSWERED, Relaxed, Relaxed);
    }
}

/// Over when the client has taken too long, or others need its place, which it then tells; `crowded`: whether there are many.
/// Must be polled whenever the connection was.
pub(super) async fn too_slow(talk: &Talk, limits: Limits, crowded: impl Fn() -> bool) -> &'static str {
    let mut alarm = pin!(clock::pause(limits.head));
    // The number of the head that the alarm is for.
    let mut for_head = Some(0);
    poll_fn(|cx| {
        if talk.state.load(Relaxed) == state::BUSY {
            return Poll::Pending;
        }
        // Before the state is read: whoever ends it afterwards wakes us.
        talk.waker.register(cx.waker());
        loop {
            let now = talk.state.load(Relaxed);
            match now {
                state::BUSY => return Poll::Pending,
                state::ENDED => return Poll::Ready("others needed its place"),
                _ => {}
            }
            let head = (now == state::HEAD).then(|| talk.heads.load(Relaxed));
            if head != for_head {
                alarm.set(clock::pause(if head.is_some() { limits.head } else { limits.idle }));
                for_head = head;
            }
            ready!(alarm.as_mut().poll(cx));
            if now == state::HEAD {
                return Poll::Ready("a request did not begin in time, or its head was not whole");
            }
            let patience = if crowded() { 1 } else { PATIENCE };
            if now - state::ANSWERED >= patience {
                return Poll::Ready("nothing was asked for a long time");
            }
            // Set anew only here, and not with every answer: that would cost each of them.
            let _ = talk.state.compare_exchange(now, now + 1, Relaxed, Relaxed);
            alarm.set(clock::pause(limits.idle));
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

    /// Long enough not to be over between two lines, on a busy machine too.
    const SHORT: Duration = Duration::from_millis(100);
    const LONG: Duration = Duration::from_hours(1);

    fn few() -> bool {
        false
    }

    #[tokio::test]
    async fn a_head_is_waited_for_shortly_and_a_kept_connection_for_long() {
        let limits = Limits { head: SHORT, idle: LONG };
        let talk = Talk::default();
        assert!(too_slow(&talk, limits, few).await.contains("head"), "nothing was ever said");
        let mut slow = pin!(too_slow(&talk, limits, few));
        // The limit for a head runs, and no longer counts, as one has come.
        assert!(slow.as_mut().now_or_never().is_none());
        talk.asked();
        talk.heard();
        clock::pause(2 * SHORT).await;
        assert!(slow.as_mut().now_or_never().is_none(), "a request may take its time");
        talk.answered(1);
        assert!(slow.as_mut().now_or_never().is_none());
        clock::pause(2 * SHORT).await;
        assert!(slow.as_mut().now_or_never().is_none(), "a connection may be kept");
        talk.heard();
        assert!(slow.await.contains("head"), "a second head");
    }

    #[tokio::test]
    async fn every_head_has_the_whole_time() {
        let talk = Talk::default();
        let mut slow = pin!(too_slow(&talk, Limits { head: SHORT, idle: LONG }, few));
        assert!(slow.as_mut().now_or_never().is_none());
        clock::pause(2 * SHORT).await;
        // The first is whole, and the next one has begun, before anybody has looked.
        talk.asked();
        talk.answered(1);
        talk.heard();
        assert!(slow.as_mut().now_or_never().is_none());
        assert!(slow.await.contains("head"));
    }

    #[tokio::test]
    async fn a_connection_on_which_nothing_happens_is_ended_at_last_and_sooner_where_there_are_many() {
        let limits = Limits { head: LONG, idle: SHORT };
        for (crowded, least, most) in [(true, 1, PATIENCE), (false, PATIENCE, u8::MAX)] {
            let talk = Talk::default();
            talk.asked();
            talk.answered(1);
            assert!(too_slow(&talk, limits, || crowded).await.contains("nothing was asked"));
            let waited = talk.state.load(Relaxed) - state::ANSWERED;
            assert!((least..most).contains(&waited), "{waited} times, crowded: {crowded}");
        }
    }

    #[tokio::test]
    async fn whoever_waits_makes_room_and_a_request_that_has_come_is_never_ended() {
        let limits = Limits { head: LONG, idle: LONG };
        let talk = Talk::since(7);
        let mut slow = pin!(too_slow(&talk, limits, few));
        assert!(slow.as_mut().now_or_never().is_none());
        assert_eq!(talk.waits_since(), Some(7));
        talk.asked();
        talk.end();
        assert!(slow.as_mut().now_or_never().is_none() && talk.waits_since().is_none());
        talk.answered(9);
        assert!(slow.as_mut().now_or_never().is_none());
        assert_eq!(talk.waits_since(), Some(9));
        talk.end();
        // What comes now comes too late.
        talk.heard();
        talk.asked();
        talk.answered(10);
        assert!(talk.waits_since().is_none());
        assert_eq!(slow.await, "others needed its place");
    }
}
