//! Claims against versions: who learns what, what is held meanwhile, and what follows the decision.

use std::time::Duration;

use corpex::compliance::takedowns::recalls;
use corpex::db::Conn;
use corpex::delivery::{self, EntitlementState};
use corpex::error::{Error, Kind, Result};
use corpex::provenance::{self, StatementKind, StoredStatement};
use corpex::signing::{IN_TOTO_PAYLOAD_TYPE, canonical_json};
use corpex::types::{DAY, Digest, EntitlementId, RecallId, TakedownId};
use serde_json::{Value, json};

use crate::support::{Actor, Offer, TestApp, claim};

struct Story {
    app: TestApp,
    provider: Actor,
    lab: Actor,
    claimant: Actor,
    offer: Offer,
    entitlement: String,
}

impl Story {
    /// A lab licensed poems of which somebody else says that they are hers.
    async fn begin() -> Self {
        let app = TestApp::start().await;
        let (provider, claimant) = (app.provider().await, app.organisation("li-estate").await);
        let lab = app.lab("verse-lab", 1000).await;
        let offer = app.listed_corpus(&provider, "poems", 100).await;
        let entitlement = lab.buy(&offer).await.unwrap();
        Self { app, provider, lab, claimant, offer, entitlement }
    }

    /// A claim, taken through these steps of compliance.
    async fn case(&self, steps: &[&str]) -> String {
        let case = self.claimant.claim(&self.offer.dataset).await;
        self.decide(&case, steps).await;
        case
    }

    async fn decide(&self, case: &str, steps: &[&str]) {
        for step in steps {
            self.app.compliance.decide(case, step).await.unwrap();
        }
    }

    async fn notified(&self) -> String {
        self.case(&["triage", "interim-block", "notification"]).await
    }

    /// A claim that was upheld, with the recall of the lab's licence.
    async fn recalled(&self) -> (String, Value) {
        let case = self.notified().await;
        self.provider.counter(&case).await.unwrap();
        self.decide(&case, &["upholding", "recall"]).await;
        (case, self.recall().await)
    }

    async fn recall(&self) -> Value {
        self.lab.get("/v1/recalls").await.unwrap()["items"][0].clone()
    }

    async fn answer(&self, step: &str, body: &Value) -> Result<Value> {
        let recall = self.recall().await;
        self.lab.post(format!("/v1/recalls/{}/{step}", recall["id"].as_str().unwrap()), body).await
    }

    async fn listing_state(&self) -> String {
        let shown = self.lab.get(format!("/v1/listings/{}", self.offer.listing)).await.unwrap();
        shown["state"].as_str().unwrap().to_string()
    }

    async fn licence_state(&self) -> String {
        let shown = self.lab.get(format!("/v1/entitlements/{}", self.entitlement)).await.unwrap();
        shown["state"].as_str().unwrap().to_string()
    }

    /// So many licences more for the lab; gives the last.
    async fn more_licences(&self, more: u8) -> String {
        self.app.operator.deposit("verse-lab", 100 * i64::from(more), "bank-more").await;
        let mut last = String::new();
        for _ in 0..more {
            last = self.lab.buy(&self.offer).await.unwrap();
        }
        last
    }

    /// How many of the lab's licences are active, and how many suspended.
    async fn standing(&self) -> (usize, usize) {
        let licences = self.lab.get("/v1/entitlements").await.unwrap();
        let licences = licences["items"].as_array().unwrap();
        let count = |state: &str| licences.iter().filter(|licence| licence["state"] == state).count();
        (count("active"), count("suspended"))
    }

    /// The states that a licence came to, one after the other.
    async fn life(&self, entitlement: &str) -> String {
        let shown = self.lab.get(format!("/v1/entitlements/{entitlement}")).await.unwrap();
        let steps = shown["history"].as_array().unwrap().iter();
        steps.map(|step| step["to_state"].as_str().unwrap()).collect::<Vec<_>>().join(", ")
    }

    async fn statements(&self, case: &str) -> Vec<StoredStatement> {
        let id: TakedownId = case.parse().unwrap();
        self.app.app().db.read(move |c| provenance::statements_about(c, id)).await.unwrap()
    }
}

