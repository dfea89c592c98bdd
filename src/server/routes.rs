//! Every route that an exchange answers. A handler's path and method stand above it, in its domain's `routes.rs`.
//!
//! The tables are read by the server, and by whoever describes the API. The server forgets the descriptions: kept by each of its
//! threads, they were a third of an idle process.

use actix_web::App as HttpApp;
use actix_web::dev::HttpServiceFactory;
use actix_web::web;
use utoipa::openapi::OpenApi;
use utoipa_actix_web::{AppExt as _, OpenApiFactory, service_config};

use super::{description, documentation};
use crate::{
    assessment, catalog, compliance, delivery, events, exports, hub, identity, ledger, market, models, ops, provenance,
    store, terms,
};

/// Something to which routes can be added.
pub trait Routes {
    /// Takes a handler with its path, its method and its description.
    fn service<H: HttpServiceFactory + OpenApiFactory + 'static>(&mut self, handler: H) -> &mut Self;
}

/// Answers requests, and forgets the descriptions.
impl Routes for web::ServiceConfig {
    fn service<H: HttpServiceFactory + OpenApiFactory + 'static>(&mut self, handler: H) -> &mut Self {
        web::ServiceConfig::service(self, handler)
    }
}

/// Keeps the descriptions.
impl Routes for service_config::ServiceConfig<'_> {
    fn service<H: HttpServiceFactory + OpenApiFactory + 'static>(&mut self, handler: H) -> &mut Self {
        service_config::ServiceConfig::service(self, handler)
    }
}

