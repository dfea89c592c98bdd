//! `corpex key`: an organisation's signing keys. The private half never leaves this computer. The exchange's own keys are
//! [`super::exchange_keys`].

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Global;
use super::client::{Client, items, text_at};
use super::exchange_keys::ExchangeKeyArgs;
use super::login::config_dir;
use super::output::Out;
use crate::error::{Error, Result};
use crate::provenance::{ResourceDescriptor, Statement, StatementKind};
use crate::signing::{Envelope, IN_TOTO_PAYLOAD_TYPE, SecretKey};
use crate::{identity, keys};

#[derive(Debug, Args)]
pub(super) struct Key {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key pair for an organisation, or show the existing one
    Generate(Whose),
    /// Register the public half with the exchange, proving possession of the private half
    Register(Whose),
    /// Replace the key by a new one: register that with the signatures of both, revoke the old one, and set its file aside
    #[command(
        after_help = "The old key's file stays beside the new one, under its key id. Cut off anywhere, the same \
        command goes on where it stopped. If others may have held the old key, revoke it with `corpex key revoke \
        --compromised-at` first: a revoked key cannot vouch for the new one, which is then registered on its own."
    )]
    Rotate(Whose),
    /// List the keys that an organisation has registered
    List {
        /// The organisation's handle
        organisation: String,
    },
    /// Revoke a registered key: nothing signed with it is accepted from now on
    Revoke {
        /// The organisation's handle
        organisation: String,
        /// The id of the registration (key_…)
        key: String,
        /// Since when others may have had the private half (RFC 3339): at most 30 days back, except for compliance staff
        #[arg(long, value_name = "TIME")]
        compromised_at: Option<String>,
    },
    /// Rotate the exchange's own keys, directly on its database and keys directory
    Exchange(Box<ExchangeKeyArgs>),
}

#[derive(Debug, Args)]
struct Whose {
    /// The organisation's handle
    organisation: String,
    #[command(flatten)]
    file: KeyFile,
}

/// Where an organisation's private key lies.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct KeyFile {
    /// The private key's file; by default keys/ORGANISATION.key in the configuration directory
    #[arg(long, env = "CORPEX_KEY", value_name = "FILE")]
    pub(super) key: Option<PathBuf>,
}

impl KeyFile {
    fn path(&self, organisation: &str) -> Result<PathBuf> {
        identity::check_handle("ORGANISATION", organisation)?;
        match &self.key {
            Some(path) => Ok(path.clone()),
            None => Ok(config_dir()?.join("keys").join(format!("{organisation}.key"))),
        }
    }

    /// Reads the organisation's key.
    pub(super) fn read(&self, organisation: &str) -> Result<SecretKey> {
        let path = self.path(organisation)?;
        if !path.exists() {
            return Err(Error::invalid("--key", format!("there is no key at {}", path.display()))
                .remedy(format!("make one with `corpex key generate {organisation}` and register it")));
        }
        keys::load_or_create(&path)
    }

    /// Reads the organisation's key, making it first if there is none.
    pub(super) fn read_or_make(&self, organisation: &str) -> Result<(SecretKey, PathBuf)> {
        let path = self.path(organisation)?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok((keys::load_or_create(&path)?, path))
    }
}

impl Key {
    pub(super) async fn run(self, global: &Global, out: &Out) -> Result<()> {
        match self.command {
            KeyCommand::Generate(whose) => {
                let (key, path) = whose.file.read_or_make(&whose.organisation)?;
                let id = key.public().key_id();
                let document = json!({ "key_id": id, "public_key": key.public(), "file": path });
                out.result(&document, || {
                    format!("key {id}\nprivate half in {}: back it up, show it to nobody", path.display())
                })
            }
            KeyCommand::Register(whose) => {
                let key = whose.file.read(&whose.organisation)?;
                let registered = register(&global.client()?, &whose.organisation, &key, None).await?;
                out.result(&registered, || {
                    format!("registered key {} for {}", key.public().key_id(), whose.organisation)
                })
            }
            KeyCommand::Rotate(whose) => {
                let rotated = rotate(&global.client()?, &whose).await?;
                out.result(&rotated, || {
                    let text = |name: &str| text_at(&rotated, &format!("/{name}")).to_string();
                    let (new, old, file) = (text("key_id"), text("replaced"), text("replaced_file"));
                    format!(
                        "key {new} signs for {} from now on\nkey {old} is revoked; its private half is in {file}",
                        whose.organisation
                    )
                })
            }
            KeyCommand::List { organisation } => {
                let client = global.any_client()?;
                let keys: Vec<Value> = client.get_all(&format!("/v1/organisations/{organisation}/keys")).await?;
                let keys = json!({ "items": keys });
                out.result(&keys, || listing(&keys))
            }
            KeyCommand::Revoke { organisation, key, compromised_at } => {
                let revoked = revoke(&global.client()?, &organisation, &key, compromised_at).await?;
                out.result(&revoked, || format!("revoked {key}"))
            }
            KeyCommand::Exchange(args) => args.run(out).await,
        }
    }
}

