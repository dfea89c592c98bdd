//! Events: an organisation is told of every step that concerns it, and of nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use corpex::db::Conn;
use corpex::error::{Error, Kind, Result};
use corpex::events::{dispatch, retention};
use corpex::history;
use corpex::leases::Claimant;
use corpex::types::{DAY, OrganisationId};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use serde_json::{Value, json};

use crate::support::{Actor, TestApp};

/// One page of an actor's events.
async fn page(actor: &Actor, query: &str) -> Result<(Vec<Value>, String)> {
    let page = actor.get(format!("/v1/events?organisation={}&{query}", actor.handle)).await?;
    Ok((page["items"].as_array().unwrap().clone(), page["next"].as_str().unwrap().to_string()))
}

async fn all(actor: &Actor) -> Vec<Value> {
    page(actor, "limit=1000").await.unwrap().0
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

async fn count(app: &TestApp, from: &'static str) -> i64 {
    let sql = format!("SELECT COUNT(*) AS count FROM {from}");
    app.app().db.read(move |c| Ok(diesel::sql_query(&sql).get_result::<Count>(c)?.count)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_of_a_trade_are_told_of_it_and_nobody_else_is() {
    let app = TestApp::start().await;
    let (provider, lab) = (app.provider().await, app.lab("verse-lab", 50_000).await);
    let stranger = app.organisation("idle-lab").await;
    let offer = app.listed_corpus(&provider, "poems", 50_000).await;
    let entitlement = lab.buy(&offer).await.unwrap();
    let because = json!({ "reason": "the invoice was disputed" });
    app.operator.post(format!("/v1/entitlements/{entitlement}/suspension"), &because).await.unwrap();
    app.drain().await; // the corpus is inspected
    app.told().await;

    let (sold, bought) = (all(&provider).await, all(&lab).await);
    let trade = [
        "order.awaiting_signature",
        "order.awaiting_payment",
        "order.escrowed",
        "entitlement.active",
        "entitlement.suspended",
    ];
    let steps = |events: &[Value]| -> Vec<Value> {
        let is_trade = |event: &&Value| trade.contains(&event["type"].as_str().unwrap());
        events.iter().filter(is_trade).cloned().collect()
    };
    assert_eq!(types(&steps(&bought)), trade);
    let ids = |events: &[Value]| events.iter().map(|event| event["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&steps(&sold)), ids(&steps(&bought)), "one step has one id, whoever is told of it");
    let last = bought.last().unwrap();
    assert_eq!(last["data"]["subject"], json!(entitlement));
    assert_eq!((&last["data"]["from_state"], &last["data"]["to_state"]), (&json!("active"), &json!("suspended")));
    assert!(!last.to_string().contains("invoice"), "a reason is no part of an event: {last}");
    for kind in ["listing.listed", "version.sealed", "version.inspected", "key.active", "org.verified"] {
        assert!(types(&sold).contains(&kind), "{kind} among {:?}", types(&sold));
    }
    assert!(types(&bought).contains(&"deposit.posted") && !types(&bought).contains(&"listing.listed"));
    for (actor, told) in [(&provider, &sold), (&lab, &bought)] {
        for kind in BTreeSet::from_iter(types(told)) {
            assert!(!page(actor, &format!("types={kind}")).await.unwrap().0.is_empty(), "{kind}");
        }
    }
    let numbers: Vec<_> = bought.iter().map(|event| event["data"]["position"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=bought.len() as u64).collect::<Vec<_>>(), "numbered without gaps");

    let own = all(&stranger).await;
    assert!(
        types(&own).iter().all(|kind| ["org.", "member.", "key."].iter().any(|own| kind.starts_with(own))),
        "{own:?}"
    );
    let refused = stranger.get("/v1/events?organisation=verse-lab").await.unwrap_err();
    assert_eq!(refused.kind, Kind::Forbidden);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_not_told_of_a_claim_before_it_is_notified() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", 50_000).await;
    let case = app.operator.claim(&offer.dataset).await;
    for step in ["triage", "interim-block"] {
        app.compliance.decide(&case, step).await.unwrap();
    }
    app.told().await;
    let known = |events: &[Value]| events.iter().any(|event| event.to_string().contains(&case));
    assert!(!known(&all(&provider).await));
    app.compliance.decide(&case, "notification").await.unwrap();
    app.told().await;
    assert!(known(&all(&provider).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_is_read_page_by_page_and_on_from_where_it_ended() {
    let app = TestApp::start().await;
    let lab = app.lab("verse-lab", 10_000).await;
    app.told().await;
    let (whole, end) = page(&lab, "limit=1000").await.unwrap();
    let (mut read, mut cursor) = (Vec::new(), "0".to_string());
    loop {
        let (items, next) = page(&lab, &format!("limit=2&cursor={cursor}")).await.unwrap();
        if items.is_empty() {
            assert_eq!(next, end, "at the end the cursor stays");
            break;
        }
        read.extend(items);
        cursor = next;
    }
    assert_eq!(read, whole);
    app.operator.deposit("verse-lab", 1, "bank-2").await;
    app.told().await;
    let (since, _) = page(&lab, &format!("cursor={end}")).await.unwrap();
    assert_eq!(types(&since), ["deposit.posted"], "and what happened since comes after it");
    let (chosen, _) = page(&lab, "types=org.verified,deposit.posted").await.unwrap();
    assert_eq!(types(&chosen), ["org.verified", "deposit.posted", "deposit.posted"]);
    let (first, after_first) = page(&lab, "types=deposit.posted&limit=1").await.unwrap();
    assert_eq!(after_first, first[0]["data"]["position"].to_string(), "others may come after a full page");
    let (none, after_none) = page(&lab, "types=webhook.disabled").await.unwrap();
    let (_, end) = page(&lab, "limit=1000").await.unwrap();
    assert!(none.is_empty());
    assert_eq!(after_none, end, "what a filter leaves out is not looked through again");

    for (query, field) in [
        ("cursor=later", "cursor"),
        ("cursor=-1", "cursor"),
        ("limit=0", "limit"),
        ("types=order", "types"),
        ("types=", "types"),
        ("types=order.excrowed", "types"),
    ] {
        let refused = page(&lab, query).await.unwrap_err();
        assert_eq!((refused.kind, refused.field.as_deref()), (Kind::Invalid, Some(field)), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outbox_holds_a_step_exactly_when_it_happened() {
    let app = TestApp::start_with(|config| config.no_worker = true).await;
    let lab = app.lab("verse-lab", 10_000).await;
    let now = app.clock.now();
    let half_done = move |c: &mut Conn| -> Result<()> {
        history::record(c, OrganisationId::new(now), None, "registered", "exchange", "never happens", now)?;
        Err(Error::invalid("half", "done"))
    };
    app.app().db.write(half_done).await.unwrap_err();
    assert_eq!(count(&app, "outbox").await, count(&app, "transitions").await);
    assert_eq!(count(&app, "outbox JOIN transitions ON id = transition_id").await, count(&app, "outbox").await);
    assert!(all(&lab).await.is_empty(), "nobody is told before the dispatcher comes");

    while dispatch::step(app.app(), &Claimant::new("one")).await.unwrap() {}
    assert_eq!(count(&app, "outbox").await, 0);
    assert!(!dispatch::step(app.app(), &Claimant::new("two")).await.unwrap(), "nothing is told twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_kept_for_a_time_and_a_cursor_from_before_is_told_so() {
    let app = TestApp::start_with(|config| config.event_retention_days = 30).await;
    let (lab, idle) = (app.lab("verse-lab", 10_000).await, app.organisation("idle-lab").await);
    app.told().await;
    let (before, end) = page(&lab, "limit=1000").await.unwrap();
    let idle_before = all(&idle).await;
    app.clock.advance(DAY * 29);
    retention::remove_old(app.app()).await.unwrap();
    assert_eq!(all(&lab).await, before);
    app.clock.advance(DAY * 2);
    app.operator.deposit("verse-lab", 1, "bank-2").await;
    app.told().await;
    retention::remove_old(app.app()).await.unwrap();

    let (kept, _) = page(&lab, "limit=1000").await.unwrap();
    assert_eq!(types(&kept), ["deposit.posted"]);
    assert_eq!(kept[0]["data"]["position"], json!(before.len() + 1), "the numbers go on");
    assert_eq!(page(&lab, &format!("cursor={end}")).await.unwrap().0, kept, "whoever had read on misses nothing");
    let missed = page(&lab, "cursor=1").await.unwrap_err();
    assert_eq!((missed.kind, missed.field.as_deref()), (Kind::Gone, Some("cursor")));
    assert!(missed.remedy.unwrap().contains(&format!("cursor {end}")));
    assert_eq!(all(&idle).await, idle_before[idle_before.len() - 1..], "the last event stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_tells_nobody_says_so() {
    let app = TestApp::start_with(|config| config.no_worker = true).await;
    app.lab("verse-lab", 0).await;
    let readiness = || async {
        let answer = reqwest::get(format!("{}/readyz", app.url)).await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    assert_eq!(readiness().await.1["dispatcher"], "ok");
    app.clock.advance(Duration::from_secs(60));
    let (status, parts) = readiness().await;
    let waits = parts["dispatcher"].as_str().unwrap().contains("have waited to be told of since");
    assert!(status == 200 && waits, "no other instance would fare better: {parts}");
    let metrics = reqwest::get(format!("{}/metrics", app.url)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains(r#"corpex_state{of="dispatcher_stuck"} 1"#), "{metrics}");
    while dispatch::step(app.app(), &Claimant::new("one")).await.unwrap() {}
    assert_eq!(readiness().await.1["dispatcher"], "ok");
}

/// Steps of long and short transactions, two dispatchers that take turns, and a reader who goes on from its cursor.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_appears_before_a_cursor_that_was_handed_out() {
    const WRITERS: u64 = 6;
    const STEPS: u64 = 15;
    let app = TestApp::start_with(|config| config.no_worker = true).await;
    let lab = app.lab("verse-lab", 0).await;
    let me = app.operator.get("/v1/organisations/verse-lab").await.unwrap();
    let organisation: OrganisationId = me["id"].as_str().unwrap().parse().unwrap();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (db, clock) = (app.app().db.clone(), app.clock.clone());
            tokio::spawn(async move {
                for step in 0..STEPS {
                    let (state, now) = (format!("{writer}-{step}"), clock.now());
                    let record = move |c: &mut Conn| {
                        history::record(c, organisation, None, &state, "exchange", "a step", now)?;
                        std::thread::sleep(Duration::from_millis((writer * 3 + step) % 7));
                        Ok(())
                    };
                    db.write(record).await.unwrap();
                }
            })
        })
        .collect();
    let dispatchers: Vec<_> = ["one", "two"]
        .map(|owner| {
            let app = app.app().clone();
            let claimant = Claimant::new(owner);
            tokio::spawn(async move {
                loop {
                    dispatch::step(&app, &claimant).await.unwrap();
                    app.db.write(move |c| dispatch::release(c, owner)).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(3)).await;
                }
            })
        })
        .into();
    let (mut read, mut cursor) = (Vec::new(), "0".to_string());
    loop {
        let written = writers.iter().all(tokio::task::JoinHandle::is_finished);
        let dispatched = written && !app.app().db.read(dispatch::is_due).await.unwrap();
        let (items, next) = page(&lab, &format!("limit=7&cursor={cursor}")).await.unwrap();
        if items.is_empty() && dispatched {
            break;
        }
        read.extend(items);
        cursor = next;
    }
    dispatchers.iter().for_each(tokio::task::JoinHandle::abort);
    assert_eq!(read, all(&lab).await, "whoever followed the cursor read all there is");
    let ids: BTreeSet<_> = read.iter().map(|event| event["id"].to_string()).collect();
    assert_eq!(ids.len(), read.len(), "each once");
    assert!(read.len() as u64 >= WRITERS * STEPS);
}
