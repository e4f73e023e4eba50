//! The body of a PUT, handed over piece by piece: an object need not fit into memory to be written.

use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces on their way.
const PIECES: usize = 4;

/// The receiving end: what the HTTP client sends.
pub(super) struct PieceBody {
    pieces: mpsc::Receiver<Bytes>,
    remaining: u64,
}

/// The sending end.
pub(super) type Pieces = mpsc::Sender<Bytes>;

/// A body of `size` bytes and where its pieces go in.
pub(super) fn piece_body(size: u64) -> (Pieces, PieceBody) {
    let (sender, pieces) = mpsc::channel(PIECES);
    (sender, PieceBody { pieces, remaining: size })
}

impl http_body::Body for PieceBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match ready!(self.pieces.poll_recv(context)) {
            Some(piece) => {
                self.remaining = self.remaining.saturating_sub(piece.len() as u64);
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            // An object that is cut short must not be taken for a whole one.
            None if self.remaining > 0 => Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

/// Reads `size` bytes and hands them over; ends early without an error when nobody wants them any more. The caller's
/// own thread reads: it has nothing else to do.
pub(super) async fn feed(body: &mut dyn Read, size: u64, pieces: Pieces) -> io::Result<()> {
    let mut left = size;
    while left > 0 {
        let piece = read_piece(body, left.min(PIECE_BYTES as u64) as usize)?;
        left -= piece.len() as u64;
        if pieces.send(piece).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Exactly `length` bytes.
pub(super) fn read_piece(body: &mut dyn Read, length: usize) -> io::Result<Bytes> {
    let mut piece = vec![0; length];
    body.read_exact(&mut piece)?;
    Ok(piece.into())
}