#[track_caller]
fn refused(outcome: Result<Value>, kind: Kind, words: &str) -> Error {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind, kind, "{error:?}");
    assert!(error.to_string().contains(words), "{error:?}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_claim_is_examined_nobody_trades_or_downloads_the_version() {
    let story = Story::begin().await;
    let (lab, provider) = (&story.lab, &story.provider);
    let unpaid = lab.order(&story.offer).await.unwrap();
    story.case(&["triage", "interim-block"]).await;

    assert_eq!(
        (story.listing_state().await.as_str(), story.licence_state().await.as_str()),
        ("suspended", "suspended")
    );
    refused(lab.links(&story.entitlement, &["data/a.jsonl"]).await, Kind::NotEntitled, "is suspended");
    refused(lab.order(&story.offer).await.map(Value::from), Kind::WrongState, "is suspended, and takes no orders");
    refused(lab.pay(&unpaid).await, Kind::WrongState, "a claim about this version is examined");
    let path = format!("/v1/listings/{}", story.offer.listing);
    refused(provider.post(format!("{path}/resume"), &json!({})).await, Kind::WrongState, "the exchange suspended it");
    let other = provider.publish_terms(77).await;
    let listing = json!({ "dataset": story.offer.dataset, "version": 1, "terms_id": other });
    refused(provider.post("/v1/listings", &listing).await, Kind::WrongState, "a claim about this version is examined");
    let reinstated = json!({ "reason": "the lab asked nicely" });
    let path = format!("/v1/entitlements/{}/reinstatement", story.entitlement);
    refused(story.app.operator.post(path, &reinstated).await, Kind::WrongState, "a claim about this version");
}

/// The first fifty are suspended with the step of the case itself, and the others by a job.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_keeps_everybody_out_at_once_and_is_soon_on_record_of_every_licence_that_it_still_concerns() {
    let mut story = Story::begin().await;
    let last = story.more_licences(50).await;
    story.app.restart_with(|config| config.no_worker = true).await;
    let case = story.case(&["triage", "interim-block"]).await;
    assert_eq!(story.standing().await, (1, 50));
    refused(story.lab.links(&last, &["data/a.jsonl"]).await, Kind::NotEntitled, "is the subject of a claim");
    story.decide(&case, &["notification", "reinstatement"]).await;
    assert_eq!(story.standing().await, (1, 50), "the time of every order begins anew before a licence returns");

    story.app.restart_with(|config| config.no_worker = false).await;
    story.app.drain().await;
    assert_eq!(story.standing().await, (51, 0));
    assert_eq!(story.life(&last).await, "active", "the hold did not reach it");
    story.lab.links(&last, &["data/a.jsonl"]).await.unwrap();

    let case = story.notified().await;
    story.app.drain().await;
    assert_eq!(story.standing().await, (0, 51));
    story.decide(&case, &["reinstatement"]).await;
    story.app.drain().await;
    assert_eq!(story.standing().await, (51, 0));
    assert_eq!(story.life(&last).await, "active, suspended, active");
}

