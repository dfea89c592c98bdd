//! `corpex search`: finds datasets on the board.

use std::io::IsTerminal as _;

use clap::Args;
use serde_json::Value;

use super::client::{Client, items};
use super::output::{BOLD, Out, PLAIN};
use crate::error::Result;
use crate::market::search::{Facet, Sort};
use crate::types::Money;

/// How many values of each facet a person is shown.
const SHOWN_VALUES: usize = 5;

#[derive(Debug, Args)]
pub(super) struct Search {
    /// Words in Chinese or English that must all be found; none finds everything on the board
    words: Vec<String>,
    /// Only data of this kind (text, image, …); here and below, separate several values by commas
    #[arg(long)]
    modality: Option<String>,
    /// Only data in this language (BCP 47); zh also finds zh-Hans
    #[arg(long)]
    language: Option<String>,
    /// Only data about this domain
    #[arg(long)]
    domain: Option<String>,
    /// Only data that may be used for this: pretrain, finetune, evaluate, retrieve, redistribute, derive
    #[arg(long)]
    r#use: Option<String>,
    /// Only shards of this format: jsonl, parquet, …
    #[arg(long)]
    format: Option<String>,
    /// Only data of this provider
    #[arg(long, value_name = "HANDLE")]
    provider: Option<String>,
    /// Only data that costs at most this many minor units (fen, cents)
    #[arg(long, value_name = "AMOUNT")]
    max_price: Option<u64>,
    /// The currency of --max-price
    #[arg(long, default_value = "CNY", requires = "max_price")]
    currency: String,
    /// The order: relevance, newest, size or price
    #[arg(long, default_value = "relevance", value_parser = clap::value_parser!(Sort))]
    sort: Sort,
    /// The most datasets to show
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=100))]
    limit: u16,
    /// Continue from the `next` of an earlier answer
    #[arg(long)]
    cursor: Option<String>,
}

impl Search {
    pub(super) async fn run(self, client: &Client, out: &Out) -> Result<()> {
        let found: Value = client.get(format!("/v1/datasets?{}", self.query())).send().await?;
        out.result(&found, || match items(&found) {
            [] => "nothing was found".to_string(),
            some => {
                let mut lines: Vec<String> = some.iter().map(line).collect();
                lines.push(summary(&found));
                lines.join("\n")
            }
        })
    }

    fn query(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("q", &self.words.join(" ")).append_pair("sort", self.sort.as_str());
        query.append_pair("limit", &self.limit.to_string());
        if let Some(price) = self.max_price {
            query.append_pair("max_price", &price.to_string()).append_pair("currency", &self.currency);
        }
        for (name, value) in [
            ("modality", &self.modality),
            ("language", &self.language),
            ("domain", &self.domain),
            ("use", &self.r#use),
            ("format", &self.format),
            ("provider", &self.provider),
            ("cursor", &self.cursor),
        ] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        query.finish()
    }
}

/// A dataset as a person reads it, with its matches.
fn line(dataset: &Value) -> String {
    let text = |name: &str| dataset[name].as_str().unwrap_or_default();
    let offer = &dataset["offer"];
    let price = serde_json::from_value::<Money>(offer["price"].clone()).map(|price| price.to_string());
    let title = marked(dataset.pointer("/highlights/title")).unwrap_or_else(|| text("title").to_string());
    let mut line = format!(
        "{}/{}@{}  {title}  ({}, {}; {})",
        text("organisation"),
        text("name"),
        offer["version"],
        text("modality"),
        text("domain"),
        price.unwrap_or_default(),
    );
    if let Some(card) = marked(dataset.pointer("/highlights/card")) {
        line.push_str(&format!("\n    … {} …", card.trim()));
    }
    line
}

/// A text in pieces, with those that were looked for in bold on a terminal.
fn marked(pieces: Option<&Value>) -> Option<String> {
    let bold = std::io::stdout().is_terminal();
    let piece = |piece: &Value| {
        let text = piece["text"].as_str().unwrap_or_default();
        if bold && piece["is_match"] == true { format!("{BOLD}{text}{PLAIN}") } else { text.to_string() }
    };
    Some(pieces?.as_array()?.iter().map(piece).collect())
}

/// How many there are, and how many of each value of each facet.
fn summary(found: &Value) -> String {
    let mut lines = vec![format!("\n{} found", found["total"])];
    for facet in Facet::ALL {
        let values = found.pointer(&format!("/facets/{facet}")).and_then(Value::as_array);
        let values = values.map(Vec::as_slice).unwrap_or_default();
        let value = |value: &Value| format!("{} {}", value["value"].as_str().unwrap_or_default(), value["count"]);
        if !values.is_empty() {
            let shown: Vec<String> = values.iter().take(SHOWN_VALUES).map(value).collect();
            lines.push(format!("  {facet}: {}", shown.join(", ")));
        }
    }
    if let Some(next) = found["next"].as_str() {
        lines.push(format!("more with --cursor {next}"));
    }
    lines.join("\n")
}