/// The exchange's own routes.
#[rustfmt::skip]
pub fn own(to: &mut impl Routes) {
    to
        // store: signed URLs of the local store
        .service(store::routes::upload_part)
        .service(store::routes::download_object)
        .service(store::routes::head_object)
        // identity
        .service(identity::routes::get_jwks)
        .service(identity::routes::register_user)
        .service(identity::routes::create_session)
        .service(identity::routes::refresh_session)
        .service(identity::routes::delete_session)
        .service(identity::routes::get_me)
        .service(identity::routes::change_password)
        .service(identity::routes::create_token)
        .service(identity::routes::list_tokens)
        .service(identity::routes::revoke_token)
        .service(identity::routes::request_device_code)
        .service(identity::routes::redeem_device_code)
        .service(identity::routes::get_device_login)
        .service(identity::routes::approve_device_login)
        .service(identity::routes::deny_device_login)
        .service(identity::routes::register_organisation)
        .service(identity::routes::list_organisations)
        .service(identity::routes::get_organisation)
        .service(identity::routes::verify_organisation)
        .service(identity::routes::reject_organisation)
        .service(identity::routes::get_rejection)
        .service(identity::routes::create_invitation)
        .service(identity::routes::list_invitations)
        .service(identity::routes::withdraw_invitation)
        .service(identity::routes::accept_invitation)
        .service(identity::routes::put_member)
        .service(identity::routes::list_members)
        .service(identity::routes::delete_member)
        .service(identity::routes::register_key)
        .service(identity::routes::list_keys)
        .service(identity::routes::revoke_key)
        .service(identity::routes::list_audit_records)
        .service(identity::routes::list_audit_days)
        // catalog
        .service(catalog::routes::create_dataset)
        .service(catalog::routes::get_dataset)
        .service(catalog::routes::create_version)
        .service(catalog::routes::list_versions)
        .service(catalog::routes::get_version)
        .service(catalog::routes::get_card)
        .service(catalog::routes::put_card)
        .service(catalog::uploads::routes::create_upload)
        .service(catalog::uploads::routes::get_upload)
        .service(catalog::uploads::routes::create_upload_urls)
        .service(catalog::uploads::routes::complete_upload)
        .service(catalog::uploads::routes::put_shard)
        .service(catalog::routes::list_shards)
        .service(catalog::routes::delete_shard)
        .service(catalog::routes::seal_version)
        .service(catalog::routes::get_manifest)
        .service(catalog::inspection::routes::get_inspection)
        .service(market::previews::routes::get_preview)
        .service(delivery::evaluations::routes::create_evaluation)
        .service(delivery::evaluations::routes::list_evaluations)
        .service(delivery::evaluations::routes::get_evaluation)
        .service(delivery::evaluations::routes::create_sample_link)
        .service(delivery::evaluations::routes::get_evaluation_passport)
        .service(catalog::lineage::routes::list_parents)
        .service(catalog::lineage::routes::list_children)
        .service(catalog::lineage::routes::list_children_of_source)
        .service(catalog::lineage::routes::get_lineage)
        // terms
        .service(terms::routes::publish_terms)
        .service(terms::routes::get_terms)
        .service(terms::routes::get_terms_odrl)
        .service(terms::routes::get_odrl_profile)
        .service(terms::routes::list_terms)
        // assessment
        .service(assessment::routes::get_checklist)
        .service(assessment::routes::create_assessment)
        .service(assessment::routes::list_assessments)
        .service(assessment::routes::get_certificate)
        // ledger
        .service(ledger::routes::create_deposit)
        .service(ledger::routes::list_deposits)
        .service(ledger::routes::approve_deposit)
        .service(ledger::routes::refuse_deposit)
        .service(ledger::routes::reverse_deposit)
        .service(ledger::routes::request_withdrawal)
        .service(ledger::routes::list_withdrawals)
        .service(ledger::routes::cancel_withdrawal)
        .service(ledger::routes::process_withdrawal)
        .service(ledger::routes::execute_withdrawal)
        .service(ledger::routes::approve_withdrawal)
        .service(ledger::routes::refuse_withdrawal)
        .service(ledger::routes::reverse_withdrawal)
        .service(ledger::routes::list_accounts)
        .service(ledger::routes::list_postings)
        .service(ledger::routes::get_statement)
        // market
        .service(market::search::routes::list_datasets)
        .service(market::routes::create_listing)
        .service(market::routes::list_listings)
        .service(market::routes::get_listing)
        .service(market::routes::get_listing_odrl)
        .service(market::routes::pause_listing)
        .service(market::routes::resume_listing)
        .service(market::routes::withdraw_listing)
        .service(market::routes::list_listing_statements)
        .service(market::objections::routes::object_to_listing)
        .service(market::objections::routes::list_objections)
        .service(market::objections::routes::uphold_objection)
        .service(market::objections::routes::dismiss_objection)
        .service(market::orders::routes::create_quote)
        .service(market::offers::routes::make_offer)
        .service(market::offers::routes::list_offers)
        .service(market::offers::routes::get_offer)
        .service(market::offers::routes::withdraw_offer)
        .service(market::negotiation::routes::begin_request)
        .service(market::negotiation::routes::begin_offer)
        .service(market::negotiation::routes::reply_request)
        .service(market::negotiation::routes::reply_offer)
        .service(market::negotiation::routes::post_negotiation_event)
        .service(market::negotiation::routes::agree_negotiation)
        .service(market::negotiation::routes::verify_agreement)
        .service(market::negotiation::routes::terminate_negotiation)
        .service(market::negotiation::routes::list_negotiations)
        .service(market::negotiation::routes::get_negotiation)
        .service(market::orders::routes::place_order)
        .service(market::orders::routes::list_orders)
        .service(market::orders::routes::get_order)
        .service(market::orders::routes::sign_contract)
        .service(market::orders::routes::get_contract)
        .service(market::contracts::routes::get_contract_rendering)
        .service(market::orders::routes::cancel_order)
        .service(market::orders::routes::get_trade_certificate)
        .service(market::disputes::routes::open_dispute)
        .service(market::disputes::routes::get_dispute)
        .service(market::disputes::routes::decide_dispute)
        .service(market::disputes::routes::appeal_dispute)
        .service(market::vouchers::routes::create_programme)
        .service(market::vouchers::routes::list_programmes)
        .service(market::vouchers::routes::get_programme)
        .service(market::vouchers::routes::fund_programme)
        .service(market::vouchers::routes::return_programme)
        .service(market::vouchers::routes::list_voucher_movements)
        // delivery
        .service(delivery::purchases::routes::buy)
        .service(delivery::routes::pay_order)
        .service(delivery::trades::routes::get_delivery)
        .service(delivery::trades::routes::accept_order)
        .service(delivery::trades::routes::reject_order)
        .service(delivery::trades::routes::offer_cure)
        .service(delivery::trades::routes::redeliver_order)
        .service(delivery::trades::routes::accept_cure)
        .service(delivery::trades::routes::reject_cure)
        .service(delivery::trades::routes::decide_appeal)
        .service(delivery::routes::list_entitlements)
        .service(delivery::routes::get_entitlement)
        .service(delivery::routes::renew_entitlement)
        .service(delivery::routes::create_links)
        .service(delivery::usage::routes::get_usage)
        .service(delivery::seats::routes::list_seats)
        .service(delivery::seats::routes::assign_seat)
        .service(delivery::seats::routes::free_seat)
        .service(delivery::routes::suspend_entitlement)
        .service(delivery::routes::reinstate_entitlement)
        .service(delivery::routes::revoke_entitlement)
        .service(delivery::routes::get_passport)
        // models
        .service(models::routes::declare_model)
        .service(models::routes::list_models)
        .service(models::routes::get_model)
        // compliance
        .service(compliance::routes::get_trace)
        .service(compliance::takedowns::routes::file_takedown)
        .service(compliance::takedowns::routes::list_takedowns)
        .service(compliance::takedowns::routes::get_takedown)
        .service(compliance::takedowns::routes::triage_takedown)
        .service(compliance::takedowns::routes::reject_takedown)
        .service(compliance::takedowns::routes::block_takedown)
        .service(compliance::takedowns::routes::notify_provider)
        .service(compliance::takedowns::routes::counter_takedown)
        .service(compliance::takedowns::routes::reinstate_takedown)
        .service(compliance::takedowns::routes::uphold_takedown)
        .service(compliance::takedowns::routes::issue_recall)
        .service(compliance::takedowns::routes::close_takedown)
        .service(compliance::takedowns::routes::list_recalls)
        .service(compliance::takedowns::routes::acknowledge_recall)
        .service(compliance::takedowns::routes::attest_deletion)
        .service(compliance::takedowns::routes::declare_training)
        .service(compliance::routes::list_events)
        .service(compliance::routes::export_trace)
        .service(compliance::routes::list_conflicts)
        .service(compliance::routes::get_reconciliation)
        // events
        .service(events::routes::replay_events)
        .service(events::webhooks::routes::create_webhook)
        .service(events::webhooks::routes::list_webhooks)
        .service(events::webhooks::routes::delete_webhook)
        .service(events::webhooks::routes::rotate_webhook_secret)
        .service(events::webhooks::routes::resume_webhook)
        .service(events::webhooks::routes::list_webhook_attempts)
        // exports
        .service(exports::routes::get_catalog)
        .service(exports::routes::get_croissant)
        // provenance
        .service(provenance::routes::get_checkpoint)
        .service(provenance::routes::get_tile)
        .service(provenance::routes::get_log_proof)
        .service(provenance::routes::get_log_consistency)
        .service(provenance::routes::get_exchange_keys)
        // operations
        .service(ops::routes::get_health)
        .service(ops::routes::get_readiness)
        .service(ops::routes::get_metrics)
        .service(documentation::get_openapi)
        .service(documentation::get_docs);
}

