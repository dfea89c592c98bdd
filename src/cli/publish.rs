//! `corpex publish`: a folder becomes a sealed version.
//!
//! Every step can be repeated: a draft that stands is continued, shards that are verified are not sent again,
//! parts that arrived are not either, and a version that is sealed already with these very shards, card and provenance is
//! recognised.

mod upload;

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use self::upload::upload;
use super::client::{Client, in_path, text_at};
use super::key::{KeyFile, sign};
use super::output::{Out, counted};
use super::pace::{Pace, rate};
use super::reference::DatasetRef;
use super::shards::{self, LocalShard};
use super::trust::manifest_sha256;
use crate::catalog::card::Card;
use crate::catalog::facets::Facets;
use crate::catalog::lineage::{NamedParent, Parent, ParentVersion};
use crate::catalog::{Domain, Manifest, ManifestShard, Modality, Origin, VersionState};
use crate::error::{Error, Kind, Result};
use crate::provenance::{ResourceDescriptor, StatementKind};
use crate::signing::{Envelope, IN_TOTO_PAYLOAD_TYPE, SecretKey};
use crate::terms::TermsDocument;
use crate::types::{Digest, TermsId};

#[derive(Debug, Args)]
pub(super) struct Publish {
    /// The folder: its files are the shards, its README.md is the dataset card
    #[arg(value_name = "DIR")]
    pub(super) folder: PathBuf,
    /// The dataset; it is created if it does not exist
    #[arg(long, value_name = "ORG/NAME")]
    pub(super) dataset: DatasetRef,
    /// The licence terms, as JSON (`document` in schemas/terms.v1.json); they are signed and published too
    #[arg(long, value_name = "FILE")]
    pub(super) terms: PathBuf,
    /// How the corpus came to be, as JSON (`provenance` in schemas/manifest.v1.json); by default `provenance` in the card's
    /// front matter
    #[arg(long, value_name = "FILE")]
    pub(super) provenance: Option<PathBuf>,
    /// A title for a new dataset; by default `pretty_name` in the card's front matter
    #[arg(long)]
    pub(super) title: Option<String>,
    /// text, image, audio, …; by default `modality` in the card's front matter
    #[arg(long)]
    pub(super) modality: Option<String>,
    /// manufacturing, education, finance, …; by default `domain` in the card's front matter
    #[arg(long)]
    pub(super) domain: Option<String>,
    /// A language of the corpus (BCP 47); may be repeated; by default `language` in the card's front matter
    #[arg(long = "language", value_name = "TAG")]
    pub(super) languages: Vec<String>,
    /// Shards to upload concurrently
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(super) jobs: u8,
    /// Limit the rate to this many bytes a second, all shards together: 500k, 20M, 1G
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub(super) limit_rate: Option<NonZeroU32>,
    #[command(flatten)]
    pub(super) key: KeyFile,
}

/// What a publication came to.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Published {
    pub(super) dataset: String,
    pub(super) version: i32,
    pub(super) manifest_sha256: Digest,
    pub(super) terms_id: TermsId,
    pub(super) shards: usize,
    pub(super) bytes: i64,
}

#[derive(Debug, Deserialize)]
struct Version {
    number: i32,
    state: VersionState,
}

