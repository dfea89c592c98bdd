//! A monitor: follows a log from outside, from its checkpoints, tiles and entry bundles alone (C2SP tlog-tiles).
//!
//! It remembers the last checkpoint it saw. Each new one must continue it, hold exactly the entries that are served,
//! and agree with what the witnesses saw. Where that fails, the two signed checkpoints are the evidence: they are kept.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::StatusCode;
use serde::Serialize;
use url::Url;

use super::note::{Checkpoint, Note};
use super::policy::{Policy, Witnessed};
use super::tiles::{Resource, TILE_WIDTH, Tile};
use super::tree::{self, Frontier, TileReader, Tree};
use super::witness::replace_durably;
use super::{Leaf, cosignature};
use crate::error::{Error, Kind, Result};
use crate::outgoing;
use crate::types::{Digest, Instant};

/// How long one request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// The most bytes of one answer: an entry bundle has 256 entries of at most 65,535 bytes.
const MAX_ANSWER: usize = 256 * (65_535 + 2);
/// A witness sees a checkpoint before the log publishes it: the log is asked so often before it counts as hiding entries.
const CATCH_UP: usize = 10;
const CATCH_UP_PAUSE: Duration = Duration::from_millis(500);
const HASH_BYTES: usize = 32;

/// Somebody who follows one log.
pub struct Monitor {
    http: reqwest::Client,
    log: Url,
    policy: Policy,
    state: PathBuf,
    entries: bool,
}

/// What a monitor found at one look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Observation {
    /// The log's name.
    pub origin: String,
    /// How many entries the monitor had seen before.
    pub known_size: u64,
    /// How many there are.
    pub tree_size: u64,
    /// The root over them.
    pub root: Digest,
    /// Which witnesses cosigned this checkpoint.
    pub witnessed_by: Vec<String>,
    /// With which witnesses' own last checkpoints it was compared.
    pub compared_with: Vec<String>,
    /// The new entries by kind; absent when entries are not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_entries: Option<BTreeMap<String, u64>>,
}

impl Monitor {
    /// A monitor of the log served below `log` (`…/checkpoint`, `…/tile/…`), trusted as `policy` says, that remembers in the
    /// file `state`. With `entries` it reads every entry; otherwise it believes the tiles.
    pub fn new(log: Url, policy: Policy, state: PathBuf, entries: bool) -> Result<Self> {
        let name = concat!("corpex-monitor/", env!("CARGO_PKG_VERSION"));
        let http = outgoing::client(|client| client.timeout(REQUEST_LIMIT).user_agent(name))?;
        Ok(Self { http, log, policy, state, entries })
    }

    /// Looks once: fetches the log's checkpoint, checks everything new, and remembers it.
    ///
    /// Fails as log misbehaviour when the log shrank, split or hides entries, as unavailable when something cannot be
    /// reached, as unverified when a signature or the quorum is missing.
    pub async fn look(&self) -> Result<Observation> {
        let known = self.known()?;
        let shown = self.checkpoint().await?;
        let views = self.witnesses(&shown.checkpoint.origin).await?;
        let furthest = views.iter().map(|(_, checkpoint)| checkpoint.tree_size).max().unwrap_or(0);
        let Witnessed { checkpoint, by } = self.caught_up(shown, furthest).await?;
        if let Some(other) = known.as_ref().filter(|known| known.origin != checkpoint.origin) {
            let detail = format!("the state is of the log {:?}, and this is {:?}", other.origin, checkpoint.origin);
            return Err(Error::invalid("state", detail).remedy("keep a state for each log"));
        }
        if let Some(known) = &known {
            self.continues(known, &checkpoint, "this monitor").await?;
        }
        for (name, view) in &views {
            self.continues(view, &checkpoint, &format!("the witness {name}")).await?;
        }
        let new_entries = match self.entries {
            true => Some(self.read_entries(known.as_ref(), &checkpoint).await?),
            false => None,
        };
        replace_durably(&self.state, checkpoint.note.as_bytes())?;
        Ok(Observation {
            origin: checkpoint.origin,
            known_size: known.map_or(0, |known| known.tree_size),
            tree_size: checkpoint.tree_size,
            root: checkpoint.root,
            witnessed_by: by.into_iter().map(|(name, _)| name).collect(),
            compared_with: views.into_iter().map(|(name, _)| name).collect(),
            new_entries,
        })
    }

