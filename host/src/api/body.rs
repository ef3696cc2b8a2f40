//! The body of a request: whole, in one piece, within a size and a time.

use std::{fmt::Display, time::Duration};

use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;

use super::error::ApiError;

/// Why there is no body.
#[derive(Debug)]
pub(super) enum Unread {
    /// It has more bytes than this.
    TooLarge(usize),
    /// It was not whole within this time.
    TooSlow(Duration),
    /// It broke off, or is not what HTTP allows: in words.
    Broken(String),
}

impl From<Unread> for ApiError {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::TooLarge(most) => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                format!("the body is larger than {most} bytes"),
                "send fewer events at once, or raise `server.max_body`",
            ),
            Unread::TooSlow(time) => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "request_timeout",
                format!("the body was not whole within {time:?}"),
                "nothing was done: send it again, or raise `server.request_timeout`",
            ),
            Unread::Broken(error) => Self::new(
                StatusCode::BAD_REQUEST,
                "broken_body",
                format!("the body could not be read to its end: {error}"),
                "send it again",
            ),
        }
    }
}

/// The whole body, of up to `most` bytes and within `time`, or what is wrong with it as soon as that is certain.
pub(super) async fn whole<B>(body: B, most: usize, time: Duration) -> Result<Bytes, Unread>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    // What it says of itself, before anything of it is read.
    if usize::try_from(body.size_hint().lower()).map_or(true, |least| least > most) {
        return Err(Unread::TooLarge(most));
    }
    tokio::time::timeout(time, read(body, most)).await.unwrap_or(Err(Unread::TooSlow(time)))
}

/// A body that came in one piece, as most do, is not copied.
async fn read<B>(mut body: B, most: usize) -> Result<Bytes, Unread>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let mut only = Bytes::new();
    let mut several = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // Trailers are nobody's.
        let Ok(piece) = frame.map_err(|error| Unread::Broken(error.to_string()))?.into_data() else { continue };
        if piece.len() > most - only.len() - several.len() {
            return Err(Unread::TooLarge(most));
        }
        if only.is_empty() && several.is_empty() {
            only = piece;
        } else {
            several.extend_from_slice(&std::mem::take(&mut only));
            several.extend_from_slice(&piece);
        }
        if body.is_end_stream() {
            break;
        }
    }
    Ok(if several.is_empty() { only } else { several.freeze() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures_util::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    /// A body that comes in these pieces, then breaks off or not.
    fn body(pieces: &[&'static str], breaks: bool) -> impl Body<Data = Bytes, Error = &'static str> + Unpin {
        let mut frames: Vec<_> =
            pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))).collect();
        frames.extend(breaks.then_some(Err("it broke")));
        StreamBody::new(stream::iter(frames))
    }

    #[tokio::test]
    async fn one_piece_is_used_as_it_is_and_several_are_put_together() {
        let sent = Bytes::from_static(b"abc");
        let got = whole(Full::new(sent.clone()), 3, LONG).await.unwrap();
        assert_eq!((got.as_ptr(), got.len()), (sent.as_ptr(), 3));
        for pieces in [&["abcdef"][..], &["a", "", "bc", "def"], &["", "abcdef"]] {
            assert_eq!(whole(body(pieces, false), 6, LONG).await.unwrap(), "abcdef");
        }
        assert!(whole(body(&[], false), 0, LONG).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn too_large_too_slow_and_broken_are_told_apart() {
        for too_large in [&["abcd"][..], &["ab", "cd"]] {
            assert!(matches!(whole(body(too_large, false), 3, LONG).await, Err(Unread::TooLarge(3))));
        }
        assert!(matches!(whole(Full::new(Bytes::from_static(b"abcd")), 3, LONG).await, Err(Unread::TooLarge(3))));
        assert!(matches!(whole(body(&["ab"], true), 3, LONG).await, Err(Unread::Broken(why)) if why == "it broke"));
        let never = StreamBody::new(stream::pending::<Result<Frame<Bytes>, &str>>());
        assert!(matches!(whole(never, 3, Duration::from_millis(1)).await, Err(Unread::TooSlow(_))));
    }
}