impl Publish {
    pub(super) async fn run(self, client: &Client, out: &Out) -> Result<Published> {
        if let Some(version) = self.dataset.version {
            return Err(Error::invalid(
                "--dataset",
                format!("the exchange numbers versions itself; leave out @{version}"),
            ));
        }
        let key = self.key.read(&self.dataset.organisation)?;
        let (card, local) = shards::scan(&self.folder)?;
        let card = card.unwrap_or_else(|| format!("# {}\n", self.dataset.name));
        let mut front = Card::parse(&card)?;
        self.put_given(&mut front);
        let facets = Facets::of(&front)?;
        let provenance = self.origin(&front)?;
        let named_parents = front.parents()?;
        let terms_id = self.publish_terms(client, &key).await?;
        self.ensure_dataset(client, &serde_json::to_value(&front.front_matter)?).await?;

        let total = local.iter().map(|shard| shard.size_bytes).sum();
        let progress = out.progress("hashing", total);
        let hashing = futures_util::stream::iter(local.iter().cloned()).map(|shard| {
            let bar = progress.file(&shard.path, shard.size_bytes);
            describe(shard, bar)
        });
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut described: Vec<_> = hashing.buffered(cores).try_collect().await?;
        progress.finish();
        facets.describe(&mut described)?;
        let bytes = described.iter().map(|shard| shard.size_bytes).sum();
        let mut manifest = Manifest::new(self.dataset.full_name(), 1, Digest::of(&card), described, provenance);
        let standing = self.standing_version(client, &manifest).await?;
        if !matches!(standing, Standing::Sealed(_)) {
            manifest.parents = parents(client, named_parents).await?;
        }
        let version = match standing {
            Standing::Sealed(number) => {
                out.note(format!("version {number} is sealed already with these very shards, card and provenance"));
                number
            }
            Standing::Draft(number) => {
                out.note(format!("going on with the draft of version {number}"));
                self.drop_others(client, number, &manifest).await?;
                client
                    .put(format!("{}/card", self.dataset.version_path(number)))
                    .json(&json!({ "card": card }))?
                    .response()
                    .await?;
                self.fill_and_seal(client, out, &key, number, &mut manifest, &local).await?;
                number
            }
            Standing::None => {
                let path = format!("{}/versions", self.dataset.path());
                let made: Version = client.post(path).json(&json!({ "card": card }))?.send().await?;
                self.fill_and_seal(client, out, &key, made.number, &mut manifest, &local).await?;
                made.number
            }
        };
        let envelope: Envelope = client.get(format!("{}/manifest", self.dataset.version_path(version))).send().await?;
        let done = Published {
            dataset: self.dataset.full_name(),
            version,
            manifest_sha256: envelope.pae_sha256(),
            terms_id,
            shards: local.len(),
            bytes,
        };
        out.result(&done, || {
            format!(
                "published {}@{}: {}, {}\nmanifest {}\nterms {}",
                done.dataset,
                done.version,
                counted(done.shards, "shard"),
                counted(done.bytes, "byte"),
                done.manifest_sha256,
                done.terms_id
            )
        })?;
        Ok(done)
    }

