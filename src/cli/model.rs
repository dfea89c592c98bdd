//! `corpex model`: a lab declares which versions a model was trained on, and signs the declaration.

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Client, items, text_at};
use super::key::KeyFile;
use super::licence::{self, Entitlement};
use super::organisation::own_organisation;
use super::output::{Out, counted};
use super::parse_word;
use super::reference::DatasetRef;
use super::shards;
use super::trust::manifest_sha256;
use crate::error::{Error, Kind, Result};
use crate::models::{NamedModel, Training, TrainingItem};
use crate::terms::Use;
use crate::types::Digest;

#[derive(Debug, Args)]
pub(super) struct Model {
    #[command(subcommand)]
    command: ModelCommand,
}

#[derive(Debug, Subcommand)]
enum ModelCommand {
    /// Declare which versions a model was trained on, in a statement signed by the lab
    Declare(Declare),
    /// List the models that your organisations declared, and those trained on what they published
    List(List),
}

#[derive(Debug, Args)]
struct Declare {
    /// The model's name
    #[arg(long)]
    name: String,
    /// The model's version
    #[arg(long = "version", value_name = "VERSION")]
    edition: String,
    /// The file of its weights, or that file's SHA-256; a model card if the weights are many files
    #[arg(long, value_name = "FILE | SHA256")]
    weights: String,
    /// A version that it was trained on; may be repeated
    #[arg(long = "on", value_name = "ORG/NAME@VERSION", required = true)]
    versions: Vec<DatasetRef>,
    /// The use that was made of them, which their contracts must permit
    #[arg(long = "use", value_name = "KIND", default_value = "pretrain", value_parser = parse_word::<Use>)]
    kind: Use,
    /// The first day of the training (YYYY-MM-DD)
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// The last day of the training (YYYY-MM-DD)
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// The lab; your organisation if you belong to only one
    #[arg(long, value_name = "HANDLE")]
    organisation: Option<String>,
    #[command(flatten)]
    key: KeyFile,
}

#[derive(Debug, Args)]
struct List {
    /// Only those of this lab
    #[arg(long, value_name = "HANDLE")]
    organisation: Option<String>,
    /// Only those trained on this dataset, or on this version of it
    #[arg(long = "on", value_name = "ORG/NAME[@VERSION]")]
    dataset: Option<DatasetRef>,
}

impl Model {
    pub(super) async fn run(self, client: &Client, out: &Out) -> Result<()> {
        match self.command {
            ModelCommand::Declare(declare) => declare.run(client, out).await,
            ModelCommand::List(list) => list.run(client, out).await,
        }
    }
}

impl Declare {
    async fn run(self, client: &Client, out: &Out) -> Result<()> {
        let organisation = own_organisation(client, self.organisation.as_deref()).await?;
        let key = self.key.read(&organisation)?;
        let sha256 = digest(&self.weights)?;
        let held = licence::all(client).await?;
        let mut trained_on = Vec::with_capacity(self.versions.len());
        for dataset in &self.versions {
            trained_on.push(item(client, &organisation, &held, dataset, self.kind).await?);
        }
        let training = Training {
            organisation,
            model: NamedModel { name: self.name, version: self.edition, sha256 },
            r#use: self.kind,
            trained_on,
            trained_from: self.from,
            trained_to: self.to,
        };
        let envelope = training.statement()?.sign(&key)?;
        let sent = client.post("/v1/models").safe_to_repeat().json(&json!({ "envelope": envelope }))?;
        let declared: Value = sent.send().await?;
        out.result(&declared, || {
            let model = &training.model;
            let on = counted(training.trained_on.len(), "version");
            format!(
                "declared {} {} ({}), {} on {on}: {}",
                model.name,
                model.version,
                model.sha256,
                training.r#use,
                text_at(&declared, "/id")
            )
        })
    }
}

/// The digest that was given, or that of the file that was.
fn digest(weights: &str) -> Result<Digest> {
    let path = Path::new(weights);
    if path.is_file() {
        return Ok(shards::digest_of(path, |_| {})?.0);
    }
    weights.parse().map_err(|_| Error::invalid("--weights", format!("{weights:?} is neither a file nor a SHA-256")))
}

/// A version with the digest of its manifest, and the lab's newest licence that permits the use.
async fn item(
    client: &Client,
    lab: &str,
    held: &[Entitlement],
    dataset: &DatasetRef,
    kind: Use,
) -> Result<TrainingItem> {
    let number = dataset.version.ok_or_else(|| {
        Error::invalid("--on", format!("{dataset} is not one version")).remedy(format!("name it, as in {dataset}@1"))
    })?;
    let mut entitlement = None;
    if dataset.organisation != lab {
        for licence in held.iter().filter(|one| one.organisation == lab && one.covers(dataset, number)) {
            let order: Value = client.get(format!("/v1/orders/{}", licence.order_id)).send().await?;
            if text_at(&order, "/use") == kind.as_str() {
                entitlement = Some(licence.id);
            }
        }
        if entitlement.is_none() {
            return Err(Error::new(Kind::NotEntitled, format!("{lab} has no licence of {dataset} to {kind}"))
                .field("--on")
                .remedy(format!("buy one: corpex buy {dataset} --kind {kind} --use \"what you will do with it\"")));
        }
    }
    let shown = manifest_sha256(client, &dataset.full_name(), number).await;
    let manifest_sha256 = shown.map_err(|error| error.field("--on"))?;
    Ok(TrainingItem { dataset: dataset.full_name(), version: number, manifest_sha256, entitlement })
}

impl List {
    async fn run(self, client: &Client, out: &Out) -> Result<()> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.organisation.iter().map(|handle| ("organisation", handle)));
        if let Some(dataset) = &self.dataset {
            query.append_pair("dataset", &dataset.full_name());
            query.extend_pairs(dataset.version.map(|version| ("version", version.to_string())));
        }
        let models: Vec<Value> = client.get_all(&format!("/v1/models?{}", query.finish())).await?;
        let listed = json!({ "items": models });
        out.result(&listed, || match items(&listed) {
            [] => "no model was declared that you may know of".to_string(),
            some => some.iter().map(line).collect::<Vec<_>>().join("\n"),
        })
    }
}

fn line(model: &Value) -> String {
    let text = |name: &str| text_at(model, &format!("/{name}"));
    let name = [text("name"), text("version")].join(" ");
    format!("{}  {}  {}  {}", text("id"), text("organisation"), name.trim_end(), text("use")).trim_end().to_string()
}
