//! `corpex logout`: forgets the remembered login, and revokes the token that `corpex login` made for it.

use serde_json::{Value, json};

use super::client::Client;
use super::login::{self, Made, Saved};
use super::output::Out;
use crate::error::{Kind, Result};

/// A login that is remembered no longer.
pub(super) struct Ended {
    pub(super) server: String,
    /// Its token's identifier and end, where `corpex login` made it.
    pub(super) made: Option<Made>,
    /// Why the token was not revoked; none when it was.
    pub(super) refused: Option<String>,
}

impl Ended {
    /// Ends a login: revokes its token with itself, where `corpex login` made it.
    pub(super) async fn of(Saved { server, token, made }: Saved) -> Self {
        let refused = match &made {
            Some(made) => revoke(&server, token, made).await.err().map(|error| error.detail),
            None => Some("it was made elsewhere".to_string()),
        };
        Self { server, made, refused }
    }

    /// What a script is told of it.
    pub(super) fn document(&self) -> Value {
        let expires_at = self.made.as_ref().map(|made| made.expires_at);
        json!({ "server": self.server, "revoked": self.refused.is_none(), "expires_at": expires_at })
    }
}

pub(super) async fn run(out: &Out) -> Result<()> {
    let Some(saved) = login::saved()? else {
        return out.result(&json!({ "server": null, "revoked": false }), || "nobody is signed in".to_string());
    };
    let ended = Ended::of(saved).await;
    login::forget()?;
    out.result(&ended.document(), || {
        let Ended { server, made, refused } = &ended;
        match (refused, made) {
            (None, _) => format!("signed out of {server}: the token is revoked"),
            (Some(why), Some(Made { id, expires_at })) => format!(
                "signed out of {server} here alone: {why}. The token is good until {expires_at}, unless you sign in again \
                 and revoke it with `corpex api DELETE /v1/tokens/{id}`"
            ),
            (Some(why), None) => format!(
                "signed out of {server} here alone: the token is not revoked, for {why}. `corpex api GET /v1/tokens` and \
                 DELETE /v1/tokens/ID revoke it"
            ),
        }
    })
}

/// Revokes a token with itself. One that is good for nothing any more needs no revoking.
async fn revoke(server: &str, token: String, made: &Made) -> Result<()> {
    let client = Client::new(server, Some(token))?;
    match client.delete(format!("/v1/tokens/{}", made.id)).send::<Value>().await {
        Err(error) if error.kind != Kind::Unauthenticated => Err(error),
        _ => Ok(()),
    }
}
