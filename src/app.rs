//! What a running exchange is made of, and every route it answers.

use std::sync::Arc;

use utoipa_actix_web::service_config::ServiceConfig;

use crate::config::Config;
use crate::db::Db;
use crate::identity::{self, CallerCache};
use crate::keys::ExchangeKeys;
use crate::types::Clock;

/// Everything a request handler, a job or a server command works with. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The settings.
    pub config: Arc<Config>,
    /// The database.
    pub db: Db,
    /// The exchange's secrets.
    pub keys: Arc<ExchangeKeys>,
    /// Where `now` comes from.
    pub clock: Clock,
    /// Whose credential was checked a moment ago.
    pub caller_cache: CallerCache,
}

/// The whole route table. A handler's path and method stand above it, in its domain's `routes.rs`.
#[rustfmt::skip]
pub fn routes(cfg: &mut ServiceConfig) {
    cfg
        // store: signed URLs of the local store

        // identity
        .service(identity::routes::get_jwks)
        .service(identity::routes::register_user)
        .service(identity::routes::create_session)
        .service(identity::routes::refresh_session)
        .service(identity::routes::delete_session)
        .service(identity::routes::get_me)
        .service(identity::routes::create_token)
        .service(identity::routes::list_tokens)
        .service(identity::routes::revoke_token)
        .service(identity::routes::register_organisation)
        .service(identity::routes::list_organisations)
        .service(identity::routes::get_organisation)
        .service(identity::routes::verify_organisation)
        .service(identity::routes::put_member)
        .service(identity::routes::list_members)
        .service(identity::routes::delete_member)
        .service(identity::routes::register_key)
        .service(identity::routes::list_keys)
        .service(identity::routes::revoke_key)

        // catalog

        // terms

        // assessment

        // ledger

        // market

        // delivery

        // compliance

        // provenance
        ;
}