/// The first fifty are recalled with the step of the case itself, and the others by a job.
#[tokio::test(flavor = "multi_thread")]
async fn a_recall_keeps_everybody_out_at_once_and_reaches_every_holder_before_its_case_is_closed() {
    let mut story = Story::begin().await;
    story.more_licences(50).await;
    let case = story.notified().await;
    story.provider.counter(&case).await.unwrap();
    story.app.drain().await;
    story.app.restart_with(|config| config.no_worker = true).await;
    story.decide(&case, &["upholding", "recall"]).await;
    assert_eq!(story.standing().await, (0, 1), "nobody downloads, and fifty are revoked");
    let too_early = story.app.compliance.decide(&case, "closure").await;
    refused(too_early, Kind::WrongState, "has not reached every licensee yet");

    story.app.restart_with(|config| config.no_worker = false).await;
    story.app.drain().await;
    assert_eq!(story.standing().await, (0, 0));
    let recalls = story.lab.get("/v1/recalls").await.unwrap();
    let why = |recall: &&Value| recall["history"][0]["reason"] == "recall, for good reasons";
    assert_eq!(recalls["items"].as_array().unwrap().iter().filter(why).count(), 51, "{recalls}");
    refused(story.app.compliance.decide(&case, "closure").await, Kind::WrongState, "51 recalls of");
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_learns_what_is_theirs_to_know() {
    let story = Story::begin().await;
    let case = story.case(&["triage", "interim-block"]).await;
    let path = format!("/v1/takedowns/{case}");
    let own = story.claimant.get(&path).await.unwrap();
    assert_eq!((&own["contact"], &own["state"]), (&json!("li@spring.example"), &json!("interim_blocked")));
    assert_eq!(own["reason"], "interim-block, for good reasons");
    for other in [&story.provider, &story.lab, &story.app.operator] {
        refused(other.get(&path).await, Kind::NotFound, "does not exist, or you may not see it");
        assert_eq!(other.get("/v1/takedowns").await.unwrap()["items"], json!([]));
    }
    story.decide(&case, &["notification"]).await;
    let told = story.provider.get(&path).await.unwrap();
    assert_eq!((&told["claimant"], &told["statement"]), (&own["claimant"], &own["statement"]));
    for secret in ["contact", "salt", "history"] {
        assert_eq!(told[secret], Value::Null, "{secret}");
    }
    assert!(told["answer_due_at"].is_string());
    assert_eq!(story.provider.get("/v1/takedowns").await.unwrap()["items"][0]["id"], case.as_str());
    let whole = story.app.compliance.get(&path).await.unwrap();
    let steps: Vec<_> = whole["history"].as_array().unwrap().iter().map(|step| &step["to_state"]).collect();
    assert_eq!(steps, ["received", "triaged", "interim_blocked", "provider_notified"]);
    refused(story.lab.get(&path).await, Kind::NotFound, "does not exist");
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_show_the_claim_as_a_digest_that_its_holder_can_open() {
    let story = Story::begin().await;
    let case = story.notified().await;
    let own = story.claimant.get(format!("/v1/takedowns/{case}")).await.unwrap();
    let members = ["claimant", "contact", "ground", "statement", "shards", "evidence", "salt"];
    let document: Value = members.iter().map(|member| ((*member).to_string(), own[*member].clone())).collect();
    let opened = Digest::of(canonical_json(&document).unwrap()).to_string();
    let exchange = story.app.app().keys.statement.public();
    let mut states = Vec::new();
    for statement in story.statements(&case).await {
        let signed = statement.envelope.verify(exchange, IN_TOTO_PAYLOAD_TYPE).unwrap();
        assert_eq!(signed["predicate"]["claim_sha256"], opened.as_str());
        for secret in ["李清照", "li@spring.example", "copyright", "my poems"] {
            assert!(!signed.to_string().contains(secret), "{signed}");
        }
        states.push(signed["predicate"]["state"].as_str().unwrap().to_string());
    }
    assert_eq!(states, ["received", "triaged", "interim_blocked", "provider_notified"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_fails_leaves_everything_as_it_was_before() {
    let story = Story::begin().await;
    let other = story.app.lab("other-lab", 1000).await;
    let suspended = other.buy(&story.offer).await.unwrap();
    let disputed = json!({ "reason": "the invoice is disputed" });
    let path = format!("/v1/entitlements/{suspended}");
    story.app.operator.post(format!("{path}/suspension"), &disputed).await.unwrap();
    story.provider.post(format!("/v1/listings/{}/pause", story.offer.listing), &json!({})).await.unwrap();

    let case = story.notified().await;
    assert_eq!(story.listing_state().await, "suspended");
    story.provider.counter(&case).await.unwrap();
    story.decide(&case, &["reinstatement"]).await;
    assert_eq!((story.listing_state().await.as_str(), story.licence_state().await.as_str()), ("paused", "active"));
    story.lab.links(&story.entitlement, &["data/a.jsonl"]).await.unwrap();
    assert_eq!(other.get(&path).await.unwrap()["state"], "suspended", "the claim had not suspended it");
    for step in ["upholding", "reinstatement", "closure"] {
        refused(story.app.compliance.decide(&case, step).await, Kind::WrongState, "is reinstated and cannot become");
    }
}

/// Who suspends the licence has a clock that is an hour behind that of who decides the claims.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_hold_returns_no_licence_that_staff_suspended_whatever_the_clocks_say() {
    let story = Story::begin().await;
    let (app, operator) = (story.app.app(), story.app.operator.caller().await);
    let behind = story.app.clock.now();
    story.app.clock.advance(Duration::from_secs(3600));
    let case = story.notified().await;
    story.decide(&case, &["reinstatement"]).await;
    assert_eq!(story.licence_state().await, "active");

    let (keys, id) = (app.keys.clone(), story.entitlement.parse::<EntitlementId>().unwrap());
    let suspend = move |c: &mut Conn| {
        let (to, reason) = (EntitlementState::Suspended, "the invoice is disputed");
        delivery::change_standing(c, &operator, &keys, id, to, reason, behind).map(drop)
    };
    app.db.write(suspend).await.unwrap();
    let case = story.notified().await;
    story.decide(&case, &["reinstatement"]).await;
    assert_eq!(story.licence_state().await, "suspended", "the claims had not suspended it");
    assert_eq!(story.life(&story.entitlement).await, "active, suspended, active, suspended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_free_again_when_the_last_claim_about_it_has_failed() {
    let story = Story::begin().await;
    let (first, second) = (story.notified().await, story.notified().await);
    story.decide(&first, &["reinstatement"]).await;
    assert_eq!(
        (story.listing_state().await.as_str(), story.licence_state().await.as_str()),
        ("suspended", "suspended")
    );
    story.decide(&second, &["reinstatement"]).await;
    assert_eq!((story.listing_state().await.as_str(), story.licence_state().await.as_str()), ("listed", "active"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upheld_claim_recalls_every_licence_and_its_holder_attests_the_deletion() {
    let story = Story::begin().await;
    let (case, recall) = story.recalled().await;
    assert_eq!((story.listing_state().await.as_str(), story.licence_state().await.as_str()), ("delisted", "revoked"));
    assert_eq!(recall["history"][0]["reason"], "recall, for good reasons");
    assert_eq!(story.claimant.get("/v1/recalls").await.unwrap()["items"], json!([]));
    let waiting = story.app.compliance.decide(&case, "closure").await;
    refused(waiting, Kind::WrongState, "1 recalls of");

    let signed = json!({ "envelope": story.lab.attestation(&recall, story.app.clock.now()) });
    refused(story.answer("deletion", &signed).await, Kind::WrongState, "is notified and cannot become");
    assert_eq!(story.answer("acknowledgement", &Value::Null).await.unwrap()["state"], "acknowledged");
    let attested = story.answer("deletion", &signed).await.unwrap();
    assert_eq!(attested["state"], "deletion_attested");
    refused(story.answer("deletion", &signed).await, Kind::WrongState, "is deletion_attested and cannot become");
    story.decide(&case, &["closure"]).await;

    let id = attested["attestation_id"].as_str().unwrap().parse().unwrap();
    let statement = story.app.app().db.read(move |c| provenance::statement(c, id)).await.unwrap();
    assert_eq!(statement.kind, StatementKind::DeletionAttestation);
    for key in [story.lab.key.public(), story.app.app().keys.statement.public()] {
        statement.envelope.verify(key, IN_TOTO_PAYLOAD_TYPE).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attestation_counts_only_as_the_licensee_would_sign_it() {
    let story = Story::begin().await;
    let (_, recall) = story.recalled().await;
    story.answer("acknowledgement", &Value::Null).await.unwrap();
    let now = story.app.clock.now();
    let changed = |member: &str, value: Value| {
        let mut other = recall.clone();
        other[member] = value;
        json!({ "envelope": story.lab.attestation(&other, now) })
    };
    let digest = json!(Digest::of("another manifest"));
    for (member, value) in [
        ("id", json!("recall_01jd0000000000000000000000")),
        ("dataset", json!("poetry-house/prose")),
        ("version", json!(2)),
        ("manifest_sha256", digest),
    ] {
        let field = if member == "id" { "recall" } else { member };
        let error = story.answer("deletion", &changed(member, value)).await.unwrap_err();
        assert_eq!((error.kind, error.field), (Kind::Invalid, Some(format!("predicate/{field}"))));
    }
    let borrowed = Actor { handle: "li-estate".into(), ..story.lab.clone() };
    let signed = json!({ "envelope": borrowed.attestation(&recall, now) });
    refused(story.answer("deletion", &signed).await, Kind::Invalid, "predicate/organisation");
    let forged = Actor { key: story.claimant.key.clone(), ..story.lab.clone() };
    let signed = json!({ "envelope": forged.attestation(&recall, now) });
    refused(story.answer("deletion", &signed).await, Kind::BadSignature, "is not registered by verse-lab");
    let signed = json!({ "envelope": story.lab.attestation(&recall, now.plus(DAY)) });
    refused(story.answer("deletion", &signed).await, Kind::Invalid, "lies in the future");
    assert_eq!(story.recall().await["state"], "acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_silent_and_a_licensee_that_is_late_do_not_stop_a_case() {
    let story = Story::begin().await;
    let case = story.notified().await;
    refused(story.app.compliance.decide(&case, "upholding").await, Kind::WrongState, "the provider may answer until");
    story.app.clock.advance(14 * DAY);
    story.decide(&case, &["upholding"]).await;
    let (officer, path) = (&story.app.compliance, format!("/v1/takedowns/{case}/recall"));
    let why = json!({ "reason": "the claim was upheld" });
    refused(officer.post(&path, &why).await, Kind::IdempotencyKeyRequired, "moves money");
    let recalled: Value = officer.keyed("recall", &path, &why).send().await.unwrap();
    assert_eq!(officer.keyed("recall", &path, &why).send::<Value>().await.unwrap(), recalled);
    refused(story.provider.counter(&case).await, Kind::WrongState, "is recall_issued and cannot become countered");

    story.app.clock.advance(29 * DAY);
    recalls::mark_overdue(story.app.app()).await.unwrap();
    assert_eq!(story.recall().await["state"], "notified", "there is a day left");
    story.app.clock.advance(DAY);
    recalls::mark_overdue(story.app.app()).await.unwrap();
    let late = story.recall().await;
    let last = late["history"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["to_state"], &last["actor"]), (&json!("overdue"), &json!("exchange")));
    let id: RecallId = late["id"].as_str().unwrap().parse().unwrap();
    let stated = story.app.app().db.read(move |c| provenance::statements_about(c, id)).await.unwrap();
    assert_eq!(stated.len(), 2, "the recall, and that nobody answered it");
    story.decide(&case, &["closure"]).await;

    let declared = json!({ "declaration": "verse-1b was pretrained on it\nand is withdrawn" });
    assert_eq!(
        story.answer("training", &declared).await.unwrap()["state"],
        "training_declared",
        "better late than never"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_buries_compliance_in_claims() {
    let story = Story::begin().await;
    let first = story.claimant.claim(&story.offer.dataset).await;
    for _ in 1..50 {
        story.claimant.claim(&story.offer.dataset).await;
    }
    let more = || async { story.claimant.post("/v1/takedowns", &claim(&story.offer.dataset)).await };
    refused(more().await, Kind::RateLimited, "50 of your claims wait");
    story.lab.claim(&story.offer.dataset).await;
    story.decide(&first, &["triage"]).await;
    more().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_cannot_be_examined_is_refused_by_field() {
    let story = &Story::begin().await;
    let file = |member: &str, value: Value| {
        let mut claim = claim(&story.offer.dataset);
        claim[member] = value;
        async move { story.claimant.post("/v1/takedowns", &claim).await }
    };
    let digest = Digest::of(b"{\"text\":\"one\"}\n");
    for (member, value, kind) in [
        ("dataset", json!("poems"), Kind::Invalid),
        ("dataset", json!("poetry-house/nothing"), Kind::NotFound),
        ("claimant", json!(" "), Kind::Invalid),
        ("contact", json!("x".repeat(256)), Kind::Invalid),
        ("statement", json!("\n"), Kind::Invalid),
        ("shards", json!(["data/z.jsonl"]), Kind::NotFound),
        ("shards", json!([Digest::of("nothing of this version")]), Kind::Invalid),
        ("shards", json!(["data/a.jsonl", digest, Digest::of("nothing of this version")]), Kind::Invalid),
        ("shards", json!(vec!["data/a.jsonl"; 1001]), Kind::Invalid),
        ("evidence", json!([{ "name": "", "sha256": Digest::of("") }]), Kind::Invalid),
    ] {
        let error = file(member, value).await.unwrap_err();
        assert_eq!((error.kind, error.field.as_deref()), (kind, Some(member)), "{error:?}");
    }
    file("shards", json!([digest, "data/a.jsonl"])).await.unwrap();
    story.provider.draft("unfinished").await;
    let unsealed = story.provider.post("/v1/takedowns", &claim("poetry-house/unfinished")).await;
    refused(unsealed, Kind::WrongState, "is not sealed");
}