/// The routes that the Hugging Face Hub's clients ask for. The API is the Hub's, and so is its description: it is no part of ours.
#[rustfmt::skip]
pub fn hub(to: &mut impl Routes) {
    to
        .service(hub::routes::hub_get_file)
        .service(hub::routes::hub_head_file)
        .service(hub::routes::hub_whoami)
        .service(hub::routes::hub_list_datasets)
        .service(hub::routes::hub_get_dataset)
        .service(hub::routes::hub_get_revision)
        .service(hub::routes::hub_list_refs)
        .service(hub::routes::hub_list_commits)
        .service(hub::routes::hub_list_root)
        .service(hub::routes::hub_list_folder)
        .service(hub::routes::hub_get_paths)
        .service(exports::routes::hub_get_croissant);
}

/// The answer to whatever else the Hub's clients ask for: that it is not here, in the Hub's words. They take a file that is
/// refused in other words for one that could not be reached.
pub(super) fn rest_of_hub(to: &mut web::ServiceConfig) {
    let nowhere = hub::routes::no_such_repository;
    to.route("/api/{kind:models|datasets|spaces}/{rest:.*}", web::route().to(nowhere));
    // Files of models and spaces, and of datasets that are named without their organisation.
    to.route("/{repository:(?:spaces/)?[^/]+(?:/[^/]+)?}/resolve/{rest:.*}", web::get().to(nowhere));
}

/// The description of every route of our own, as OpenAPI 3.1.
pub fn openapi() -> OpenApi {
    let app = HttpApp::new().into_utoipa_app().openapi(description::head()).configure(|to| own(to));
    let mut described = app.split_for_parts().1;
    description::complete(&mut described);
    described
}

/// The same of the Hub's routes: what tests go by. It is not published.
pub fn hub_openapi() -> OpenApi {
    HttpApp::new().into_utoipa_app().configure(|to| hub(to)).split_for_parts().1
}
