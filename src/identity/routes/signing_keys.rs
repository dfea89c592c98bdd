//! Signing keys over HTTP.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::MaybeCaller;
use crate::app::App;
use crate::error::{Problem, Result};
use crate::http::input::{Json, Query};
use crate::identity::{self, Caller, SigningKey};
use crate::signing::{Envelope, PublicKey};
use crate::types::{Digest, Instant, Page, PageQuery, SigningKeyId};

/// A public key with which an organisation's statements are verified.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SigningKeyView {
    /// The identifier of the registration.
    id: SigningKeyId,
    /// The organisation's handle.
    organisation: String,
    /// SHA-256 of the raw public key: the `keyid` of its signatures.
    key_id: Digest,
    /// The 32 bytes of the key, in base64.
    public_key: PublicKey,
    /// Since when its signatures are accepted.
    registered_at: Instant,
    /// Since when they are not; null while they are.
    revoked_at: Option<Instant>,
    /// Since when others may have held the private half; null when that was not declared.
    compromised_at: Option<Instant>,
}

fn view(organisation: &str, key: SigningKey) -> SigningKeyView {
    let SigningKey { id, key_id, public_key, registered_at, revoked_at, compromised_at, .. } = key;
    SigningKeyView {
        id,
        organisation: organisation.to_string(),
        key_id,
        public_key,
        registered_at,
        revoked_at,
        compromised_at,
    }
}

/// A key, with the proof that the registrant holds its private half.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyInput {
    /// A `key-registration` statement (schemas/key-registration.v1.json) signed by the key that it registers, and by the
    /// key that it replaces if it names one.
    envelope: Envelope,
}

/// Registers a signing key of a verified organisation; admins and signers only.
///
/// The envelope holds an in-toto statement of the type `urn:corpex:predicate:key-registration:v1`, signed by the key
/// itself, which proves possession of its private half. If its predicate names a key that it `replaces`, that key must be
/// active and sign as well; it stays active until it is revoked. Private keys never leave their owner.
#[utoipa::path(tag = "identity", security(("bearer" = [])), params(("handle" = String, Path, description = "The organisation's handle")), request_body = KeyInput, responses(
    (status = 201, body = SigningKeyView),
    (status = 403, body = Problem, description = "the caller is neither admin nor signer"),
    (status = 404, body = Problem, description = "unknown, or not yours"),
    (status = 409, body = Problem, description = "the key is registered, or the organisation is not verified"),
    (status = 422, body = Problem, description = "the statement does not prove possession of the key")))]
#[post("/v1/organisations/{handle}/keys")]
pub(crate) async fn register_key(
    app: Data<App>,
    caller: Caller,
    handle: Path<String>,
    input: Json<KeyInput>,
) -> Result<HttpResponse> {
    let (keys, envelope, now) = (app.keys.clone(), input.into_inner().envelope, app.clock.now());
    let name = handle.clone();
    let register = move |c: &mut _| identity::register_key(c, &caller, &keys, &handle, &envelope, now);
    let key = app.db.write(register).await?;
    Ok(HttpResponse::Created().json(view(&name, key)))
}

/// Lists the keys of an organisation, revoked ones included, oldest first. No credential is needed: verifiers need the keys.
#[utoipa::path(tag = "identity", security((), ("bearer" = [])), params(("handle" = String, Path, description = "The organisation's handle"), PageQuery), responses(
    (status = 200, body = Page<SigningKeyView>),
    (status = 404, body = Problem, description = "unknown, or not verified and not yours")))]
#[get("/v1/organisations/{handle}/keys")]
pub(crate) async fn list_keys(
    app: Data<App>,
    caller: MaybeCaller,
    handle: Path<String>,
    page: Query<PageQuery>,
) -> Result<Page<SigningKeyView>> {
    let limit = page.limit()?;
    let list = move |c: &mut _| identity::signing_keys(c, caller.0.as_ref(), &handle, &page);
    let (organisation, rows) = app.db.read(list).await?;
    let page = Page::new(rows, limit, |key| key.id.to_string());
    Ok(page.map(|key| view(&organisation.handle, key)))
}

/// Which key of which organisation.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct KeyPath {
    /// The organisation's handle.
    handle: String,
    /// The identifier of the registration.
    id: SigningKeyId,
}

/// Why a key is revoked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevocationInput {
    /// Since when others may have held the private half; absent or null when nobody did.
    #[serde(default)]
    compromised_at: Option<Instant>,
}

/// Revokes a key: from now on nothing signed with it is accepted. Admins and signers only.
///
/// A revoked key can still be declared compromised, or compromised since an earlier time. Compliance staff may declare any
/// organisation's key compromised; only they can date it more than 30 days back.
#[utoipa::path(tag = "identity", security(("bearer" = [])), params(KeyPath), request_body = RevocationInput, responses(
    (status = 200, body = SigningKeyView),
    (status = 403, body = Problem, description = "the caller is neither admin nor signer, or the time lies more than 30 days back"),
    (status = 404, body = Problem, description = "no such organisation or key"),
    (status = 409, body = Problem, description = "revoked already"),
    (status = 422, body = Problem, description = "the time lies in the future, or before the registration")))]
#[post("/v1/organisations/{handle}/keys/{id}/revocation")]
pub(crate) async fn revoke_key(
    app: Data<App>,
    caller: Caller,
    path: Path<KeyPath>,
    input: Json<RevocationInput>,
) -> Result<Json<SigningKeyView>> {
    let (keys, KeyPath { handle, id }, now) = (app.keys.clone(), path.into_inner(), app.clock.now());
    let (name, compromised_at) = (handle.clone(), input.compromised_at);
    let revoke = move |c: &mut _| identity::revoke_key(c, &caller, &keys, &handle, id, compromised_at, now);
    Ok(Json(view(&name, app.db.write(revoke).await?)))
}
