//! Uploads one shard: declare it, send the missing parts, complete it, wait for verification.

use std::collections::HashSet;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::catalog::ManifestShard;
use crate::catalog::uploads::UploadState;
use crate::cli::client::Client;
use crate::cli::output::FileProgress;
use crate::cli::pace::Pace;
use crate::cli::shards::LocalShard;
use crate::error::{Error, Kind, Result};
use crate::types::UploadId;

/// Parts of one shard that are sent at once.
const PARTS_AT_ONCE: usize = 2;
/// The exchange is asked whether it has verified a shard after so long, then after half as long again, and so on: nobody waits
/// for much longer than the exchange takes.
const FIRST_POLL: Duration = Duration::from_millis(100);
const LONGEST_POLL: Duration = Duration::from_secs(5);

#[derive(Debug, Deserialize)]
struct Upload {
    id: UploadId,
    state: UploadState,
    #[serde(default)]
    refusal: Option<String>,
    part_size_bytes: u64,
    parts: u32,
    parts_standing: Vec<u32>,
}

#[derive(Deserialize)]
struct PartUrls {
    urls: Vec<PartUrl>,
}

#[derive(Deserialize)]
struct PartUrl {
    url: String,
}

/// Sends a shard when it is its turn; when this returns, its bytes are verified and belong to the draft. The next one has its
/// turn while the exchange verifies this one.
pub(super) async fn upload(
    client: &Client,
    version_path: &str,
    (file, shard): (&LocalShard, &ManifestShard),
    (turns, pace): (&Semaphore, &Pace),
    bar: &FileProgress,
) -> Result<()> {
    let turn = turns.acquire().await;
    let declared = json!({
        "path": shard.path, "size_bytes": shard.size_bytes, "sha256": shard.sha256,
        "media_type": shard.media_type, "records": shard.records,
    });
    let path = format!("{version_path}/uploads");
    let upload: Upload = client.post(path).safe_to_repeat().json(&declared)?.send().await?;
    if upload.state == UploadState::Verified {
        bar.advance(file.size_bytes);
        bar.finish("is verified already");
        return Ok(());
    }
    if upload.state == UploadState::Open {
        send_missing_parts(client, &upload, file, pace, bar).await?;
        client.post(format!("/v1/uploads/{}/complete", upload.id)).safe_to_repeat().response().await?;
    }
    drop(turn);
    until_verified(client, &upload.id, shard, bar).await?;
    bar.finish("uploaded and verified");
    Ok(())
}

async fn send_missing_parts(
    client: &Client,
    upload: &Upload,
    file: &LocalShard,
    pace: &Pace,
    bar: &FileProgress,
) -> Result<()> {
    let stored: HashSet<u32> = upload.parts_standing.iter().copied().collect();
    for part in &stored {
        bar.advance(part_length(upload, file, *part));
    }
    let source = Arc::new(std::fs::File::open(&file.file)?);
    let mut sending = tokio::task::JoinSet::new();
    for number in (1..=upload.parts).filter(|part| !stored.contains(part)) {
        if sending.len() >= PARTS_AT_ONCE {
            joined(sending.join_next().await, bar)?;
        }
        let (client, id, source, pace) = (client.clone(), upload.id, source.clone(), pace.clone());
        let (offset, length) = (u64::from(number - 1) * upload.part_size_bytes, part_length(upload, file, number));
        sending.spawn(async move {
            let bytes = read_part(source, offset, length).await?;
            pace.take(length).await;
            match send_part(&client, id, number, &bytes).await {
                // Its link lapsed while others were in its way.
                Err(error) if error.kind == Kind::Forbidden => send_part(&client, id, number, &bytes).await,
                sent => sent,
            }
            .map(|()| length)
        });
    }
    while !sending.is_empty() {
        joined(sending.join_next().await, bar)?;
    }
    Ok(())
}

/// Sends a part to where it is asked for now: such links last for minutes, and a large shard takes longer.
async fn send_part(client: &Client, id: UploadId, number: u32, bytes: &bytes::Bytes) -> Result<()> {
    let wanted = json!({ "parts": [number] });
    let path = format!("/v1/uploads/{id}/urls");
    let mut given: PartUrls = client.post(path).safe_to_repeat().json(&wanted)?.send().await?;
    let PartUrl { url } = given.urls.pop().ok_or_else(|| Error::new(Kind::Malformed, "the server gave no link"))?;
    client.put(url).bytes(bytes.clone()).response().await.map(drop)
}

fn joined(ended: Option<Result<Result<u64>, tokio::task::JoinError>>, bar: &FileProgress) -> Result<()> {
    if let Some(ended) = ended {
        bar.advance(ended.map_err(|error| Error::internal("an upload task panicked").because(error))??);
    }
    Ok(())
}

fn part_length(upload: &Upload, file: &LocalShard, part: u32) -> u64 {
    let offset = u64::from(part.saturating_sub(1)) * upload.part_size_bytes;
    file.size_bytes.saturating_sub(offset).min(upload.part_size_bytes)
}

async fn read_part(source: Arc<std::fs::File>, offset: u64, length: u64) -> Result<bytes::Bytes> {
    let read = tokio::task::spawn_blocking(move || {
        let mut buffer = vec![0; usize::try_from(length).unwrap_or(0)];
        source.read_exact_at(&mut buffer, offset)?;
        Ok::<_, std::io::Error>(bytes::Bytes::from(buffer))
    });
    let read = read.await.map_err(|error| Error::internal("reading panicked").because(error))?;
    read.map_err(|error| Error::invalid("DIR", format!("a shard changed while it was sent: {error}")))
}

/// Waits until the exchange has read every byte back and compared it.
async fn until_verified(client: &Client, id: &UploadId, shard: &ManifestShard, bar: &FileProgress) -> Result<()> {
    let mut wait = FIRST_POLL;
    loop {
        let upload: Upload = client.get(format!("/v1/uploads/{id}")).send().await?;
        match upload.state {
            UploadState::Verified => return Ok(()),
            UploadState::Refused => {
                let why = upload.refusal.unwrap_or_else(|| "no reason was given".to_string());
                return Err(Error::new(Kind::DigestMismatch, format!("the exchange refused {}: {why}", shard.path))
                    .remedy("run the command again; the file may have changed while it was sent"));
            }
            UploadState::Open | UploadState::Verifying => tokio::time::sleep(wait).await,
        }
        if wait < LONGEST_POLL && longer(wait) == LONGEST_POLL {
            bar.waits("waits to be verified: the exchange's workers are busy, or none runs");
        }
        wait = longer(wait);
    }
}

fn longer(wait: Duration) -> Duration {
    (wait + wait / 2).min(LONGEST_POLL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_shards_at_once_that_wait_long_leave_requests_to_others() {
        let mut passed = Duration::ZERO;
        let polls = std::iter::successors(Some(FIRST_POLL), |wait| Some(longer(*wait)));
        let in_a_minute = polls.map_while(|wait| {
            passed += wait;
            (passed < Duration::from_secs(60)).then_some(wait)
        });
        assert!(in_a_minute.count() * 2 * 64 < 6_000 / 2, "a token has 6,000 requests a minute");
    }
}