    /// What was seen at the last look.
    fn known(&self) -> Result<Option<Checkpoint>> {
        match std::fs::read_to_string(&self.state) {
            Ok(note) => Ok(Some(self.policy.by_a_known_log(&note)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The log's checkpoint, as it shows it now.
    async fn checkpoint(&self) -> Result<Witnessed> {
        self.policy.open(&self.text("checkpoint").await?, Instant::from_unix_micros(0))
    }

    /// The log's checkpoint, once it is as far as `size`; after some waiting, whatever it is.
    async fn caught_up(&self, mut shown: Witnessed, size: u64) -> Result<Witnessed> {
        for _ in 1..CATCH_UP {
            if shown.checkpoint.tree_size >= size {
                break;
            }
            tokio::time::sleep(CATCH_UP_PAUSE).await;
            shown = self.checkpoint().await?;
        }
        Ok(shown)
    }

    /// The last checkpoint of the log of this origin that each witness with an address has cosigned.
    async fn witnesses(&self, origin: &str) -> Result<Vec<(String, Checkpoint)>> {
        let hash = Digest::of(origin.as_bytes());
        let mut views = Vec::new();
        for witness in &self.policy.witnesses {
            let Some(url) = &witness.url else { continue };
            let url = format!("{}/{hash}/checkpoint", url.as_str().trim_end_matches('/'));
            let Some(bytes) = self.get(&url).await? else { continue };
            let note = utf8(bytes, &url)?;
            let checkpoint = self.policy.by_a_known_log(&note)?;
            if checkpoint.origin != origin {
                let detail = format!("{url} shows a checkpoint of the log {:?}", checkpoint.origin);
                return Err(Error::new(Kind::Unverified, detail));
            }
            if cosignature::cosigned_at(&note.parse::<Note>()?, &witness.key)?.is_none() {
                let detail = format!("{url} shows a checkpoint without the cosignature of {}", witness.name);
                return Err(Error::new(Kind::Unverified, detail));
            }
            views.push((witness.name.clone(), checkpoint));
        }
        Ok(views)
    }

    /// Checks that the log's checkpoint continues one that `whose` saw.
    async fn continues(&self, seen: &Checkpoint, now: &Checkpoint, whose: &str) -> Result<()> {
        if now.tree_size < seen.tree_size {
            let why = format!("it shows {} entries, and {whose} has seen {}", now.tree_size, seen.tree_size);
            return Err(self.alarm(seen, now, &why));
        }
        let proof = self.over_tiles(|reader| Tree::new(reader, now.tree_size).consistency_path(seen.tree_size)).await?;
        tree::verify_consistency(seen.tree_size, seen.root, now.tree_size, now.root, &proof).map_err(|error| {
            self.alarm(seen, now, &format!("it does not continue what {whose} has seen: {}", error.detail))
        })
    }

    /// Reads the entries that are new since `known`, and checks that they give exactly the signed root.
    async fn read_entries(&self, known: Option<&Checkpoint>, now: &Checkpoint) -> Result<BTreeMap<String, u64>> {
        let size = known.map_or(0, |known| known.tree_size);
        let mut frontier = self.over_tiles(|reader| Frontier::read(reader, size)).await?;
        let mut kinds = BTreeMap::new();
        while frontier.size() < now.tree_size {
            let tile = Tile::holding(0, frontier.size(), now.tree_size)
                .ok_or_else(|| Error::internal("a tile holds each entry of the tree"))?;
            let within = usize::try_from(frontier.size() % u64::from(TILE_WIDTH)).unwrap_or(0);
            let entries = self.entry_bundle(tile).await?;
            let new = entries.get(within..).unwrap_or_default();
            for entry in new {
                let kind = serde_json::from_slice::<Leaf>(entry).map_or("unreadable", |leaf| leaf.kind.as_str());
                *kinds.entry(kind.to_string()).or_insert(0) += 1;
            }
            frontier.append(&new.iter().map(tree::leaf_hash).collect::<Vec<_>>());
        }
        match frontier.root() == now.root {
            true => Ok(kinds),
            false => {
                let why = "the entries that it serves do not give the root that it signed";
                Err(self.alarm(known.unwrap_or(now), now, why))
            }
        }
    }

    async fn entry_bundle(&self, tile: Tile) -> Result<Vec<Vec<u8>>> {
        let path = format!("tile/{}", Resource::Entries(tile));
        let bytes = self.bytes(&path).await?;
        let mut entries = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some((length, tail)) = rest.split_first_chunk() {
            let Some((entry, tail)) = tail.split_at_checked(usize::from(u16::from_be_bytes(*length))) else { break };
            entries.push(entry.to_vec());
            rest = tail;
        }
        match rest.is_empty() && entries.len() == usize::from(tile.width) {
            true => Ok(entries),
            false => Err(Error::new(Kind::Unverified, format!("{path} is not a bundle of {} entries", tile.width))),
        }
    }

    /// Runs a computation over tiles, fetching each tile that it asks for and running it again.
    async fn over_tiles<T>(&self, compute: impl Fn(&mut Fetched) -> Result<T>) -> Result<T> {
        let mut reader = Fetched::default();
        loop {
            match (compute(&mut reader), reader.wanted.take()) {
                (Err(_), Some(tile)) => {
                    let hashes = self.tile(tile).await?;
                    reader.tiles.insert(tile, hashes);
                }
                (outcome, _) => return outcome,
            }
        }
    }

    async fn tile(&self, tile: Tile) -> Result<Vec<Digest>> {
        let path = format!("tile/{}", Resource::Hashes(tile));
        let bytes = self.bytes(&path).await?;
        let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
        match rest.is_empty() && hashes.len() == usize::from(tile.width) {
            true => Ok(hashes.iter().map(|hash| Digest(*hash)).collect()),
            false => Err(Error::new(Kind::Unverified, format!("{path} does not hold {} hashes", tile.width))),
        }
    }

    async fn text(&self, path: &str) -> Result<String> {
        utf8(self.bytes(path).await?, path)
    }

    async fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        let url = format!("{}/{path}", self.log.as_str().trim_end_matches('/'));
        self.get(&url).await?.ok_or_else(|| Error::new(Kind::Unavailable, format!("{url} does not exist")))
    }

    /// The bytes at an address; `None` where there are none.
    async fn get(&self, url: &str) -> Result<Option<Vec<u8>>> {
        let failed = |error: reqwest::Error| {
            Error::new(Kind::Unavailable, format!("{url} cannot be read")).because(error.without_url())
        };
        let response = self.http.get(url).send().await.map_err(failed)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(Error::new(Kind::Unavailable, format!("{url} answers {status}"))),
        }
        let mut bytes = Vec::new();
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece.map_err(failed)?);
            if bytes.len() > MAX_ANSWER {
                return Err(Error::new(Kind::Unverified, format!("{url} is longer than anything a log serves")));
            }
        }
        Ok(Some(bytes))
    }

