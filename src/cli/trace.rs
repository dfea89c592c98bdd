//! `corpex trace`.

use std::path::Path;

use clap::Args;

use super::client::Client;
use super::output::Out;
use super::shards;
use crate::compliance::{Chain, Trace as Traced};
use crate::error::Result;

#[derive(Debug, Args)]
pub(super) struct Trace {
    /// A file, a SHA-256, ORG/NAME, ORG/NAME@VERSION, an order or a contract
    #[arg(value_name = "FILE | SHA256 | ORG/NAME | CONTRACT")]
    pub(super) subject: String,
}

impl Trace {
    pub(super) async fn run(self, client: &Client, out: &Out) -> Result<Traced> {
        let path = Path::new(&self.subject);
        let subject = if path.is_file() { shards::digest_of(path, |_| {})?.0.to_string() } else { self.subject };
        let query: String =
            url::form_urlencoded::Serializer::new(String::new()).append_pair("subject", &subject).finish();
        let traced: Traced = client.get(format!("/v1/trace?{query}")).send().await?;
        out.result(&traced, || {
            if traced.chains.is_empty() {
                return format!("nothing on the exchange has to do with {subject}");
            }
            traced.chains.iter().map(describe).collect::<Vec<_>>().join("\n\n")
        })?;
        Ok(traced)
    }
}

fn describe(chain: &Chain) -> String {
    let mut lines = vec![
        format!("{}@{}  ({})", chain.dataset, chain.version, chain.state),
        format!(
            "  published by {} ({}, {})",
            chain.provider.handle, chain.provider.legal_name, chain.provider.registration_number
        ),
    ];
    for shard in chain.shards.iter().take(10) {
        lines.push(format!("  shard {}  {}  {} bytes", shard.path, shard.sha256, shard.size_bytes));
    }
    if chain.shards.len() > 10 {
        lines.push(format!("  … and {} more shards", chain.shards.len() - 10));
    }
    if let Some(sealed) = &chain.sealed {
        lines.push(format!("  sealed {}  manifest {}  {}", sealed.at, sealed.pae_sha256, sealed.entry));
    }
    for one in &chain.assessments {
        lines.push(format!("  assessed {}: {}, valid until {}", one.logged.at, one.decision, one.valid_until));
    }
    if let Some(number) = &chain.certificate {
        lines.push(format!("  registration certificate {number}"));
    }
    if chain.licences.is_empty() {
        lines.push("  nobody holds a licence".to_string());
    }
    for licence in &chain.licences {
        lines.push(format!(
            "  held by {} ({}): {} for {:?}, {}, since {}, contract {}",
            licence.holder.handle,
            licence.holder.legal_name,
            licence.state,
            licence.purpose,
            licence.price,
            licence.granted_at,
            licence.contract_sha256
        ));
        lines.push(format!("    {} deliveries on record", licence.deliveries.len()));
    }
    lines.join("\n")
}
