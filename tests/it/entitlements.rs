//! The life of a licence after it was granted: suspended, reinstated, revoked, ended.

use corpex::db::Conn;
use corpex::delivery::{self, trades};
use corpex::error::{Kind, Result};
use corpex::identity::{Caller, Role};
use corpex::provenance::StatementKind;
use corpex::provenance::passport::{Report, Trust, verify};
use corpex::types::{DAY, EntitlementId};
use serde_json::{Value, json};

use crate::support::{Actor, TestApp, counted, last_step, refused, terms, watch};

struct Story {
    app: TestApp,
    lab: Actor,
    entitlement: String,
}

impl Story {
    /// A lab licensed poems for one day.
    async fn licensed_for_a_day() -> Self {
        let app = TestApp::start().await;
        let provider = app.provider().await;
        let published =
            provider.publish("poems", &[("data/a.jsonl", b"{\"text\":\"one\"}\n"), ("data/b.jsonl", b"{}\n")]).await;
        app.compliance.assess(&published).await;
        let mut document = terms(50_000);
        document["duration_days"] = json!(1);
        let terms = provider.try_publish_terms(&document).await.unwrap()["id"].as_str().unwrap().to_string();
        let offer = provider.list(&published, &terms).await;
        let lab = app.lab("verse-lab", 50_000).await;
        let entitlement = lab.buy(&offer).await.unwrap();
        Self { app, lab, entitlement }
    }

    async fn change(&self, who: &Actor, step: &str, reason: &str) -> Result<Value> {
        who.effect(format!("/v1/entitlements/{}/{step}", self.entitlement), &json!({ "reason": reason })).await
    }

    /// The lab's administrator, with no more rights than a reader of its.
    async fn reader(&self) -> Caller {
        let mut caller = self.lab.caller().await;
        caller.memberships.iter_mut().for_each(|membership| membership.role = Role::Reader);
        caller
    }

    async fn download(&self) -> Result<Value> {
        self.lab.links(&self.entitlement, &["data/a.jsonl"]).await
    }

    /// The order that the licence was bought with.
    async fn order(&self) -> Value {
        let orders = self.lab.get("/v1/orders").await.unwrap();
        self.lab.get(format!("/v1/orders/{}", orders["items"][0]["id"].as_str().unwrap())).await.unwrap()
    }

    async fn shown(&self) -> Value {
        self.lab.get(format!("/v1/entitlements/{}", self.entitlement)).await.unwrap()
    }