/// Registers a key: the statement is signed with the key itself, which proves possession, and with the one it replaces.
pub(super) async fn register(
    client: &Client,
    organisation: &str,
    key: &SecretKey,
    replaces: Option<&SecretKey>,
) -> Result<Value> {
    let public = key.public();
    let subject = ResourceDescriptor::new("key", public.key_id());
    let mut predicate = json!({ "organisation": organisation, "public_key": public });
    if let (Some(old), Some(members)) = (replaces, predicate.as_object_mut()) {
        members.insert("replaces".to_string(), json!(old.public().key_id()));
    }
    let mut envelope = sign(key, StatementKind::KeyRegistration, vec![subject], predicate)?;
    if let Some(old) = replaces {
        old.add_signature(&mut envelope);
    }
    client.post(format!("/v1/organisations/{organisation}/keys")).json(&json!({ "envelope": envelope }))?.send().await
}

async fn revoke(client: &Client, organisation: &str, id: &str, compromised_at: Option<String>) -> Result<Value> {
    let path = format!("/v1/organisations/{organisation}/keys/{id}/revocation");
    client.post(path).json(&json!({ "compromised_at": compromised_at }))?.send().await
}

/// Makes a key, registers it as the successor of the one in use, revokes that, and swaps their files.
async fn rotate(client: &Client, Whose { organisation, file }: &Whose) -> Result<Value> {
    let old = file.read(organisation)?;
    let current = file.path(organisation)?;
    let keys: Vec<Value> = client.get_all(&format!("/v1/organisations/{organisation}/keys")).await?;
    let registration = |key: &SecretKey| {
        let id = key.public().key_id().to_string();
        keys.iter().find(|registered| text_at(registered, "/key_id") == id)
    };
    let old_id = old.public().key_id();
    let registered = registration(&old).ok_or_else(|| {
        Error::invalid("--key", format!("the key {old_id} in {} is not registered", current.display()))
            .remedy(format!("register it with `corpex key register {organisation}`"))
    })?;
    let active = text_at(registered, "/revoked_at").is_empty();
    let waiting = current.with_extension("next.key");
    let new = keys::load_or_create(&waiting)?;
    if registration(&new).is_none() {
        register(client, organisation, &new, active.then_some(&old)).await?;
    }
    if active {
        revoke(client, organisation, text_at(registered, "/id"), None).await?;
    }
    let aside = aside(&current, &old);
    keys::take_over(&current, &waiting, &aside)?;
    let new = new.public();
    Ok(
        json!({ "key_id": new.key_id(), "public_key": new, "file": current, "replaced": old_id, "replaced_file": aside }),
    )
}

/// Where the file of a key that was replaced goes.
fn aside(current: &Path, old: &SecretKey) -> PathBuf {
    current.with_extension(format!("{}.key", old.public().key_id()))
}

/// Signs a statement of an organisation.
pub(super) fn sign(
    key: &SecretKey,
    kind: StatementKind,
    subjects: Vec<ResourceDescriptor>,
    predicate: Value,
) -> Result<Envelope> {
    let payload = Statement::new(kind, subjects, predicate).to_payload()?;
    Ok(key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, payload))
}

fn listing(keys: &Value) -> String {
    let line = |key: &Value| {
        let text = |name: &str| text_at(key, &format!("/{name}")).to_string();
        let state = if text("revoked_at").is_empty() {
            "active".to_string()
        } else {
            format!("revoked {}", text("revoked_at"))
        };
        format!("{}  {}  {state}", text("id"), text("key_id"))
    };
    items(keys).iter().map(line).collect::<Vec<_>>().join("\n")
}
