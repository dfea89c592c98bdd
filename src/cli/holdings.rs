//! `corpex orders` and `corpex licences`: what the caller's organisations bought and sold, and what they may use, page by
//! page.

use clap::Args;
use serde_json::Value;

use super::client::{Client, items, text_at};
use super::output::Out;
use crate::error::Result;
use crate::types::Money;

#[derive(Debug, Args)]
pub(super) struct Holdings {
    /// The most to show, the oldest first
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Continue from the `next` of an earlier answer
    #[arg(long)]
    cursor: Option<String>,
}

impl Holdings {
    pub(super) async fn orders(self, client: &Client, out: &Out) -> Result<()> {
        self.show(client, out, "/v1/orders", order).await
    }

    pub(super) async fn licences(self, client: &Client, out: &Out) -> Result<()> {
        self.show(client, out, "/v1/entitlements", licence).await
    }

    async fn show(self, client: &Client, out: &Out, list: &str, line: fn(&Value) -> String) -> Result<()> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &self.limit.to_string());
        query.extend_pairs(self.cursor.iter().map(|cursor| ("cursor", cursor)));
        let page: Value = client.get(format!("{list}?{}", query.finish())).send().await?;
        out.result(&page, || {
            let mut lines: Vec<String> = items(&page).iter().map(line).collect();
            match page.get("next").and_then(Value::as_str) {
                // A page may be empty and have a next one.
                Some(next) => lines.push(format!("more with --cursor {next}")),
                None if lines.is_empty() => lines.push("there is none".to_string()),
                None => {}
            }
            lines.join("\n")
        })
    }
}

fn order(order: &Value) -> String {
    let text = |name: &str| text_at(order, &format!("/{name}"));
    let money = |name: &str| serde_json::from_value::<Money>(order[name].clone()).ok();
    let refund = money("refund").map(|refund| format!("  refund {refund}"));
    format!(
        "{}  {}@{}  {}  {}{}  {}{}",
        text("id"),
        text("dataset"),
        order["version"],
        text("buyer"),
        money("price").map(|price| price.to_string()).unwrap_or_default(),
        refund.unwrap_or_default(),
        text("state"),
        until(text("due_at"))
    )
}

fn licence(licence: &Value) -> String {
    let text = |name: &str| text_at(licence, &format!("/{name}"));
    let covered = licence["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let numbers: Vec<String> = covered.iter().map(|version| version["number"].to_string()).collect();
    let ends = if text("state") == "active" { text("expires_at") } else { "" };
    format!(
        "{}  {}@{}  {}  {}  {}{}",
        text("id"),
        text("dataset"),
        numbers.join(","),
        text("organisation"),
        text("order_id"),
        text("state"),
        until(ends)
    )
}

fn until(time: &str) -> String {
    if time.is_empty() { String::new() } else { format!(" until {time}") }
}
