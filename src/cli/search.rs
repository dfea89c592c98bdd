//! `corpex search`.

use clap::Args;
use serde_json::Value;

use super::client::{Client, items};
use super::output::Out;
use crate::error::Result;

#[derive(Debug, Args)]
pub(super) struct Search {
    /// Words to look for; none lists everything
    words: Vec<String>,
    /// The most datasets to show
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

impl Search {
    pub(super) async fn run(self, client: &Client, out: &Out) -> Result<()> {
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("q", &self.words.join(" "))
            .append_pair("limit", &self.limit.to_string())
            .finish();
        let found: Value = client.get(format!("/v1/datasets?{query}")).send().await?;
        out.result(&found, || match items(&found) {
            [] => "nothing was found".to_string(),
            some => some.iter().map(line).collect::<Vec<_>>().join("\n"),
        })
    }
}

fn line(dataset: &Value) -> String {
    let text = |name: &str| dataset[name].as_str().unwrap_or_default();
    format!("{}/{}  {}  ({}, {})", text("organisation"), text("name"), text("title"), text("modality"), text("domain"))
}
