//! By which indexes SQLite, which keeps no statistics here, finds what is asked for again and again.

use std::collections::BTreeSet;

use corpex::app::App;
use corpex::compliance::{self, EventQuery, takedowns};
use corpex::config::Config;
use corpex::db::{Conn, Db};
use corpex::error::Result;
use corpex::events::retention;
use corpex::identity::{self, Caller, Credential, Membership, PlatformRole, Role, Scope};
use corpex::jobs::{self, Lane};
use corpex::ledger::{self, AccountRef, withdrawals};
use corpex::market::{self, disputes, negotiation, offers, orders};
use corpex::types::{
    Currency, DatasetId, Digest, EntitlementId, Instant, Money, OrderId, OrganisationId, PageQuery, TokenId, UserId,
    VersionId,
};
use corpex::{catalog, delivery, events, history, models};
use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::authorisation;
use crate::support::{TestApp, watch};

type Question = fn(&mut Conn, Instant) -> Result<()>;

/// What is asked in requests and loops, and by what it is found: each a step of the plan of its own.
#[rustfmt::skip]
const QUESTIONS: &[(Question, &[&str])] = &[
    (|c, now| jobs::is_any_due(c, Lane::Any, now).map(drop),
        &["jobs_by_time (state=? AND is_long=? AND run_at<?)", "jobs_by_time (state=? AND is_long<?)"]),
    (|c, now| orders::list_due(c, now, "", 1).map(drop), &["orders_by_deadline (due_at>? AND due_at<?)"]),
    (|c, now| disputes::list_due(c, now, "", 1).map(drop), &["disputes_by_deadline (due_at>? AND due_at<?)"]),
    (|c, now| events::webhooks::waiting(c, now).map(drop), &["webhooks_by_time (due_at<?)"]),
    (|c, now| orders::orders(c, &trader(now), &PageQuery::default()).map(drop),
        &["orders_by_buyer (buyer_id=? AND id>?)", "orders_by_provider (provider_id=? AND id>?)"]),
    (|c, now| offers::offers(c, &trader(now), &PageQuery::default()).map(drop),
        &["offers_by_buyer (buyer_id=? AND id>?)", "offers_by_provider (provider_id=? AND id>?)"]),
    (|c, now| negotiation::negotiations(c, &trader(now), &PageQuery::default()).map(drop),
        &["negotiations_by_buyer (buyer_id=? AND id>?)", "negotiations_by_provider (provider_id=? AND id>?)"]),
    (|c, now| delivery::entitlements(c, &trader(now), &PageQuery::default()).map(drop),
        &["entitlements_of_holder (organisation_id=? AND id>?)"]),
    (|c, now| delivery::licences(c, &trader(now), &[DatasetId::new(now)]).map(drop),
        &["entitlements_by_holder (organisation_id=? AND version_id=?)",
          "entitlements_by_holder (organisation_id=? AND version_id=?)",
          "sqlite_autoindex_subscription_versions_1 (entitlement_id=?)"]),
    (|c, now| delivery::receipts_of(c, EntitlementId::new(now), "", 1).map(drop),
        &["receipts_by_entitlement (entitlement_id=? AND id>?)"]),
    (|c, now| identity::memberships_of(c, UserId::new(now)).map(drop), &["memberships_by_user (user_id=?)"]),
    (|c, now| history::list(c, OrderId::new(now)).map(drop), &["transitions_by_subject (subject=?)"]),
    (|c, _| market::listed_datasets(c, None, 1).map(drop), &["sqlite_autoindex_listings_2 (version_id=?)"]),
    (|c, now| market::listed_of(c, DatasetId::new(now), 1).map(drop),
        &["sqlite_autoindex_versions_2 (dataset_id=? AND number>?)", "sqlite_autoindex_listings_2 (version_id=?)"]),
    (|c, now| market::newest_listed_versions(c, &[DatasetId::new(now)]).map(drop),
        &["sqlite_autoindex_versions_2 (dataset_id=?)", "sqlite_autoindex_listings_2 (version_id=?)"]),
    (|c, now| catalog::newest_sealed_versions(c, &[DatasetId::new(now)]).map(drop),
        &["sqlite_autoindex_versions_2 (dataset_id=?)", "sqlite_autoindex_seals_1 (version_id=?)"]),
    (|c, now| catalog::sealed_with_number(c, DatasetId::new(now), 1).map(drop),
        &["sqlite_autoindex_versions_2 (dataset_id=? AND number=?)", "sqlite_autoindex_seals_1 (version_id=?)"]),
    (|c, now| catalog::sealed_with_digest(c, DatasetId::new(now), "00").map(drop),
        &["sqlite_autoindex_versions_2 (dataset_id=?)", "sqlite_autoindex_seals_1 (version_id=?)"]),
    (|c, now| catalog::media_of(c, &[VersionId::new(now)]).map(drop), &["sqlite_autoindex_shards_1 (version_id=?)"]),
    (|c, now| models::models_trained_on(c, VersionId::new(now), "", 1).map(drop),
        &["model_versions_by_version (version_id=? AND model_id>?)"]),
    (|c, now| compliance::events(c, &officer(now), &of_bytes(), &PageQuery::default(), now).map(drop),
        &["receipts_by_sha256 (sha256=? AND id>? AND id<?)", "statements_by_subject (subject=? AND id>? AND id<?)",
          "transitions_by_subject (subject=? AND id>? AND id<?)", "shards_by_sha256 (sha256=?)"]),
    (|c, _| ledger::balance(c, AccountRef::Escrow, Currency::CNY).map(drop), &["ledger_accounts_of_exchange"]),
    (stop_payouts, &["withdrawals_not_taken_up (organisation_id=?)"]),
];

