//! A body of known length, possibly damaged on its way.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// White space that fills up a body.
static PADDING: [u8; 65_536] = [b' '; 65_536];

/// Does something when the body has been sent or given up.
pub(super) trait AtEnd: Send + Unpin {}

/// The body of a response.
pub(super) struct ReplyBody<E> {
    pieces: VecDeque<Bytes>,
    padding: u64,
    length: u64,
    /// How many bytes may still be sent before the connection breaks.
    breaks_after: Option<u64>,
    breaking: bool,
    _end: E,
}

impl<E: AtEnd> ReplyBody<E> {
    pub(super) fn new(pieces: Vec<Bytes>, fill_to: Option<u64>, truncated: bool, end: E) -> Self {
        let size: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        let length = fill_to.map_or(size, |fill_to| fill_to.max(size));
        Self {
            pieces: pieces.into_iter().filter(|piece| !piece.is_empty()).collect(),
            padding: length - size,
            length,
            breaks_after: truncated.then_some(length / 2),
            breaking: false,
            _end: end,
        }
    }

    fn next_piece(&mut self) -> Option<Bytes> {
        if let Some(piece) = self.pieces.pop_front() {
            return Some(piece);
        }
        let size = usize::try_from(self.padding).unwrap_or(usize::MAX).min(PADDING.len());
        self.padding -= size as u64;
        (size > 0).then(|| Bytes::from_static(&PADDING).slice(..size))
    }
}

impl<E: AtEnd> Body for ReplyBody<E> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let body = &mut *self;
        match body.breaks_after {
            None => Poll::Ready(body.next_piece().map(|piece| Ok(Frame::data(piece)))),
            Some(0) if body.breaking => Poll::Ready(Some(Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "truncated by a fault",
            )))),
            Some(0) => {
                // What was sent so far has to leave the connection before the error takes it down.
                body.breaking = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Some(left) => {
                let piece = body.next_piece().unwrap_or_default();
                let size = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
                body.breaks_after = Some(left - size as u64);
                Poll::Ready(Some(Ok(Frame::data(piece.slice(..size)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.breaks_after.is_none() && self.pieces.is_empty() && self.padding == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}
