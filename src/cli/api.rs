//! `corpex api`: any request to the exchange, with the saved login and the client's retries.

use std::io::IsTerminal as _;

use clap::Args;
use futures_util::future::Either;
use serde_json::Value;

use super::client::{Client, is_json, pass_on};
use super::output::Out;
use crate::error::{Error, Result};

/// For example: corpex api POST /v1/organisations '{"handle": "acme", …}'
#[derive(Debug, Args)]
pub(super) struct Api {
    /// GET, POST, PUT or DELETE
    #[arg(value_parser = ["GET", "POST", "PUT", "DELETE"], ignore_case = true)]
    method: String,
    /// The path, beginning with /
    path: String,
    /// The JSON body; - reads it from standard input
    body: Option<String>,
    /// The Idempotency-Key, for requests that require one
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

impl Api {
    pub(super) async fn run(self, client: &Client, out: &Out) -> Result<()> {
        if !self.path.starts_with('/') {
            return Err(Error::invalid("PATH", format!("{:?} must begin with /", self.path)));
        }
        let mut request = match self.method.to_ascii_uppercase().as_str() {
            "POST" => client.post(self.path),
            "PUT" => client.put(self.path),
            "DELETE" => client.delete(self.path),
            _ => client.get(self.path),
        };
        if let Some(body) = self.body {
            let text = if body == "-" { std::io::read_to_string(std::io::stdin())? } else { body };
            let body: Value = serde_json::from_str(&text)
                .map_err(|error| Error::invalid("BODY", format!("this is not JSON: {error}")))?;
            request = request.json(&body)?;
        }
        if let Some(key) = self.idempotency_key {
            request = request.idempotent(key);
        }
        // A terminal is shown no commands that steer it, and nobody reads all of a long answer there.
        let read = |answer: reqwest::Response| async move {
            match is_json(&answer) || std::io::stdout().is_terminal() {
                true => answer.text().await.map(Either::Left),
                false => Ok(Either::Right(answer)),
            }
        };
        let text = match request.read(read).await? {
            Either::Left(text) => text,
            Either::Right(answer) => return pass_on(answer, out).await,
        };
        match serde_json::from_str::<Value>(&text) {
            Ok(value) => out.text(&serde_json::to_string_pretty(&value)?),
            Err(_) => out.text(&text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::tests::serving;
    use super::*;

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_asked_for_again() {
        let (client, served) = serving([
            "200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"items\": [",
            "200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"items\": []}",
        ]);
        let (method, path) = ("GET".to_string(), "/v1/tokens".to_string());
        let asked = Api { method, path, body: None, idempotency_key: None };
        asked.run(&client, &Out::silent()).await.unwrap();
        served.join().unwrap();
    }
}