/// Tables that stay small: their rows are gone through where that is easiest.
const SMALL: [&str; 2] = ["device_logins", "exchange_keys"];
/// What is there to go through everything.
const AUDITS: [&str; 1] = ["get_reconciliation"];

#[tokio::test]
async fn what_is_asked_for_again_and_again_is_found_by_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&folder.path().join("db.sqlite3").display().to_string(), 1).unwrap();
    db.migrate().await.unwrap();
    for (number, (question, lookups)) in QUESTIONS.iter().enumerate() {
        let mut plan = db.read(move |c| plan(c, *question)).await.unwrap();
        for lookup in *lookups {
            let step = plan.iter().position(|step| step.contains(lookup));
            let step = step.unwrap_or_else(|| panic!("question {number} not by {lookup}: {plan:#?}"));
            plan.remove(step);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_done_no_statement_goes_through_a_whole_table_that_grows() {
    let one_of_each = |config: &mut Config| {
        authorisation::settings(config);
        (config.database_url, config.database_connections) = (None, 1);
    };
    let app = TestApp::start_with(one_of_each).await;
    let db = app.app().db.clone();
    let read = db.read(|c| Ok(watch(c))).await.unwrap();
    let written = db.write(|c| Ok(watch(c))).await.unwrap();
    let app = authorisation::do_everything(app, &AUDITS).await;
    sweep(app.app()).await;
    let mut statements = BTreeSet::new();
    for seen in [read, written] {
        let seen = seen.lock().unwrap().clone();
        statements.extend(seen.iter().map(|statement| without_values(statement)).filter(|sql| is_planned(sql)));
    }
    assert!(statements.len() > 100, "only {} different statements were seen", statements.len());
    let scans = db.read(move |c| {
        let tables = details(c, "SELECT name AS detail FROM sqlite_master WHERE type = 'table'")?;
        let is_whole = |step: &String| {
            let scanned = step.strip_prefix("SCAN ");
            scanned.is_some_and(|name| !SMALL.contains(&name) && tables.iter().any(|table| table == name))
        };
        let mut scans = Vec::new();
        for statement in statements {
            let steps = details(c, &format!("EXPLAIN QUERY PLAN {statement}"))?;
            scans.extend(steps.into_iter().filter(is_whole).map(|step| format!("{step}: {statement}")));
        }
        Ok(scans)
    });
    let scans = scans.await.unwrap();
    assert!(scans.is_empty(), "{}", scans.join("\n"));
}

/// Everything that is gone through now and then for what time has ended.
async fn sweep(app: &App) {
    catalog::sweep_stale_uploads(app).await.unwrap();
    market::review_due_listings(app).await.unwrap();
    delivery::expire_ended(app).await.unwrap();
    delivery::announce_ends(app).await.unwrap();
    delivery::trades::pass_deadlines(app).await.unwrap();
    identity::close_days(app).await.unwrap();
    ledger::close_accounts(app).await.unwrap();
    offers::expire_ended(app).await.unwrap();
    negotiation::expire_idle(app).await.unwrap();
    takedowns::recalls::mark_overdue(app).await.unwrap();
    retention::remove_old(app).await.unwrap();
}

/// A member of one organisation, which the database need not know.
fn trader(now: Instant) -> Caller {
    let membership = Membership {
        organisation_id: OrganisationId::new(now),
        handle: "verse-lab".into(),
        role: Role::Trader,
        verified: true,
    };
    Caller { platform_role: None, memberships: vec![membership], ..officer(now) }
}

fn officer(now: Instant) -> Caller {
    Caller {
        user_id: UserId::new(now),
        email: "somebody@exchange.test".into(),
        platform_role: Some(PlatformRole::Compliance),
        scope: Scope::Read,
        credential: Credential::Token(TokenId::new(now)),
        memberships: Vec::new(),
    }
}

/// The events of some bytes.
fn of_bytes() -> EventQuery {
    EventQuery { subject: Some(Digest::of("bytes").to_string()), ..EventQuery::default() }
}

fn stop_payouts(c: &mut Conn, now: Instant) -> Result<()> {
    let (organisation, opener) = (OrganisationId::new(now), UserId::new(now));
    withdrawals::stop(c, organisation, Money::new(1, Currency::CNY), (opener, "it is disputed"), now).map(drop)
}

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    detail: String,
}

/// How the database finds an answer.
fn plan(c: &mut Conn, question: Question) -> Result<Vec<String>> {
    let statements = watch(c);
    question(c, Instant::from_unix_micros(1))?;
    let asked = statements.lock().unwrap().clone();
    let mut plan = Vec::new();
    for statement in asked {
        plan.extend(details(c, &format!("EXPLAIN QUERY PLAN {}", without_values(&statement)))?);
    }
    Ok(plan)
}

/// The `detail` of each row that a statement finds.
fn details(c: &mut Conn, statement: &str) -> Result<Vec<String>> {
    let Conn::Sqlite(sqlite) = c else { panic!("this is a file of SQLite") };
    let steps: Vec<Step> = diesel::sql_query(statement).load(sqlite)?;
    Ok(steps.into_iter().map(|step| step.detail).collect())
}

/// A statement as it is sent, without what is bound to it.
fn without_values(statement: &str) -> String {
    statement.split(" -- binds:").next().unwrap_or_default().to_string()
}

/// Whether a statement looks for rows. One that looks for one of no values finds none; one that inserts values looks for none:
/// what SQLite plans for it are the tables that refer to this one, which it reads only while a reference leads nowhere.
fn is_planned(statement: &str) -> bool {
    let inserts_values = statement.starts_with("INSERT") && !statement.contains("SELECT");
    ["SELECT", "INSERT", "UPDATE", "DELETE"].iter().any(|verb| statement.starts_with(verb))
        && !inserts_values
        && !statement.contains("1=0")
}
