//! How the body of a request is read: bounded in size and time, and large ones together in memory.

use std::io;

use actix_web::error::PayloadError;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::config::CLIENT_TIMEOUT;
use crate::error::{Error, Kind};

const MIB: usize = 1024 * 1024;
/// How many MiB of bodies one process holds at once, the first of each not counted.
const MOST_HELD: usize = 256;
static ROOM: Semaphore = Semaphore::const_new(MOST_HELD);

/// Why a body did not arrive whole.
pub(crate) fn incomplete(error: PayloadError) -> Error {
    match error {
        PayloadError::Io(late) if late.kind() == io::ErrorKind::TimedOut => {
            Error::new(Kind::Timeout, "the body took too long to arrive")
        }
        other => Error::new(Kind::Malformed, format!("the body did not arrive whole: {other}")),
    }
}

/// A body that was read, and the room that it takes for as long as somebody holds it.
struct Kept {
    bytes: Bytes,
    _room: Vec<SemaphorePermit<'static>>,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a body of at most `most` bytes, and waits for no piece of it longer than [`CLIENT_TIMEOUT`].
///
/// # Errors
/// `Unavailable`, when so many large bodies are held already that there is no room for it.
pub(crate) async fn read_body(
    body: &mut (impl Stream<Item = Result<Bytes, PayloadError>> + Unpin),
    most: usize,
    too_large: impl Fn() -> Error,
) -> Result<Bytes, Error> {
    read_within(&ROOM, body, most, too_large).await
}

/// The same, in a room of so many MiB for large bodies.
async fn read_within(
    room: &'static Semaphore,
    body: &mut (impl Stream<Item = Result<Bytes, PayloadError>> + Unpin),
    most: usize,
    too_large: impl Fn() -> Error,
) -> Result<Bytes, Error> {
    let crowded = |_| Error::new(Kind::Unavailable, "too many large bodies are sent at once").retry_after(2);
    let (mut bytes, mut taken) = (BytesMut::new(), Vec::new());
    loop {
        let piece = tokio::time::timeout(CLIENT_TIMEOUT, body.next()).await;
        match piece.map_err(|_| Error::new(Kind::Timeout, "the body stopped arriving"))? {
            None => return Ok(Bytes::from_owner(Kept { bytes: bytes.freeze(), _room: taken })),
            Some(Ok(piece)) if bytes.len().saturating_add(piece.len()) <= most => {
                bytes.extend_from_slice(&piece);
                while taken.len() < bytes.len() / MIB {
                    taken.push(room.try_acquire().map_err(crowded)?);
                }
            }
            Some(Ok(_)) => return Err(too_large()),
            Some(Err(error)) => return Err(incomplete(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[actix_web::test]
    async fn a_large_body_for_which_there_is_no_room_is_refused_until_others_are_done_with() {
        static SMALL: Semaphore = Semaphore::const_new(3);
        let send = async |length: usize| {
            let mut body = stream::iter([Ok::<_, PayloadError>(Bytes::from(vec![b'a'; length]))]);
            read_within(&SMALL, &mut body, 4 * MIB, || Error::invalid("body", "this is too large")).await
        };
        let large = send(3 * MIB).await.unwrap();
        let refused = send(2 * MIB).await.unwrap_err();
        assert_eq!((refused.kind, refused.seconds_to_wait()), (Kind::Unavailable, Some(2)));
        assert_eq!(send(MIB - 1).await.unwrap().len(), MIB - 1, "what is small needs no room");
        drop(large);
        assert_eq!(send(2 * MIB).await.unwrap().len(), 2 * MIB);
    }
}
