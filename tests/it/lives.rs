//! Lives: rows move through their states along the drawn edges only, whoever moves them.

use std::str::FromStr;

use corpex::catalog::VersionState;
use corpex::compliance::takedowns::TakedownState;
use corpex::compliance::takedowns::recalls::RecallState;
use corpex::db::LIVES;
use corpex::delivery::EntitlementState;
use corpex::error::Error;
use corpex::identity::OrganisationState;
use corpex::ledger::{DepositState, WithdrawalState};
use corpex::market::disputes::DisputeState;
use corpex::market::{ListingState, NegotiationState, ObjectionState, OfferState, OrderState};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::support::{Actor, TestApp};

/// Whether a row in one state may next be in another.
type Rule = Box<dyn Fn(&str, &str) -> bool>;

/// One kind of row: where it lives, the states of its life, and the rule of its domain.
struct Life {
    table: &'static str,
    states: Vec<&'static str>,
    /// The rule; none where the domain says at each step where from it may be taken.
    may_become: Option<Rule>,
}

fn life<S: Copy + FromStr<Err = Error> + 'static>(
    table: &'static str,
    all: &[S],
    name: fn(S) -> &'static str,
    may_become: fn(S, S) -> bool,
) -> Life {
    let rule = move |from: &str, to: &str| may_become(from.parse().unwrap(), to.parse().unwrap());
    Life { table, states: all.iter().map(|state| name(*state)).collect(), may_become: Some(Box::new(rule)) }
}

fn lives() -> Vec<Life> {
    let versions = VersionState::ALL.iter().map(|state| state.as_str()).collect();
    vec![
        life("organisations", OrganisationState::ALL, OrganisationState::as_str, OrganisationState::may_become),
        Life { table: "versions", states: versions, may_become: None },
        life("deposits", DepositState::ALL, DepositState::as_str, DepositState::may_become),
        life("withdrawals", WithdrawalState::ALL, WithdrawalState::as_str, WithdrawalState::may_become),
        life("listings", ListingState::ALL, ListingState::as_str, ListingState::may_become),
        life("objections", ObjectionState::ALL, ObjectionState::as_str, ObjectionState::may_become),
        life("orders", OrderState::ALL, OrderState::as_str, OrderState::may_become),
        life("entitlements", EntitlementState::ALL, EntitlementState::as_str, EntitlementState::may_become),
        life("takedowns", TakedownState::ALL, TakedownState::as_str, TakedownState::may_become),
        life("recalls", RecallState::ALL, RecallState::as_str, RecallState::may_become),
        life("disputes", DisputeState::ALL, DisputeState::as_str, DisputeState::may_become),
        life("offers", OfferState::ALL, OfferState::as_str, OfferState::may_become),
        life("negotiations", NegotiationState::ALL, NegotiationState::as_str, NegotiationState::may_become),
    ]
}

/// An edge of a life; `from_state` is empty for a new row.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
struct Edge {
    #[diesel(sql_type = Text)]
    from_state: String,
    #[diesel(sql_type = Text)]
    to_state: String,
}

