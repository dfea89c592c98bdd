//! A segment of a shard, fetched over one connection after another until it is complete.

use std::collections::VecDeque;
use std::io::SeekFrom;
use std::path::Path;

use futures_util::StreamExt as _;
use reqwest::{StatusCode, header};
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::sync::Mutex;

use crate::cli::attempts::{Attempts, may_pass};
use crate::cli::client::{Client, broken};
use crate::cli::output::FileProgress;
use crate::cli::pace::Pace;
use crate::error::{Error, Kind, Result};
use crate::types::{self, EntitlementId};

/// The size of every segment of a shard but the last.
pub(super) const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;
/// A segment of which nothing more arrives is tried this often before the command gives up: more often than a request, for a
/// download lasts long enough to see a server restart.
const ATTEMPTS: u32 = 8;

/// Which bytes of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// From 0.
    pub(super) number: u32,
    pub(super) from: u64,
    pub(super) length: u64,
}

/// The segments of a shard of this size, in order.
pub(super) fn segments(size: u64) -> Vec<Segment> {
    let starts = (0..).map(|number| (number, u64::from(number) * SEGMENT_BYTES)).take_while(|(_, from)| *from < size);
    starts.map(|(number, from)| Segment { number, from, length: SEGMENT_BYTES.min(size - from) }).collect()
}

/// The link to a shard, which every segment of it uses until it lapses.
pub(super) struct Links {
    client: Client,
    entitlement: EntitlementId,
    version: i32,
    path: String,
    current: Mutex<Option<String>>,
}

#[derive(Deserialize)]
struct Given {
    links: VecDeque<Link>,
}

#[derive(Deserialize)]
struct Link {
    url: String,
}

impl Links {
    pub(super) fn new(client: Client, entitlement: EntitlementId, version: i32, path: String) -> Self {
        Self { client, entitlement, version, path, current: Mutex::default() }
    }

    /// A link that is not this one, which was refused.
    pub(super) async fn other_than(&self, refused: Option<&str>) -> Result<String> {
        let mut current = self.current.lock().await;
        if let Some(link) = current.as_ref().filter(|link| Some(link.as_str()) != refused) {
            return Ok(link.clone());
        }
        let wanted = json!({ "paths": [self.path], "version": self.version });
        let path = format!("/v1/entitlements/{}/links", self.entitlement);
        let mut given: Given = self.client.post(path).safe_to_repeat().json(&wanted)?.send().await?;
        let link = given.links.pop_front().ok_or_else(|| Error::new(Kind::Malformed, "the server gave no link"))?;
        Ok(current.insert(link.url).clone())
    }
}

impl Segment {
    /// Writes all of it to its place in `file`.
    pub(super) async fn fetch(
        self,
        client: &Client,
        links: &Links,
        file: &Path,
        pace: &Pace,
        bar: &FileProgress,
    ) -> Result<()> {
        let mut file = tokio::fs::OpenOptions::new().write(true).open(file).await?;
        let (mut have, mut attempts, mut refused) = (0, Attempts::at_most(ATTEMPTS), None);
        while have < self.length {
            let (before, link) = (have, links.other_than(refused.as_deref()).await?);
            let ended = self.go_on(client, &link, &mut have, &mut file, pace, bar).await;
            if have > before {
                attempts.begin_anew();
            }
            if let Err(error) = ended {
                if !worth_repeating(&error) {
                    return Err(error);
                }
                refused = is_lapsed(&error).then_some(link);
                attempts.wait_after(error).await?;
            }
        }
        Ok(())
    }

