//! `corpex key`: an organisation's signing keys. The private half never leaves this computer.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Global;
use super::client::{Client, items, text_at};
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
    /// Make a key pair for an organisation, or show the one that stands
    Generate(Whose),
    /// Register the public half with the exchange, proving possession of the private half
    Register(Whose),
    /// List the keys that an organisation registered
    List {
        /// The organisation's handle
        organisation: String,
    },
    /// Revoke a registered key: from now on nothing signed with it is accepted
    Revoke {
        /// The organisation's handle
        organisation: String,
        /// The id of the registration (key_…)
        key: String,
        /// Since when others may have known the private half (RFC 3339)
        #[arg(long, value_name = "TIME")]
        compromised_at: Option<String>,
    },
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
    /// The private key's file; keys/ORGANISATION.key in the configuration directory when absent
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
            return Err(Error::invalid("key", format!("there is no key at {}", path.display()))
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
                let registered = register(&global.client()?, &whose.organisation, &key).await?;
                out.result(&registered, || {
                    format!("registered key {} for {}", key.public().key_id(), whose.organisation)
                })
            }
            KeyCommand::List { organisation } => {
                let keys: Value =
                    global.anonymous()?.get(format!("/v1/organisations/{organisation}/keys?limit=1000")).send().await?;
                out.result(&keys, || listing(&keys))
            }
            KeyCommand::Revoke { organisation, key, compromised_at } => {
                let path = format!("/v1/organisations/{organisation}/keys/{key}/revocation");
                let reason = json!({ "compromised_at": compromised_at });
                let revoked: Value = global.client()?.post(path).json(&reason)?.send().await?;
                out.result(&revoked, || format!("revoked {key}"))
            }
        }
    }
}

/// Registers a key: the statement is signed with the key itself, which proves possession.
pub(super) async fn register(client: &Client, organisation: &str, key: &SecretKey) -> Result<Value> {
    let public = key.public();
    let subject = ResourceDescriptor::new("key", public.key_id());
    let predicate = json!({ "organisation": organisation, "public_key": public });
    let envelope = sign(key, StatementKind::KeyRegistration, vec![subject], predicate)?;
    client.post(format!("/v1/organisations/{organisation}/keys")).json(&json!({ "envelope": envelope }))?.send().await
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