    /// The log misbehaved: keeps both checkpoints, which the log cannot deny.
    fn alarm(&self, seen: &Checkpoint, now: &Checkpoint, why: &str) -> Error {
        let evidence = self.state.with_extension("evidence");
        let kept = replace_durably(&evidence, format!("{}\n{}", seen.note, now.note).as_bytes());
        let error = Error::new(Kind::LogMisbehaved, format!("ALARM: the log {} is not append-only: {why}", now.origin));
        match kept {
            Ok(()) => {
                error.remedy(format!("both signed checkpoints are in {}: show them to others", evidence.display()))
            }
            Err(lost) => error.remedy("keep what was printed: the evidence could not be written").because(lost),
        }
    }
}

/// Tiles that were fetched so far, and the one that is missing.
#[derive(Default)]
struct Fetched {
    tiles: HashMap<Tile, Vec<Digest>>,
    wanted: Option<Tile>,
}

impl TileReader for Fetched {
    fn read(&mut self, tile: Tile) -> Result<Vec<Digest>> {
        self.tiles.get(&tile).cloned().ok_or_else(|| {
            self.wanted = Some(tile);
            Error::new(Kind::Unavailable, "this tile is not here yet")
        })
    }
}

fn utf8(bytes: Vec<u8>, what: &str) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| Error::new(Kind::Unverified, format!("{what} is not text")))
}
