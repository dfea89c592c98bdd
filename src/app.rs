//! What a running exchange is made of, and every route it answers.

use std::sync::Arc;

use utoipa_actix_web::service_config::ServiceConfig;

use crate::catalog;
use crate::config::Config;
use crate::db::Db;
use crate::keys::ExchangeKeys;
use crate::store::{self, Store};
use crate::types::Clock;

/// Everything a request handler, a job or a server command works with. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The settings.
    pub config: Arc<Config>,
    /// The database.
    pub db: Db,
    /// The objects.
    pub store: Store,
    /// The exchange's secrets.
    pub keys: Arc<ExchangeKeys>,
    /// Where `now` comes from.
    pub clock: Clock,
}

/// The whole route table. A handler's path and method stand above it, in its domain's `routes.rs`.
#[rustfmt::skip]
pub fn routes(cfg: &mut ServiceConfig) {
    let _ = &cfg;
    // store: signed URLs of the local store
    cfg.service(store::routes::upload_part);
    cfg.service(store::routes::download_object);
    cfg.service(store::routes::head_object);
    // identity
    // catalog
    cfg.service(catalog::routes::create_dataset)
        .service(catalog::routes::list_datasets)
        .service(catalog::routes::get_dataset)
        .service(catalog::routes::create_version)
        .service(catalog::routes::list_versions)
        .service(catalog::routes::get_version)
        .service(catalog::routes::get_card)
        .service(catalog::routes::put_card)
        .service(catalog::routes::list_shards)
        .service(catalog::uploads::routes::put_shard)
        .service(catalog::routes::delete_shard)
        .service(catalog::routes::seal_version)
        .service(catalog::routes::get_manifest)
        .service(catalog::uploads::routes::create_upload)
        .service(catalog::uploads::routes::get_upload)
        .service(catalog::uploads::routes::create_upload_urls)
        .service(catalog::uploads::routes::complete_upload);
    // terms
    // assessment
    // ledger
    // market
    // delivery
    // compliance
    // provenance
}
