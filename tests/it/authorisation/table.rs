//! The table: one line for each operation, and more where the answer depends on what it is done to.
//!
//! The requests of those who may are chosen to change as little as can be: most fail on what comes after
//! authorisation. What changes things stands last.

use corpex::identity::{PlatformRole, Role};
use serde_json::json;

use super::fixture::Side::{self, Attic, House, Lab};
use super::fixture::{HOUSE, LAB, OWNER_EMAIL, Request, Things, at, unsigned, upload_wish, with};
use Known::{Inside, Public, Told, Traded};
use Who::{Anyone, Claimant, Insiders, Link, Notified, Of, Owner, Parties, Platform, Sides, SignedIn, Staff, Viewers};

/// Who may do it.
#[derive(Debug, Clone, Copy)]
pub enum Who {
    /// Everybody, with or without a credential.
    Anyone,
    /// Whoever has the whole signed link, with or without a credential.
    Link,
    /// Everybody with a credential.
    SignedIn,
    /// The person whose it is; nobody else knows of it.
    Owner,
    /// Staff of the exchange.
    Staff,
    /// Staff of the exchange with this role.
    Platform(PlatformRole),
    /// Members of this organisation and the exchange's staff; nobody else knows of it.
    Insiders(Side),
    /// The same, where no credential is asked for.
    Viewers(Side),
    /// Members of both sides of the trade and the exchange's staff; nobody else knows of it.
    Parties,
    /// Admins of either side of the trade and members with one of these roles; the exchange's staff is told why not.
    Sides(&'static [Role]),
    /// The person whose it is, and compliance; nobody else knows of it.
    Claimant,
    /// The same, and members of this organisation.
    Notified(Side),
    /// Admins of this organisation and members with one of these roles; and who else knows of the thing.
    Of(Side, &'static [Role], Known),
}

/// Who knows of a thing, and is told why they are refused.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::enum_variant_names)] // each completes "known …"
pub enum Known {
    /// Everybody.
    Public,
    /// Members of the organisation and the exchange's staff.
    Inside,
    /// Members of both sides of the trade and the exchange's staff.
    Traded,
    /// Members of the organisation and compliance.
    Told,
}

/// One line of the table.
pub struct Case {
    pub operation: &'static str,
    pub who: Who,
    pub request: fn(&Things) -> Request,
}

const fn row(operation: &'static str, who: Who, request: fn(&Things) -> Request) -> Case {
    Case { operation, who, request }
}

const OPERATOR: Who = Platform(PlatformRole::Operator);
const COMPLIANCE: Who = Platform(PlatformRole::Compliance);
const ADMINS: &[Role] = &[];
const SIGNERS: &[Role] = &[Role::Signer];
const TRADERS: &[Role] = &[Role::Trader];
const EDITORS: &[Role] = &[Role::Signer, Role::Trader];
const MEMBERS: &[Role] = &[Role::Signer, Role::Trader, Role::Reader];

#[rustfmt::skip]
pub const TABLE: &[Case] = &[
    // store
    row("upload_part",         Link,                            |t| with(&t.part_url, json!({}))),
    row("download_object",     Link,                            |t| at(&t.download_url)),
    row("head_object",         Link,                            |t| at(&t.download_url)),
    // identity
    row("get_jwks",            Anyone,                          |_| at("/.well-known/jwks.json")),
    row("register_user",       Anyone,                          |_| with("/v1/users", json!({ "email": "new@person.test", "password": "short" }))),
    row("create_session",      Anyone,                          |_| with("/v1/sessions", json!({ "email": "nobody@person.test", "password": "not a password of anybody" }))),
    row("refresh_session",     Anyone,                          |_| with("/v1/sessions/refresh", json!({ "refresh_token": "unknown" }))),
    row("delete_session",      SignedIn,                        |_| at("/v1/sessions/current")),
    row("get_me",              SignedIn,                        |_| at("/v1/me")),
    row("change_password",     SignedIn,                        |_| with("/v1/me/password", json!({ "current_password": "", "new_password": "" }))),
    row("create_token",        SignedIn,                        |_| with("/v1/tokens", json!({ "name": "", "scope": "read", "expires_at": "2026-01-01T00:00:00Z" }))),
    row("list_tokens",         SignedIn,                        |_| at("/v1/tokens")),
    row("request_device_code", Anyone,                          |_| with("/oauth/device", json!({}))),
    row("redeem_device_code",  Anyone,                          |_| with("/oauth/token", json!({}))),
    row("get_device_login",    SignedIn,                        |t| at(format!("/v1/device-logins/{}", t.user_code))),
    row("deny_device_login",   SignedIn,                        |t| at(format!("/v1/device-logins/{}/denial", t.user_code))),
    row("approve_device_login", SignedIn,                       |t| at(format!("/v1/device-logins/{}/approval", t.user_code))),
    row("register_organisation", SignedIn,                      |_| with("/v1/organisations", json!({ "handle": "-", "legal_name": "", "registration_number": "", "country": "CN" }))),
    row("list_organisations",  SignedIn,                        |_| at("/v1/organisations")),
    row("get_organisation",    SignedIn,                        |_| at(organisation(HOUSE, ""))),
    row("get_organisation",    Insiders(Attic),                 |t| at(organisation(&t.attic, ""))),
    row("verify_organisation", OPERATOR,                        |_| at(organisation(HOUSE, "/verification"))),
    row("reject_organisation", OPERATOR,                        |_| with(organisation(HOUSE, "/rejection"), json!({ "reason": "" }))),
    row("get_rejection",       Insiders(Attic),                 |t| at(organisation(&t.loft, "/rejection"))),
    row("list_members",        Insiders(House),                 |_| at(organisation(HOUSE, "/members"))),
    row("list_members",        Insiders(Attic),                 |t| at(organisation(&t.attic, "/members"))),
    row("create_invitation",   Of(House, ADMINS, Public),       |_| with(organisation(HOUSE, "/invitations"), json!({ "role": "reader" }))),
    row("create_invitation",   Of(Attic, ADMINS, Inside),       |t| with(organisation(&t.attic, "/invitations"), json!({ "role": "reader" }))),
    row("list_invitations",    Of(House, ADMINS, Public),       |_| at(organisation(HOUSE, "/invitations"))),
    row("list_invitations",    Of(Attic, ADMINS, Inside),       |t| at(organisation(&t.attic, "/invitations"))),
    row("accept_invitation",   SignedIn,                        |_| with("/v1/invitations/acceptance", json!({ "code": "unknown" }))),
    row("put_member",          Of(House, ADMINS, Public),       |_| with(organisation(HOUSE, "/members"), json!({ "email": "house-reader@people.test", "role": "reader" }))),
    row("put_member",          Of(Attic, ADMINS, Inside),       |t| with(organisation(&t.attic, "/members"), json!({ "email": OWNER_EMAIL, "role": "admin" }))),
    row("register_key",        Of(House, SIGNERS, Public),      |_| with(organisation(HOUSE, "/keys"), unsigned(HOUSE))),
    row("register_key",        Of(Attic, SIGNERS, Inside),      |t| with(organisation(&t.attic, "/keys"), unsigned(&t.attic))),
    row("list_keys",           Anyone,                          |_| at(organisation(HOUSE, "/keys"))),
    row("list_keys",           Viewers(Attic),                  |t| at(organisation(&t.attic, "/keys"))),
    row("list_audit_records",  OPERATOR,                        |_| at("/v1/audit/records")),
    row("list_audit_days",     OPERATOR,                        |_| at("/v1/audit/days")),
    // catalog
    row("create_dataset",      Of(House, EDITORS, Public),      |_| with("/v1/datasets", dataset(HOUSE))),
    row("create_dataset",      Of(Attic, EDITORS, Inside),      |t| with("/v1/datasets", dataset(&t.attic))),
    row("list_datasets",       Anyone,                          |_| at("/v1/datasets")),
    row("get_dataset",         Anyone,                          |t| at(format!("/v1/datasets/{}", t.open_dataset))),
    row("get_dataset",         Viewers(House),                  |t| at(format!("/v1/datasets/{}", t.draft_dataset))),
    row("list_versions",       Anyone,                          |t| at(format!("/v1/datasets/{}/versions", t.open_dataset))),
    row("list_versions",       Viewers(House),                  |t| at(format!("/v1/datasets/{}/versions", t.draft_dataset))),
    row("get_version",         Anyone,                          |t| at(&t.open)),
    row("get_version",         Viewers(House),                  |t| at(t.draft())),
    row("get_card",            Anyone,                          |t| at(format!("{}/card", t.open))),
    row("get_card",            Viewers(House),                  |t| at(t.draft() + "/card")),
    row("list_shards",         Anyone,                          |t| at(format!("{}/shards", t.open))),
    row("list_shards",         Viewers(House),                  |t| at(t.draft() + "/shards")),
    row("get_manifest",        Anyone,                          |t| at(format!("{}/manifest", t.open))),
    row("get_manifest",        Viewers(House),                  |t| at(t.draft() + "/manifest")),
    row("get_inspection",      Anyone,                          |t| at(format!("{}/inspection", t.open))),
    row("get_inspection",      Viewers(House),                  |t| at(t.draft() + "/inspection")),
    row("get_preview",         SignedIn,                        |t| at(format!("{}/preview", t.open))),
    row("get_preview",         Insiders(House),                 |t| at(t.draft() + "/preview")),
    row("create_evaluation",   Of(Lab, TRADERS, Public),        |t| with("/v1/evaluations", evaluation(LAB, t))),
    row("create_evaluation",   Of(Attic, TRADERS, Inside),      |t| with("/v1/evaluations", evaluation(&t.attic, t))),
    row("list_evaluations",    SignedIn,                        |_| at("/v1/evaluations")),
    row("get_evaluation",      Parties,                         |t| at(format!("/v1/evaluations/{}", t.evaluation))),
    row("get_evaluation_passport", Insiders(Lab),               |t| at(format!("/v1/evaluations/{}/passport", t.evaluation))),
    row("get_usage",           Of(Lab, MEMBERS, Public),        |_| at(organisation(LAB, "/usage?side=licensee"))),
    row("get_usage",           Of(Attic, MEMBERS, Inside),      |t| at(organisation(&t.attic, "/usage?side=provider"))),
    row("create_sample_link",  Of(Lab, MEMBERS, Traded),        |t| at(format!("/v1/evaluations/{}/links", t.evaluation))),
    row("list_parents",        Anyone,                          |t| at(format!("{}/parents", t.open))),
    row("list_parents",        Viewers(House),                  |t| at(t.draft() + "/parents")),
    row("list_children",       Anyone,                          |t| at(format!("{}/children", t.open))),
    row("list_children",       Viewers(House),                  |t| at(t.draft() + "/children")),
    row("list_children_of_source", Anyone,                      |_| at(format!("/v1/sources/{}/children", "00".repeat(32)))),
    row("get_lineage",         Anyone,                          |t| at(format!("{}/lineage?direction=down", t.open))),
    row("get_lineage",         Viewers(House),                  |t| at(t.draft() + "/lineage?direction=up")),
    row("put_card",            Of(House, EDITORS, Public),      |t| with(format!("{}/card", t.open), json!({ "card": "" }))),
    row("put_card",            Of(House, EDITORS, Inside),      |t| with(t.draft() + "/card", json!({ "card": "" }))),
    row("create_upload",       Of(House, EDITORS, Public),      |t| with(format!("{}/uploads", t.open), upload_wish("a.jsonl"))),
    row("create_upload",       Of(House, EDITORS, Inside),      |t| with(t.draft() + "/uploads", upload_wish("a.jsonl"))),
    row("get_upload",          Insiders(House),                 |t| at(format!("/v1/uploads/{}", t.upload))),
    row("create_upload_urls",  Of(House, EDITORS, Inside),      |t| with(format!("/v1/uploads/{}/urls", t.upload), json!({ "parts": [1] }))),
    row("complete_upload",     Of(House, EDITORS, Inside),      |t| at(format!("/v1/uploads/{}/complete", t.upload))),
    row("put_shard",           Of(House, EDITORS, Public),      |t| with(format!("{}/shards/data/c.json", t.open), json!({}))),
    row("put_shard",           Of(House, EDITORS, Inside),      |t| with(t.draft() + "/shards/data/c.json", json!({}))),
    row("delete_shard",        Of(House, EDITORS, Public),      |t| at(format!("{}/shards/data/a.jsonl", t.open))),
    row("seal_version",        Of(House, SIGNERS, Public),      |t| with(format!("{}/seal", t.open), unsigned(HOUSE))),
    row("seal_version",        Of(House, SIGNERS, Inside),      |t| with(t.draft() + "/seal", unsigned(HOUSE))),
    // terms
    row("publish_terms",       Of(House, SIGNERS, Public),      |_| with("/v1/terms", unsigned(HOUSE))),
    row("publish_terms",       Of(Attic, SIGNERS, Inside),      |t| with("/v1/terms", unsigned(&t.attic))),
    row("get_terms",           Anyone,                          |t| at(format!("/v1/terms/{}", t.terms))),
    row("get_terms_odrl",      Anyone,                          |t| at(format!("/v1/terms/{}/odrl", t.terms))),
    row("get_odrl_profile",    Anyone,                          |_| at("/v1/odrl-profile")),
    row("list_terms",          Anyone,                          |_| at(organisation(HOUSE, "/terms"))),
    row("list_terms",          Viewers(Attic),                  |t| at(organisation(&t.attic, "/terms"))),
    // assessment
    row("get_checklist",       Anyone,                          |_| at("/v1/checklist")),
    row("create_assessment",   COMPLIANCE,                      |t| with(format!("{}/assessments", t.open), json!({ "checklist": [], "decision": "passed", "valid_days": 0 }))),
    row("list_assessments",    SignedIn,                        |t| at(format!("{}/assessments", t.open))),
    row("list_assessments",    Insiders(House),                 |t| at(t.draft() + "/assessments")),
    row("get_certificate",     Anyone,                          |t| at(format!("/v1/certificates/{}", t.certificate))),
    // ledger
    row("create_deposit",      OPERATOR,                        |_| with("/v1/deposits", json!({ "organisation": LAB, "amount": { "amount_minor": 0, "currency": "CNY" }, "reference": "nothing" }))),
    row("list_deposits",       SignedIn,                        |_| at("/v1/deposits")),
    row("approve_deposit",     OPERATOR,                        |t| at(format!("/v1/deposits/{}/approval", t.deposit))),
    row("refuse_deposit",      OPERATOR,                        |t| with(format!("/v1/deposits/{}/refusal", t.deposit), json!({ "reason": "" }))),
    row("reverse_deposit",     OPERATOR,                        |t| with(format!("/v1/deposits/{}/reversal", t.deposit), json!({ "reason": "" }))),
    row("request_withdrawal",  Of(Lab, TRADERS, Public),        |_| with(organisation(LAB, "/withdrawals"), withdrawal())),
    row("request_withdrawal",  Of(Attic, TRADERS, Inside),      |t| with(organisation(&t.attic, "/withdrawals"), withdrawal())),
    row("list_withdrawals",    SignedIn,                        |_| at("/v1/withdrawals")),
    row("execute_withdrawal",  OPERATOR,                        |t| with(format!("/v1/withdrawals/{}/execution", t.withdrawal), json!({ "reference": "" }))),
    row("approve_withdrawal",  OPERATOR,                        |t| at(format!("/v1/withdrawals/{}/approval", t.withdrawal))),
    row("refuse_withdrawal",   OPERATOR,                        |t| with(format!("/v1/withdrawals/{}/refusal", t.withdrawal), json!({ "reason": "" }))),
    row("reverse_withdrawal",  OPERATOR,                        |t| with(format!("/v1/withdrawals/{}/reversal", t.withdrawal), json!({ "reason": "" }))),
    row("list_accounts",       Insiders(Lab),                   |_| at(organisation(LAB, "/accounts"))),
    row("list_accounts",       Insiders(Attic),                 |t| at(organisation(&t.attic, "/accounts"))),
    row("list_postings",       Insiders(Lab),                   |_| at(organisation(LAB, "/postings"))),
    row("list_postings",       Insiders(Attic),                 |t| at(organisation(&t.attic, "/postings"))),
    row("get_statement",       Insiders(Lab),                   |_| at(organisation(LAB, STATEMENT))),
    row("get_statement",       Insiders(Attic),                 |t| at(organisation(&t.attic, STATEMENT))),
    // market
    row("create_listing",      Of(House, TRADERS, Public),      |t| with("/v1/listings", json!({ "dataset": t.open_dataset, "version": 1, "terms_id": t.terms }))),
    row("create_listing",      Of(House, TRADERS, Inside),      |t| with("/v1/listings", json!({ "dataset": t.draft_dataset, "version": 1, "terms_id": t.terms }))),
    row("list_listings",       Anyone,                          |_| at("/v1/listings")),
    row("get_listing",         Anyone,                          |t| at(format!("/v1/listings/{}", t.listing))),
    row("get_listing_odrl",    Anyone,                          |t| at(format!("/v1/listings/{}/odrl", t.listing))),
    row("object_to_listing",   Of(Lab, EDITORS, Public),        |t| with(format!("/v1/listings/{}/objections", t.listing), objection(LAB))),
    row("object_to_listing",   Of(Attic, EDITORS, Inside),      |t| with(format!("/v1/listings/{}/objections", t.listing), objection(&t.attic))),
    row("list_objections",     SignedIn,                        |t| at(format!("/v1/listings/{}/objections", t.listing))),
    row("uphold_objection",    COMPLIANCE,                      |_| with("/v1/objections/objection_01jd0000000000000000000000/upholding", json!({ "reason": "" }))),
    row("dismiss_objection",   COMPLIANCE,                      |_| with("/v1/objections/objection_01jd0000000000000000000000/dismissal", json!({ "reason": "" }))),
    row("list_listing_statements", Anyone,                      |t| at(format!("/v1/listings/{}/statements", t.listing))),
    row("create_quote",        Of(Lab, TRADERS, Public),        |t| with("/v1/quotes", order(LAB, t))),
    row("create_quote",        Of(Attic, TRADERS, Inside),      |t| with("/v1/quotes", order(&t.attic, t))),
    row("buy",                 Of(Lab, ADMINS, Public),         |t| with("/v1/purchases", purchase(LAB, t))),
    row("make_offer",          Of(House, SIGNERS, Public),      |_| with("/v1/offers", unsigned(HOUSE))),
    row("make_offer",          Of(Attic, SIGNERS, Inside),      |t| with("/v1/offers", unsigned(&t.attic))),
    row("list_offers",         SignedIn,                        |_| at("/v1/offers")),
    row("get_offer",           Parties,                         |t| at(format!("/v1/offers/{}", t.offer))),
    row("withdraw_offer",      Of(House, EDITORS, Traded),      |t| with(format!("/v1/offers/{}/withdrawal", t.offer), json!({ "reason": "" }))),
    row("begin_request",       Of(Lab, SIGNERS, Public),        |_| with("/v1/negotiations/request", unsigned(LAB))),
    row("begin_request",       Of(Attic, SIGNERS, Inside),      |t| with("/v1/negotiations/request", unsigned(&t.attic))),
    row("begin_offer",         Of(House, SIGNERS, Public),      |_| with("/v1/negotiations/offers", unsigned(HOUSE))),
    row("begin_offer",         Of(Attic, SIGNERS, Inside),      |t| with("/v1/negotiations/offers", unsigned(&t.attic))),
    row("list_negotiations",   SignedIn,                        |_| at("/v1/negotiations")),
    row("get_negotiation",     Parties,                         |t| at(negotiation(t, ""))),
    row("reply_request",       Of(Lab, SIGNERS, Traded),        |t| with(negotiation(t, "/request"), unsigned(LAB))),
    row("reply_offer",         Of(House, SIGNERS, Traded),      |t| with(negotiation(t, "/offers"), unsigned(HOUSE))),
    row("post_negotiation_event", Of(Lab, EDITORS, Traded),     |t| with(negotiation(t, "/events"), json!({ "event_type": "ACCEPTED" }))),
    row("post_negotiation_event", Of(House, EDITORS, Traded),   |t| with(negotiation(t, "/events"), json!({ "event_type": "FINALIZED" }))),
    row("agree_negotiation",   Of(House, SIGNERS, Traded),      |t| with(negotiation(t, "/agreement"), unsigned(HOUSE))),
    row("verify_agreement",    Of(Lab, SIGNERS, Traded),        |t| with(negotiation(t, "/agreement/verification"), unsigned(LAB))),
    row("terminate_negotiation", Sides(EDITORS),                |t| with(negotiation(t, "/termination"), json!({ "code": "", "reason": "" }))),
    row("place_order",         Of(Lab, TRADERS, Public),        |t| with("/v1/orders", order(LAB, t))),
    row("place_order",         Of(Attic, TRADERS, Inside),      |t| with("/v1/orders", order(&t.attic, t))),
    row("list_orders",         SignedIn,                        |_| at("/v1/orders")),
    row("get_order",           Parties,                         |t| at(format!("/v1/orders/{}", t.order))),
    row("get_contract",        Parties,                         |t| at(format!("/v1/orders/{}/contract", t.order))),
    row("get_contract_rendering", Parties,                      |t| at(format!("/v1/orders/{}/contract/rendering?lang=zh&format=html", t.order))),
    row("sign_contract",       Of(Lab, SIGNERS, Traded),        |t| with(format!("/v1/orders/{}/contract", t.order), unsigned(LAB))),
    row("create_programme",    Of(Lab, TRADERS, Public),        |_| with("/v1/voucher-programmes", programme(LAB))),
    row("create_programme",    Of(Attic, TRADERS, Inside),      |t| with("/v1/voucher-programmes", programme(&t.attic))),
    row("list_programmes",     Anyone,                          |_| at("/v1/voucher-programmes")),
    row("get_programme",       Anyone,                          |t| at(format!("/v1/voucher-programmes/{}", t.programme))),
    row("fund_programme",      Of(Lab, TRADERS, Public),        |t| with(format!("/v1/voucher-programmes/{}/funding", t.programme), json!({ "amount": { "amount_minor": 0, "currency": "CNY" } }))),
    row("return_programme",    Of(Lab, TRADERS, Public),        |t| at(format!("/v1/voucher-programmes/{}/return", t.programme))),
    row("list_voucher_movements", Insiders(Lab),                |t| at(format!("/v1/voucher-programmes/{}/movements", t.programme))),
    // delivery
    row("pay_order",           Of(Lab, TRADERS, Traded),        |t| at(format!("/v1/orders/{}/payment", t.order))),
    row("list_entitlements",   SignedIn,                        |_| at("/v1/entitlements")),
    row("get_entitlement",     Insiders(Lab),                   |t| at(format!("/v1/entitlements/{}", t.entitlement))),
    row("renew_entitlement",   Of(Lab, TRADERS, Inside),        |t| at(format!("/v1/entitlements/{}/renewals", t.entitlement))),
    row("create_links",        Of(Lab, MEMBERS, Inside),        |t| with(format!("/v1/entitlements/{}/links", t.entitlement), json!({ "paths": [] }))),
    row("list_seats",          Insiders(Lab),                   |t| at(format!("/v1/entitlements/{}/seats", t.entitlement))),
    row("assign_seat",         Of(Lab, ADMINS, Inside),         |t| at(format!("/v1/entitlements/{}/seats/{}", t.entitlement, t.spare_token))),
    row("free_seat",           Of(Lab, ADMINS, Inside),         |t| at(format!("/v1/entitlements/{}/seats/{}", t.entitlement, t.spare_token))),
    row("suspend_entitlement", Staff,                           |t| with(format!("/v1/entitlements/{}/suspension", t.entitlement), json!({ "reason": "" }))),
    row("reinstate_entitlement", Staff,                         |t| with(format!("/v1/entitlements/{}/reinstatement", t.entitlement), json!({ "reason": "" }))),
    row("revoke_entitlement",  Staff,                           |t| with(format!("/v1/entitlements/{}/revocation", t.entitlement), json!({ "reason": "" }))),
    row("get_passport",        Insiders(Lab),                   |t| at(format!("/v1/entitlements/{}/passport", t.entitlement))),
    // models
    row("declare_model",       Of(Lab, SIGNERS, Public),        |_| with("/v1/models", unsigned(LAB))),
    row("declare_model",       Of(Attic, SIGNERS, Inside),      |t| with("/v1/models", unsigned(&t.attic))),
    row("list_models",         SignedIn,                        |_| at("/v1/models")),
    row("get_model",           Parties,                         |t| at(format!("/v1/models/{}", t.model))),
    // compliance
    row("get_trace",           COMPLIANCE,                      |t| at(format!("/v1/trace?subject={}", t.open_dataset))),
    row("file_takedown",       SignedIn,                        |t| with("/v1/takedowns", json!({ "dataset": t.open_dataset, "version": 1, "claimant": "", "contact": "", "ground": "other", "statement": "" }))),
    row("list_takedowns",      SignedIn,                        |_| at("/v1/takedowns")),
    row("get_takedown",        Claimant,                        |t| at(format!("/v1/takedowns/{}", t.claim))),
    row("get_takedown",        Notified(House),                 |t| at(format!("/v1/takedowns/{}", t.case))),
    row("triage_takedown",     COMPLIANCE,                      |t| decision(t, "triage")),
    row("reject_takedown",     COMPLIANCE,                      |t| decision(t, "rejection")),
    row("block_takedown",      COMPLIANCE,                      |t| decision(t, "interim-block")),
    row("notify_provider",     COMPLIANCE,                      |t| decision(t, "notification")),
    row("counter_takedown",    Of(House, EDITORS, Told),        |t| with(format!("/v1/takedowns/{}/counter", t.case), json!({ "statement": "" }))),
    row("reinstate_takedown",  COMPLIANCE,                      |t| decision(t, "reinstatement")),
    row("uphold_takedown",     COMPLIANCE,                      |t| decision(t, "upholding")),
    row("issue_recall",        COMPLIANCE,                      |t| decision(t, "recall")),
    row("close_takedown",      COMPLIANCE,                      |t| decision(t, "closure")),
    row("list_recalls",        SignedIn,                        |_| at("/v1/recalls")),
    row("acknowledge_recall",  Of(Lab, EDITORS, Told),          |t| at(format!("/v1/recalls/{}/acknowledgement", t.recall))),
    row("attest_deletion",     Of(Lab, SIGNERS, Told),          |t| with(format!("/v1/recalls/{}/deletion", t.recall), unsigned(LAB))),
    row("declare_training",    Of(Lab, EDITORS, Told),          |t| with(format!("/v1/recalls/{}/training", t.recall), json!({ "declaration": "" }))),
    row("list_events",         COMPLIANCE,                      |t| at(format!("/v1/trace/events?subject={}", t.open_dataset))),
    row("export_trace",        COMPLIANCE,                      |t| at(format!("/v1/trace/export?format=csv&subject={}", t.open_dataset))),
    row("list_conflicts",      COMPLIANCE,                      |_| at("/v1/conflicts")),
    row("get_reconciliation",  Staff,                           |_| at("/v1/reconciliation")),
    // events
    row("replay_events",       Of(House, MEMBERS, Public),      |_| at(format!("/v1/events?organisation={HOUSE}"))),
    row("replay_events",       Of(Attic, MEMBERS, Inside),      |t| at(format!("/v1/events?organisation={}", t.attic))),
    row("create_webhook",      Of(House, ADMINS, Public),       |_| with(organisation(HOUSE, "/webhooks"), json!({ "url": "" }))),
    row("create_webhook",      Of(Attic, ADMINS, Inside),       |t| with(organisation(&t.attic, "/webhooks"), json!({ "url": "" }))),
    row("list_webhooks",       Of(House, ADMINS, Public),       |_| at(organisation(HOUSE, "/webhooks"))),
    row("list_webhooks",       Of(Attic, ADMINS, Inside),       |t| at(organisation(&t.attic, "/webhooks"))),
    row("rotate_webhook_secret", Of(House, ADMINS, Public),     |t| with(organisation(HOUSE, &format!("/webhooks/{}/secret", t.webhook)), json!({ "overlap_hours": 1000 }))),
    row("resume_webhook",      Of(House, ADMINS, Public),       |t| with(organisation(HOUSE, &format!("/webhooks/{}/resumption", t.webhook)), json!({ "cursor": "none" }))),
    row("list_webhook_attempts", Of(House, ADMINS, Public),     |t| at(organisation(HOUSE, &format!("/webhooks/{}/attempts", t.webhook)))),
    // exports
    row("get_catalog",         Anyone,                          |_| at("/v1/catalog")),
    row("get_croissant",       Anyone,                          |t| at(format!("{}/croissant", t.open))),
    // provenance
    row("get_checkpoint",      Anyone,                          |_| at("/log/checkpoint")),
    row("get_tile",            Anyone,                          |_| at("/log/tile/0/000.p/1")),
    row("get_log_consistency", Anyone,                          |_| at("/v1/log/consistency?old_size=0")),
    row("get_log_proof",       Anyone,                          |t| at(format!("/v1/log/proofs/{}", t.log_entry))),
    row("get_exchange_keys",   Anyone,                          |_| at("/v1/exchange/keys")),
    // operations
    row("get_health",          Anyone,                          |_| at("/healthz")),
    row("get_readiness",       Anyone,                          |_| at("/readyz")),
    row("get_metrics",         Anyone,                          |_| at("/metrics")),
    row("get_openapi",         Anyone,                          |_| at("/openapi.yaml")),
    row("get_docs",            Anyone,                          |_| at("/docs")),
    // what ends something
    row("create_version",      Of(House, EDITORS, Public),      |t| with(format!("/v1/datasets/{}/versions", t.open_dataset), json!({ "card": "" }))),
    row("create_version",      Of(House, EDITORS, Inside),      |t| with(format!("/v1/datasets/{}/versions", t.draft_dataset), json!({ "card": "" }))),
    row("cancel_withdrawal",   Of(Lab, TRADERS, Inside),        |t| at(format!("/v1/withdrawals/{}/cancellation", t.withdrawal))),
    row("process_withdrawal",  OPERATOR,                        |t| at(format!("/v1/withdrawals/{}/processing", t.withdrawal))),
    row("get_delivery",        Parties,                         |t| at(format!("/v1/orders/{}/delivery", t.order))),
    row("get_dispute",         Parties,                         |t| at(format!("/v1/orders/{}/dispute", t.order))),
    row("open_dispute",        Sides(TRADERS),                  |t| with(format!("/v1/orders/{}/dispute", t.order), json!({ "reason": "", "evidence": [] }))),
    row("appeal_dispute",      Sides(TRADERS),                  |t| with(format!("/v1/orders/{}/dispute/appeal", t.order), json!({ "reason": "" }))),
    row("decide_dispute",      OPERATOR,                        |t| with(format!("/v1/orders/{}/dispute/decision", t.order), json!({ "outcome": "buyer", "refund": null, "reason": "" }))),
    row("decide_appeal",       OPERATOR,                        |t| with(format!("/v1/orders/{}/dispute/appeal/decision", t.order), json!({ "outcome": "buyer", "refund": null, "reason": "" }))),
    row("get_trade_certificate", Parties,                       |t| at(format!("/v1/orders/{}/certificate", t.order))),
    row("cancel_order",        Of(Lab, TRADERS, Traded),        |t| with(format!("/v1/orders/{}/cancellation", t.order), json!({ "reason": "" }))),
    row("reject_order",        Of(Lab, TRADERS, Traded),        |t| with(format!("/v1/orders/{}/rejection", t.order), json!({ "reason": "" }))),
    row("offer_cure",          Of(House, TRADERS, Traded),      |t| with(format!("/v1/orders/{}/cure", t.order), json!({ "remedy": { "kind": "redelivery" }, "note": "" }))),
    row("redeliver_order",     Of(House, TRADERS, Traded),      |t| with(format!("/v1/orders/{}/redelivery", t.order), json!({ "note": "" }))),
    row("accept_cure",         Of(Lab, TRADERS, Traded),        |t| at(format!("/v1/orders/{}/cure/acceptance", t.order))),
    row("reject_cure",         Of(Lab, TRADERS, Traded),        |t| with(format!("/v1/orders/{}/cure/rejection", t.order), json!({ "reason": "" }))),
    row("accept_order",        Of(Lab, TRADERS, Traded),        |t| at(format!("/v1/orders/{}/acceptance", t.order))),
    row("revoke_token",        Owner,                           |t| at(format!("/v1/tokens/{}", t.spare_token))),
    row("delete_webhook",      Of(House, ADMINS, Public),       |t| at(organisation(HOUSE, &format!("/webhooks/{}", t.webhook)))),
    row("withdraw_invitation", Of(House, ADMINS, Public),       |t| at(organisation(HOUSE, &format!("/invitations/{}", t.invitation)))),
    row("delete_member",       Of(House, ADMINS, Public),       |t| at(organisation(HOUSE, &format!("/members/{}", t.leaver)))),
    row("revoke_key",          Of(House, SIGNERS, Public),      |t| with(organisation(HOUSE, &format!("/keys/{}/revocation", t.spare_key)), json!({}))),
    row("pause_listing",       Of(House, TRADERS, Public),      |t| at(format!("/v1/listings/{}/pause", t.listing))),
    row("resume_listing",      Of(House, TRADERS, Public),      |t| at(format!("/v1/listings/{}/resume", t.listing))),
    row("withdraw_listing",    Of(House, TRADERS, Public),      |t| with(format!("/v1/listings/{}/withdraw", t.listing), json!({}))),
];

const STATEMENT: &str = "/statements?currency=CNY&from=2026-01-01T00:00:00Z&to=2100-01-01T00:00:00Z";

fn organisation(handle: &str, rest: &str) -> String {
    format!("/v1/organisations/{handle}{rest}")
}

/// A dataset whose name is taken.
fn dataset(handle: &str) -> serde_json::Value {
    json!({
        "organisation": handle, "name": "poems", "title": "Poems", "modality": "text", "domain": "education",
        "languages": ["zh-Hant"],
    })
}

/// A programme that pays nothing.
fn programme(handle: &str) -> serde_json::Value {
    json!({
        "organisation": handle, "name": "nothing", "pool": { "amount_minor": 1, "currency": "CNY" },
        "rate_basis_points": 0, "cap_minor": 1, "domains": ["education"], "starts_at": "2026-01-01T00:00:00Z",
        "ends_at": "2100-01-01T00:00:00Z",
    })
}

/// A withdrawal of nothing.
fn withdrawal() -> serde_json::Value {
    json!({ "amount": { "amount_minor": 0, "currency": "CNY" }, "from": "wallet", "pay_to": "ICBC 6222" })
}

/// An objection that does not say why.
fn objection(handle: &str) -> serde_json::Value {
    json!({ "organisation": handle, "reason": "" })
}

/// A decision without a reason.
fn decision(things: &Things, step: &str) -> Request {
    with(format!("/v1/takedowns/{}/{step}", things.claim), json!({ "reason": "" }))
}

/// A purchase at no quote.
fn purchase(handle: &str, things: &Things) -> serde_json::Value {
    let mut purchase = unsigned(handle);
    purchase["quote"] = json!("");
    purchase["order"] = order(handle, things);
    purchase
}

/// The path of a negotiation, and what follows it.
fn negotiation(things: &Things, rest: &str) -> String {
    format!("/v1/negotiations/{}{rest}", things.negotiation)
}

/// An order that does not say what for.
fn order(handle: &str, things: &Things) -> serde_json::Value {
    json!({ "listing_id": things.listing, "organisation": handle, "use": "pretrain", "purpose": "" })
}

/// An evaluation that does not say what for.
fn evaluation(handle: &str, things: &Things) -> serde_json::Value {
    json!({ "listing_id": things.listing, "organisation": handle, "purpose": "" })
}