    async fn fill_and_seal(
        &self,
        client: &Client,
        out: &Out,
        key: &SecretKey,
        version: i32,
        manifest: &mut Manifest,
        local: &[LocalShard],
    ) -> Result<()> {
        let total = local.iter().map(|shard| shard.size_bytes).sum();
        let progress = out.progress("uploading", total);
        let base = self.dataset.version_path(version);
        let jobs = usize::from(self.jobs);
        let (turns, pace) = (Arc::new(Semaphore::new(jobs)), Pace::new(self.limit_rate));
        let pairs: Vec<_> = local.iter().cloned().zip(manifest.shards.iter().cloned()).collect();
        let mut sending = futures_util::stream::iter(pairs)
            .map(|(file, shard)| {
                let (client, base, turns, pace) = (client.clone(), base.clone(), turns.clone(), pace.clone());
                let bar = progress.file(&shard.path, file.size_bytes);
                async move { upload(&client, &base, (&file, &shard), (&turns, &pace), &bar).await }
            })
            // While so many are sent, as many wait to be verified.
            .buffer_unordered(2 * jobs);
        while let Some(sent) = sending.next().await {
            sent?;
        }
        drop(sending);
        progress.finish();
        manifest.version = version;
        let envelope = key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, manifest.payload()?);
        seal(client, &base, &envelope).await
    }

    /// Takes shards out of a draft that are not in the folder any more.
    async fn drop_others(&self, client: &Client, version: i32, manifest: &Manifest) -> Result<()> {
        #[derive(Deserialize)]
        struct Shard {
            path: String,
        }
        let base = format!("{}/shards", self.dataset.version_path(version));
        let wanted: HashSet<&str> = manifest.shards.iter().map(|shard| shard.path.as_str()).collect();
        for shard in client.get_all::<Shard>(&base).await? {
            if !wanted.contains(shard.path.as_str()) {
                client.delete(format!("{base}/{}", in_path(&shard.path))).response().await?;
            }
        }
        Ok(())
    }

    /// The newest version, if this publication can go on with it.
    async fn standing_version(&self, client: &Client, manifest: &Manifest) -> Result<Standing> {
        let versions: Vec<Version> = client.get_all(&format!("{}/versions", self.dataset.path())).await?;
        let Some(newest) = versions.into_iter().max_by_key(|version| version.number) else {
            return Ok(Standing::None);
        };
        if newest.state == VersionState::Draft {
            return Ok(Standing::Draft(newest.number));
        }
        let path = format!("{}/manifest", self.dataset.version_path(newest.number));
        let envelope: Envelope = client.get(path).send().await?;
        let statement: Value = serde_json::from_slice(&envelope.payload.0)?;
        let sealed: Manifest = serde_json::from_value(statement.get("predicate").cloned().unwrap_or_default())?;
        let same = sealed.card_sha256 == manifest.card_sha256
            && sealed.shards == manifest.shards
            && sealed.provenance == manifest.provenance;
        Ok(if same { Standing::Sealed(newest.number) } else { Standing::None })
    }

    async fn publish_terms(&self, client: &Client, key: &SecretKey) -> Result<TermsId> {
        let text = std::fs::read_to_string(&self.terms)
            .map_err(|error| Error::invalid("--terms", format!("{} cannot be read: {error}", self.terms.display())))?;
        let document: Value = serde_json::from_str(&text)
            .map_err(|error| Error::invalid("--terms", format!("{} is not JSON: {error}", self.terms.display())))?;
        // Canonical JSON writes 1280.00 as 1280: CNY 12.80 would be signed, and nobody would see what was meant.
        serde_json::from_str::<TermsDocument>(&text).map_err(|error| {
            Error::invalid("--terms", format!("{} does not hold licence terms: {error}", self.terms.display())).remedy(
                "follow `document` in schemas/terms.v1.json; amounts are whole minor units: CNY 1280.00 is 128000 fen",
            )
        })?;
        let subject = ResourceDescriptor::new("terms", Digest::of(crate::signing::canonical_json(&document)?));
        let predicate = json!({ "organisation": self.dataset.organisation, "document": document });
        let envelope = sign(key, StatementKind::Terms, vec![subject], predicate)?;
        let published: Value =
            client.post("/v1/terms").safe_to_repeat().json(&json!({ "envelope": envelope }))?.send().await?;
        text_at(&published, "/id").parse()
    }

    /// Puts what was given on the command line into the place of what the card says.
    fn put_given(&self, card: &mut Card<'_>) {
        for (name, given) in [("pretty_name", &self.title), ("modality", &self.modality), ("domain", &self.domain)] {
            if let Some(given) = given {
                card.front_matter.insert(name.into(), given.as_str().into());
            }
        }
        if !self.languages.is_empty() {
            card.front_matter.insert("language".into(), self.languages.clone().into());
        }
    }

    async fn ensure_dataset(&self, client: &Client, front: &Value) -> Result<()> {
        match client.get(self.dataset.path()).response().await {
            Ok(_) => return Ok(()),
            Err(error) if error.kind == Kind::NotFound => {}
            Err(error) => return Err(error),
        }
        let front_or = |name: &str, or: &str| front[name].as_str().unwrap_or(or).to_string();
        let languages = match &front["language"] {
            Value::String(one) => json!([one]),
            Value::Array(several) => json!(several),
            _ => json!([]),
        };
        let unknown = |field: &'static str| move |error: Error| error.field(field);
        let modality: Modality = front_or("modality", "text").parse().map_err(unknown("modality"))?;
        let domain: Domain = front_or("domain", "general").parse().map_err(unknown("domain"))?;
        let dataset = json!({
            "organisation": self.dataset.organisation,
            "name": self.dataset.name,
            "title": front_or("pretty_name", &self.dataset.name),
            "modality": modality,
            "domain": domain,
            "languages": languages,
        });
        match client.post("/v1/datasets").safe_to_repeat().json(&dataset)?.response().await {
            Err(error) if error.kind == Kind::AlreadyExists => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// How the corpus came to be: from the file given, else from the card.
    fn origin(&self, card: &Card<'_>) -> Result<Origin> {
        let Some(file) = &self.provenance else {
            let no_card = !self.folder.join("README.md").exists();
            return card.origin().map_err(|error| match no_card {
                true => Error::invalid(
                    "--provenance",
                    format!(
                        "there is no README.md in {}, whose front matter could say how the corpus came to be",
                        self.folder.display()
                    ),
                )
                .remedy("write one with `provenance:` in its front matter, or give --provenance FILE"),
                false => error,
            });
        };
        let text = std::fs::read_to_string(file)
            .map_err(|error| Error::invalid("--provenance", format!("{} cannot be read: {error}", file.display())))?;
        serde_json::from_str(&text)
            .map_err(|error| Error::invalid("--provenance", format!("{}: {error}", file.display())))
    }
}

/// The parents that a card names, each version with the digest of the manifest that the exchange shows of it.
async fn parents(client: &Client, named: Vec<NamedParent>) -> Result<Vec<Parent>> {
    let mut parents = Vec::with_capacity(named.len());
    for one in named {
        parents.push(match one {
            NamedParent::Source(source) => Parent::Source(source),
            NamedParent::Version(dataset, version, stated) => {
                let manifest_sha256 = match stated {
                    Some(stated) => stated,
                    None => {
                        let shown = manifest_sha256(client, &dataset, version).await;
                        shown.map_err(|error| error.field("parents"))?
                    }
                };
                Parent::Version(ParentVersion { dataset, version, manifest_sha256 })
            }
        });
    }
    Ok(parents)
}

/// Seals a draft with its signed manifest. A version that was sealed with this very manifest is done: the answer to an earlier attempt
/// was lost.
async fn seal(client: &Client, version_path: &str, envelope: &Envelope) -> Result<()> {
    let wanted = json!({ "envelope": envelope });
    let sent = client.post(format!("{version_path}/seal")).safe_to_repeat().json(&wanted)?.response().await;
    let Err(refused) = sent else { return Ok(()) };
    if refused.kind != Kind::WrongState {
        return Err(refused);
    }
    let standing = client.get(format!("{version_path}/manifest")).send::<Envelope>().await;
    match standing.is_ok_and(|standing| standing == *envelope) {
        true => Ok(()),
        false => Err(refused),
    }
}

enum Standing {
    None,
    Draft(i32),
    Sealed(i32),
}

/// Reads a shard once and tells what the manifest will say of it.
async fn describe(shard: LocalShard, bar: super::output::FileProgress) -> Result<ManifestShard> {
    let hashed = tokio::task::spawn_blocking(move || {
        let (sha256, records) = shards::hash(&shard, |bytes| bar.advance(bytes))?;
        bar.finish("hashed");
        let size_bytes = i64::try_from(shard.size_bytes).unwrap_or(i64::MAX);
        let media_type = shards::media_type(&shard.path).to_string();
        Ok(ManifestShard::verified(shard.path, size_bytes, sha256, media_type, records))
    });
    hashed.await.map_err(|error| Error::internal("hashing panicked").because(error))?
}

#[cfg(test)]
mod tests {
    use super::super::client::tests::serving;
    use super::*;

    #[tokio::test]
    async fn a_version_that_somebody_else_sealed_is_not_taken_for_the_one_that_was_to_be() {
        let key = SecretKey::generate();
        let envelope = |text: &str| key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, text.as_bytes().to_vec());
        let answer = |status: &str, body: Value| {
            let body = body.to_string();
            format!("{status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        };
        let sealed =
            json!({ "type": "urn:corpex:problem:wrong-state", "title": "", "status": 409, "detail": "sealed" });
        for (standing, is_ours) in [("ours", true), ("another", false)] {
            let answers = [answer("409 Conflict", sealed.clone()), answer("200 OK", json!(envelope(standing)))];
            let (client, served) = serving(answers);
            let outcome = seal(&client, "/v1/datasets/poetry-house/poems/versions/1", &envelope("ours")).await;
            served.join().unwrap();
            assert_eq!(outcome.map_err(|error| error.kind), if is_ours { Ok(()) } else { Err(Kind::WrongState) });
        }
    }
}