    /// Writes what one connection gives of the rest, up to the segment's end or the connection's: something, or it has failed.
    async fn go_on(
        self,
        client: &Client,
        link: &str,
        have: &mut u64,
        file: &mut tokio::fs::File,
        pace: &Pace,
        bar: &FileProgress,
    ) -> Result<()> {
        let (before, from, last) = (*have, self.from + *have, self.from + self.length - 1);
        let request = client.get(link).header(header::RANGE.as_str(), format!("bytes={from}-{last}"));
        let response = request.once().await?;
        // A proxy that strips the Range header gives all of the shard, which will do where all of it is wanted.
        let is_all = response.status() == StatusCode::OK && from == 0 && response.content_length() == Some(self.length);
        if response.status() != StatusCode::PARTIAL_CONTENT && !is_all {
            return Err(Error::new(Kind::Malformed, "the server does not give the range that it was asked for"));
        }
        file.seek(SeekFrom::Start(from)).await.map_err(unwritable)?;
        let mut pieces = response.bytes_stream();
        let cut_off = loop {
            let piece = match pieces.next().await {
                None => break None,
                Some(Err(error)) => break Some(error),
                Some(Ok(piece)) => piece,
            };
            let length = types::length(&piece);
            if have.saturating_add(length) > self.length {
                let detail = format!("the server sent more than the {} bytes that it was asked for", self.length);
                return Err(Error::new(Kind::DigestMismatch, detail));
            }
            pace.take(length).await;
            file.write_all(&piece).await.map_err(unwritable)?;
            *have += length;
            bar.advance(length);
        };
        file.flush().await.map_err(unwritable)?;
        match cut_off {
            Some(error) => Err(broken(error)),
            None if *have == before => {
                Err(Error::new(Kind::Unavailable, "the server sent nothing of what it was asked for"))
            }
            None => Ok(()),
        }
    }
}

/// A fault of the disk here, which does not pass as those of a network do.
fn unwritable(why: std::io::Error) -> Error {
    Error::invalid("--to", format!("what arrives cannot be written: {why}"))
        .remedy("see that the folder has room, and run the command again: it continues where it stopped")
}

fn worth_repeating(error: &Error) -> bool {
    may_pass(error) || is_lapsed(error)
}

/// Whether it is the link that was refused: the next attempt needs another one.
fn is_lapsed(error: &Error) -> bool {
    error.kind == Kind::Forbidden
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::tests::serving;
    use crate::cli::output::Out;

    #[tokio::test]
    async fn an_answer_without_bytes_is_a_failure() {
        let (client, served) = serving(["206 Partial Content\r\nContent-Length: 0\r\n\r\n"]);
        let link = format!("{}/shard", client.server());
        let segment = Segment { number: 0, from: 0, length: 10 };
        let mut file = tokio::fs::File::from_std(tempfile::tempfile().unwrap());
        let bar = Out::silent().progress("downloading", 10).file("shard", 10);
        let got = segment.go_on(&client, &link, &mut 0, &mut file, &Pace::default(), &bar).await;
        served.join().unwrap();
        let error = got.unwrap_err();
        assert!(error.detail.contains("nothing of what it was asked for") && worth_repeating(&error), "{error}");
    }

    #[tokio::test]
    async fn a_full_disk_is_not_taken_for_a_network_that_fails() {
        let (client, served) = serving(["206 Partial Content\r\nContent-Length: 10\r\n\r\n0123456789"]);
        let link = format!("{}/shard", client.server());
        let segment = Segment { number: 0, from: 0, length: 10 };
        let mut full = tokio::fs::OpenOptions::new().write(true).open("/dev/full").await.unwrap();
        let bar = Out::silent().progress("downloading", 10).file("shard", 10);
        let got = segment.go_on(&client, &link, &mut 0, &mut full, &Pace::default(), &bar).await;
        served.join().unwrap();
        let error = got.unwrap_err();
        assert!(error.detail.contains("cannot be written") && !worth_repeating(&error), "{error}");
    }

    #[test]
    fn segments_cover_a_shard_without_gap_or_overlap() {
        let lengths = |size| segments(size).iter().map(|segment| segment.length).collect::<Vec<_>>();
        assert!(lengths(0).is_empty());
        assert_eq!(lengths(1), [1]);
        assert_eq!(lengths(SEGMENT_BYTES), [SEGMENT_BYTES]);
        assert_eq!(lengths(2 * SEGMENT_BYTES + 5), [SEGMENT_BYTES, SEGMENT_BYTES, 5]);
        let all = segments(3 * SEGMENT_BYTES + 7);
        for (one, next) in all.iter().zip(all.iter().skip(1)) {
            assert_eq!((one.number + 1, one.from + one.length), (next.number, next.from));
        }
    }
}
