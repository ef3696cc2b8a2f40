//! A connection whose other end is heard out.
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
use hyper_util::client::legacy::connect::{Connected, Connection};

pub(super) struct HeardOut<S>(pub(super) S);

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

impl<S: Read + Unpin> Read for HeardOut<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: Write + Unpin> Write for HeardOut<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        heard_out(Pin::new(&mut self.0).poll_write(cx, bytes), bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = parts.iter().map(|part| part.len()).sum();
        heard_out(Pin::new(&mut self.0).poll_write_vectored(cx, parts), length)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0)
            .poll_flush(cx)
            .map(|flushed| flushed.or_else(|error| if is_closed(&error) { Ok(()) } else { Err(error) }))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl<S: Connection> Connection for HeardOut<S> {
    fn connected(&self) -> Connected {
        self.0.connected()
    }
}