    /// What the licensee's passport says now, to whoever verifies it offline.
    async fn verified(&self) -> Report {
        self.app.sequenced().await;
        let path = format!("/v1/entitlements/{}/passport", self.entitlement);
        let passport = self.lab.client.get(path).text().await.unwrap();
        verify(passport.as_bytes(), &Trust::default()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_licence_gives_no_link_until_it_is_reinstated_and_a_revoked_one_never_again() {
    let story = Story::licensed_for_a_day().await;
    let (operator, officer) = (&story.app.operator, &story.app.compliance);
    story.download().await.unwrap();

    assert_eq!(story.change(operator, "suspension", "the invoice is disputed").await.unwrap()["state"], "suspended");
    let refused = story.download().await.unwrap_err();
    assert_eq!(refused.kind, Kind::NotEntitled);
    assert!(refused.detail.contains("is suspended"), "{refused}");
    let shown = story.shown().await;
    let person = operator.get("/v1/me").await.unwrap()["user_id"].as_str().unwrap().to_string();
    assert_eq!(last_step(&shown), ("suspended", person.as_str(), "the invoice is disputed"));
    let twice = story.change(operator, "suspension", "again").await.unwrap_err();
    assert_eq!(twice.kind, Kind::WrongState);

    story.change(officer, "reinstatement", "the dispute is settled").await.unwrap();
    story.download().await.unwrap();

    assert_eq!(
        story.change(officer, "revocation", "the use was not the declared one").await.unwrap()["state"],
        "revoked"
    );
    assert_eq!(story.download().await.unwrap_err().kind, Kind::NotEntitled);
    for step in ["suspension", "reinstatement", "revocation"] {
        let refused = story.change(officer, step, "too late").await.unwrap_err();
        assert_eq!(refused.kind, Kind::WrongState, "{step}");
        assert!(refused.detail.contains("is revoked and cannot become"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_licence_says_why() {
    let story = Story::licensed_for_a_day().await;
    for reason in ["", "  ", "with a \u{202e} in it", &"x".repeat(501)] {
        let refused = story.change(&story.app.operator, "suspension", reason).await.unwrap_err();
        assert_eq!((refused.kind, refused.field.as_deref()), (Kind::Invalid, Some("reason")), "{reason:?}");
    }
    assert_eq!(story.change(&story.lab, "suspension", "on holiday").await.unwrap_err().kind, Kind::Forbidden);
    assert_eq!(story.shown().await["state"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_licence_ends_with_its_term() {
    let story = Story::licensed_for_a_day().await;
    story.change(&story.app.operator, "suspension", "the invoice is disputed").await.unwrap();
    delivery::expire_ended(story.app.app()).await.unwrap();
    assert_eq!(story.shown().await["state"], "suspended", "its term is not over");

    story.app.clock.advance(DAY);
    let late = story.change(&story.app.operator, "reinstatement", "settled").await.unwrap_err();
    assert_eq!(late.kind, Kind::WrongState);
    assert!(late.remedy.unwrap().contains("its term ended"));
    delivery::expire_ended(story.app.app()).await.unwrap();
    assert_eq!(last_step(&story.shown().await), ("expired", "exchange", "its term ended"));
    delivery::expire_ended(story.app.app()).await.unwrap();
    let report = story.verified().await;
    assert_eq!(report.standing.unwrap().state, "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_gives_back_what_is_in_escrow_if_it_says_so() {
    let story = Story::licensed_for_a_day().await;
    let (lab, officer) = (&story.lab, &story.app.compliance);
    story.download().await.unwrap();
    let revocation = format!("/v1/entitlements/{}/revocation", story.entitlement);
    let because = json!({ "reason": "the provider lost its rights", "refund": true });
    assert_eq!(lab.effect(&revocation, &because).await.unwrap_err().kind, Kind::Forbidden);
    assert_eq!(officer.post(&revocation, &because).await.unwrap_err().kind, Kind::IdempotencyKeyRequired);
    let revoked: Value = officer.keyed("revoke", &revocation, &because).send().await.unwrap();
    assert_eq!(revoked["state"], "revoked");
    assert_eq!(officer.keyed("revoke", &revocation, &because).send::<Value>().await.unwrap(), revoked);
    let order = story.order().await;
    assert_eq!((order["state"].as_str().unwrap(), last_step(&order).2), ("refunded", "the provider lost its rights"));
    assert_eq!(lab.balance("wallet").await, 50_000);
    assert_eq!(officer.effect(&revocation, &because).await.unwrap_err().kind, Kind::WrongState, "once is enough");

    let settled = Story::licensed_for_a_day().await;
    settled.download().await.unwrap();
    let order = settled.order().await["id"].as_str().unwrap().to_string();
    settled.lab.answer(&order, "acceptance").await.unwrap();
    let revocation = format!("/v1/entitlements/{}/revocation", settled.entitlement);
    let refused = settled.app.operator.effect(&revocation, &because).await.unwrap_err();
    assert_eq!((refused.kind, refused.field.as_deref()), (Kind::WrongState, Some("refund")));
    assert_eq!(settled.shown().await["state"], "active", "nothing is done by halves");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_waits_for_no_download_under_a_licence_that_has_ended() {
    let (suspended, revoked, ended) =
        (Story::licensed_for_a_day().await, Story::licensed_for_a_day().await, Story::licensed_for_a_day().await);
    suspended.change(&suspended.app.operator, "suspension", "the declared use is examined").await.unwrap();
    revoked.change(&revoked.app.operator, "revocation", "the use was not the declared one").await.unwrap();
    ended.app.clock.advance(DAY);
    delivery::expire_ended(ended.app.app()).await.unwrap();
    for (story, state) in [(&suspended, "escrowed"), (&revoked, "certificated"), (&ended, "certificated")] {
        story.app.clock.advance(DAY * 91);
        trades::pass_deadlines(story.app.app()).await.unwrap();
        assert_eq!(story.order().await["state"], state);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passport_tells_that_the_licence_was_revoked_and_still_proves_what_was_held() {
    let story = Story::licensed_for_a_day().await;
    story.download().await.unwrap();
    assert_eq!(story.verified().await.standing, None);
    story.change(&story.app.operator, "suspension", "the invoice is disputed").await.unwrap();
    story.change(&story.app.operator, "reinstatement", "the dispute is settled").await.unwrap();
    assert_eq!(story.verified().await.standing.unwrap().state, "active");
    let revoked = story.change(&story.app.compliance, "revocation", "the use was not the declared one").await.unwrap();
    assert_eq!(revoked["state"], "revoked");

    let report = story.verified().await;
    let standing = report.standing.unwrap();
    assert_eq!((standing.state.as_str(), standing.reason.as_str()), ("revoked", "the use was not the declared one"));
    let kinds: Vec<_> = report.statements.iter().map(|statement| statement.kind.as_str()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "entitlement-change").count(), 3, "{kinds:?}");
    assert_eq!(report.deliveries.len(), 1);
    let change = report.statements.iter().find(|statement| statement.kind.as_str() == "entitlement-change").unwrap();
    assert_eq!(change.refers_to.iter().map(|kind| kind.as_str()).collect::<Vec<_>>(), ["entitlement"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_was_planned_before_the_revocation_does_not_leave_after_it() {
    let story = Story::licensed_for_a_day().await;
    let (caller, now) = (story.reader().await, story.app.clock.now());
    let id: EntitlementId = story.entitlement.parse().unwrap();
    let plan = move |c: &mut Conn| delivery::plan(c, &caller, id, (None, &["data/a.jsonl".to_string()]), now);
    let planned = story.app.app().db.read(plan).await.unwrap();
    story.change(&story.app.operator, "revocation", "a court ordered it").await.unwrap();
    let refused = story.app.app().receipts.record(planned).await.unwrap_err();
    assert_eq!(refused.kind, Kind::NotEntitled);
    assert!(refused.detail.contains("is revoked"), "{refused}");
    let receipts = story.app.app().db.read(move |c| delivery::receipts_of(c, id, "", 10)).await.unwrap();
    assert!(receipts.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn links_to_many_shards_take_no_more_questions_than_a_link_to_one() {
    let story = Story::licensed_for_a_day().await;
    let (caller, now) = (story.reader().await, story.app.clock.now());
    let id: EntitlementId = story.entitlement.parse().unwrap();
    let questions = async |paths: &[&str]| {
        let (caller, paths) = (caller.clone(), paths.iter().map(|path| path.to_string()).collect::<Vec<_>>());
        let wanted = paths.clone();
        let plan = move |c: &mut Conn| delivery::plan(c, &caller, id, (None, &wanted), now);
        let (planned, questions) = counted(&story.app.app().db, plan).await;
        assert_eq!(planned.iter().map(|one| one.shard.path.clone()).collect::<Vec<_>>(), paths);
        questions
    };
    questions(&["data/a.jsonl"]).await; // what never changes is remembered
    let one = questions(&["data/a.jsonl"]).await;
    assert_eq!(questions(&["data/b.jsonl", "data/a.jsonl", "data/b.jsonl"]).await, one);
    let missing = story.lab.links(&story.entitlement, &["data/a.jsonl", "data/c.jsonl", "a\0b"]).await;
    let missing = refused(missing, Kind::NotFound, None);
    assert!(missing.detail.contains("data/c.jsonl"), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_from_a_clock_that_was_ahead_is_on_record_no_earlier_than_it_was_issued() {
    let story = Story::licensed_for_a_day().await;
    let (app, caller) = (story.app.app(), story.reader().await);
    let id: EntitlementId = story.entitlement.parse().unwrap();
    let (paths, ahead) = (["data/a.jsonl".to_string()], story.app.clock.now().plus(DAY / 24));
    let planned = app.db.read(move |c| delivery::plan(c, &caller, id, (None, &paths), ahead)).await.unwrap();
    app.receipts.record(planned).await.unwrap();
    let report = story.verified().await;
    assert_eq!(report.deliveries.len(), 1);
    let batch = report.statements.iter().find(|statement| statement.kind == StatementKind::ReceiptBatch).unwrap();
    assert_eq!(batch.recorded_at, ahead, "its desk's clock was behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passport_takes_no_more_questions_however_often_the_same_shard_was_fetched() {
    let story = Story::licensed_for_a_day().await;
    let id: EntitlementId = story.entitlement.parse().unwrap();
    let caller = story.reader().await;
    let questions = async || {
        story.app.sequenced().await;
        let (caller, keys, app) = (caller.clone(), story.app.app().keys.clone(), story.app.app());
        let passport = move |c: &mut Conn| delivery::passport(c, &caller, &keys, "exchange.test/log", &[], id);
        counted(&app.db, passport).await.1
    };
    story.download().await.unwrap();
    questions().await; // what never changes is remembered
    let once = questions().await;
    for _ in 0..3 {
        story.lab.links(&story.entitlement, &["data/a.jsonl"; 1000]).await.unwrap();
    }
    assert_eq!(questions().await, once);
    assert_eq!(story.verified().await.deliveries.len(), 1);
}

/// Only where one connection writes: on SQLite.
#[tokio::test(flavor = "multi_thread")]
async fn the_files_that_were_fetched_are_not_counted_again_with_each_of_them() {
    let story = Story::licensed_for_a_day().await;
    if story.app.app().config.database_url.is_some() {
        return;
    }
    let statements = story.app.app().db.write(|c| Ok(watch(c))).await.unwrap();
    let counts = || statements.lock().unwrap().iter().filter(|sql| sql.contains("DISTINCT `receipts`.`path`")).count();
    story.download().await.unwrap();
    assert_eq!((counts(), story.order().await["state"].clone()), (0, json!("delivering")));
    story.lab.links(&story.entitlement, &["data/b.jsonl"]).await.unwrap();
    assert_eq!((counts(), story.order().await["state"].clone()), (1, json!("delivered")));
}
