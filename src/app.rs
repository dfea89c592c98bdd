//! What a running exchange is made of, and every route it answers.

use std::sync::Arc;

use utoipa_actix_web::service_config::ServiceConfig;

use crate::assessment;
use crate::config::Config;
use crate::db::Db;
use crate::keys::ExchangeKeys;
use crate::ledger;
use crate::terms;
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
}

/// The whole route table. A handler's path and method stand above it, in its domain's `routes.rs`.
#[rustfmt::skip]
pub fn routes(cfg: &mut ServiceConfig) {
    // store: signed URLs of the local store
    // identity
    // catalog
    // terms
    cfg.service(terms::routes::publish_terms);
    cfg.service(terms::routes::get_terms);
    cfg.service(terms::routes::list_terms);
    // assessment
    cfg.service(assessment::routes::get_checklist);
    cfg.service(assessment::routes::create_assessment);
    cfg.service(assessment::routes::list_assessments);
    cfg.service(assessment::routes::get_certificate);
    // ledger
    cfg.service(ledger::routes::create_deposit);
    cfg.service(ledger::routes::list_accounts);
    cfg.service(ledger::routes::list_postings);
    // market
    // delivery
    // compliance
    // provenance
}
