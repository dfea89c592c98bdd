//! For which organisation a command acts.

use serde::Deserialize;

use super::client::Client;
use crate::error::{Error, Result};

/// The organisation to act for: the one named, or the only one the caller belongs to.
pub(super) async fn own_organisation(client: &Client, named: Option<&str>) -> Result<String> {
    if let Some(named) = named {
        return Ok(named.to_string());
    }
    match own_organisations(client).await?.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Error::invalid("--organisation", "you belong to no organisation").remedy("register one first")),
        several => Err(Error::invalid("--organisation", format!("you belong to {}", several.join(", ")))
            .remedy("choose one with --organisation")),
    }
}

/// The handles of the organisations that the caller belongs to.
pub(super) async fn own_organisations(client: &Client) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Me {
        memberships: Vec<Membership>,
    }
    #[derive(Deserialize)]
    struct Membership {
        handle: String,
    }
    let me: Me = client.get("/v1/me").send().await?;
    Ok(me.memberships.into_iter().map(|membership| membership.handle).collect())
}