async fn edges(app: &TestApp, table: &'static str) -> Vec<Edge> {
    let sql = format!("SELECT from_state, to_state FROM state_edges WHERE life = '{table}' ORDER BY 1, 2");
    app.app().db.read(move |c| Ok(diesel::sql_query(&sql).load::<Edge>(c)?)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_draws_the_edges_that_the_domains_allow() {
    let app = TestApp::start().await;
    let lives = lives();
    assert_eq!(lives.iter().map(|life| life.table).collect::<Vec<_>>(), LIVES);
    for life in lives {
        let drawn = edges(&app, life.table).await;
        assert!(drawn.iter().any(|edge| edge.from_state.is_empty()), "{}: nothing begins", life.table);
        let Some(may_become) = life.may_become else { continue };
        for from in &life.states {
            for to in &life.states {
                let is_drawn = drawn.iter().any(|edge| edge.from_state == *from && edge.to_state == *to);
                assert_eq!(is_drawn, may_become(from, to), "{}: {from} to {to}", life.table);
            }
        }
    }
}

/// The states on the way from the first of `drawn` to `goal`; none where no way leads there.
fn way(drawn: &[Edge], first: &str, goal: &str) -> Option<Vec<String>> {
    let mut ways = vec![vec![first.to_string()]];
    let mut next = 0;
    while let Some(so_far) = ways.get(next).cloned() {
        let here = so_far.last().unwrap();
        if here == goal {
            return Some(so_far);
        }
        for edge in drawn.iter().filter(|edge| edge.from_state == *here) {
            if !ways.iter().any(|known| known.last() == Some(&edge.to_state)) {
                ways.push([so_far.clone(), vec![edge.to_state.clone()]].concat());
            }
        }
        next += 1;
    }
    None
}

/// What becomes of a row that raw SQL takes through these states in turn; nothing of it is kept.
async fn walk(app: &TestApp, table: &'static str, states: Vec<String>) -> Result<(), String> {
    let first = states.first().unwrap().clone();
    let steps = move |c: &mut corpex::db::Conn| -> corpex::error::Result<()> {
        let row = format!("SELECT MIN(id) FROM {table} WHERE state = '{first}'");
        let found = diesel::sql_query(format!("SELECT id AS row_id FROM {table} WHERE id = ({row})"));
        let id = found.get_result::<Row>(c)?.row_id;
        for state in states.iter().skip(1) {
            c.batch_execute(&format!("UPDATE {table} SET state = '{state}' WHERE id = '{id}'"))?;
        }
        Err(Error::invalid("walked", "to the end"))
    };
    let error = app.app().db.write(steps).await.unwrap_err();
    if error.field.as_deref() == Some("walked") {
        return Ok(());
    }
    Err(std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string))
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    row_id: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_moves_a_row_along_an_edge_that_is_not_drawn() {
    let app = TestApp::start().await;
    let (provider, lab) = (app.provider().await, app.lab("verse-lab", 50_001).await);
    Actor::register(&app.anonymous(), "poetry-attic").await;
    let offer = app.listed_corpus(&provider, "poems", 50_000).await;
    app.operator.deposit("verse-lab", app.app().config.approval_above + 1, "a large deposit").await;
    lab.withdraw(1).await.unwrap();
    provider.draft("drafts").await;
    lab.buy(&offer).await.unwrap();
    lab.place(&offer).await.unwrap();
    provider.claim(&offer.dataset).await;
    let recall = "INSERT INTO recalls (id, takedown_id, entitlement_id, organisation_id, state, due_at, issued_at) \
                  SELECT 'recall_1', takedowns.id, entitlements.id, entitlements.organisation_id, 'notified', granted_at, \
                  granted_at FROM takedowns, entitlements";
    app.app().db.write(move |c| Ok(c.batch_execute(recall)?)).await.unwrap();
    let objection = "INSERT INTO objections (id, listing_id, objector_id, filed_by, document, document_sha256, state, filed_at) \
                     SELECT 'objection_1', listings.id, buyer_id, users.id, '{}', '', 'open', orders.created_at \
                     FROM listings JOIN orders ON listing_id = listings.id CROSS JOIN users LIMIT 1";
    app.app().db.write(move |c| Ok(c.batch_execute(objection)?)).await.unwrap();
    provider.publish_terms(1).await;
    app.drain().await;
    let announced = "INSERT INTO listings (id, version_id, terms_id, assessment_id, provider_id, state, notice_ends_at, created_at) \
                     SELECT 'listing_1', version_id, terms.id, assessment_id, provider_id, 'public_notice', created_at, created_at \
                     FROM listings JOIN terms ON terms.id <> terms_id";
    app.app().db.write(move |c| Ok(c.batch_execute(announced)?)).await.unwrap();
    let dispute = "INSERT INTO disputes (id, order_id, opened_by, reason, evidence, state, opened_at) \
                   SELECT 'dispute_1', id, buyer_id, 'wrong', '[]', 'open', created_at FROM orders LIMIT 1";
    app.app().db.write(move |c| Ok(c.batch_execute(dispute)?)).await.unwrap();
    lab.offered_by(&provider, &offer, 40_000).await;
    lab.negotiated_by(&provider, &offer, 40_000).await;
    for life in lives() {
        let drawn = edges(&app, life.table).await;
        let first = &drawn.iter().find(|edge| edge.from_state.is_empty()).unwrap().to_state;
        for from in &life.states {
            let Some(there) = way(&drawn, first, from) else { continue };
            for to in life.states.iter().filter(|to| *to != from) {
                let walked = walk(&app, life.table, [there.clone(), vec![to.to_string()]].concat()).await;
                let is_drawn = drawn.iter().any(|edge| edge.from_state == *from && edge.to_state == *to);
                match walked {
                    Ok(()) => assert!(is_drawn, "{}: {from} became {to}", life.table),
                    Err(cause) => {
                        assert!(!is_drawn, "{}: {from} could not become {to}: {cause}", life.table);
                        assert!(cause.contains("draws no edge"), "{}: {from} to {to}: {cause}", life.table);
                    }
                }
            }
        }
    }
    // Rows that statements made have no history, as an audit would tell.
    app.abandon().await;
}
