//! A connection that takes turns with others, and whose other end is heard out.
//!
//! What floods us would be read by the HTTP client for as long as there is more, and nothing else would run on that
//! thread meanwhile, not even what has decided that this is enough. Here the client gets to rest after every few reads.
//!
//! Who answers before it has read the whole request and closes (a body that is too large, a service that is busy) makes
//! our writing fail while its answer waits to be read. The HTTP client would tell of the failure and never read the
//! answer. Here writing to an end that has closed leads nowhere and is no error: reading then gives what was said, and
//! after that how the connection ended.

use std::{
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use hyper::rt::{Read, ReadBufCursor, Write};

/// Reads in a row; each is of at most the 64 KiB that the client's buffer holds.
const TURN: u8 = 4;

pub(super) struct Stream<S> {
    inner: S,
    /// Reads since the last rest.
    reads: u8,
}

impl<S> Stream<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, reads: 0 }
    }
}

/// What was written, or would have been if there still were somebody to read it.
fn heard_out(result: Poll<io::Result<usize>>, length: usize) -> Poll<io::Result<usize>> {
    result.map(|written| match written {
        Err(error) if is_closed(&error) => Ok(length),
        other => other,
    })
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted)
}

impl<S: Read + Unpin> Read for Stream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        if self.reads == TURN {
            self.reads = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        self.reads = if read.is_ready() { self.reads + 1 } else { 0 };
        read
    }
}

impl<S: Write + Unpin> Write for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        heard_out(Pin::new(&mut self.inner).poll_write(cx, bytes), bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = parts.iter().map(|part| part.len()).sum();
        heard_out(Pin::new(&mut self.inner).poll_write_vectored(cx, parts), length)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner)
            .poll_flush(cx)
            .map(|flushed| flushed.or_else(|error| if is_closed(&error) { Ok(()) } else { Err(error) }))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use hyper::rt::ReadBuf;

    use super::*;

    struct Flood;

    impl Read for Flood {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, mut buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
            buffer.put_slice(b"x");
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_floods_is_rested_from_after_every_few_reads() {
        let mut stream = Stream::new(Flood);
        let mut cx = Context::from_waker(Waker::noop());
        let ready: Vec<bool> = (0..10)
            .map(|_| {
                let (mut room, stream) = ([0], Pin::new(&mut stream));
                stream.poll_read(&mut cx, ReadBuf::new(&mut room).unfilled()).is_ready()
            })
            .collect();
        assert_eq!(ready, [true, true, true, true, false, true, true, true, true, false]);
    }
}
