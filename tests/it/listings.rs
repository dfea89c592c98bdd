//! The board: public notice and objections, assessments that lapse, and what stays of a listing that was withdrawn.

use corpex::db::Conn;
use corpex::error::{Kind, Result};
use corpex::market::{self, ListingState, listings};
use corpex::provenance::StatementKind;
use corpex::signing::{Envelope, IN_TOTO_PAYLOAD_TYPE, canonical_json};
use corpex::types::{DAY, Digest, ListingId};
use serde_json::{Value, json};

use crate::support::{Actor, Offer, Published, TestApp, refused};

/// An exchange that keeps a public notice of a week, and a listing that was announced a moment ago.
struct Story {
    app: TestApp,
    provider: Actor,
    rival: Actor,
    published: Published,
    terms: String,
    listing: String,
}

impl Story {
    async fn begin() -> Self {
        let app = TestApp::start_with(|config| config.public_notice_days = 7).await;
        let (provider, rival) = (app.provider().await, app.organisation("li-estate").await);
        let published = provider.publish("poems", &[("data/a.jsonl", b"{}\n")]).await;
        app.compliance.assess_for(&published, 30).await;
        let terms = provider.publish_terms(100).await;
        let wanted = json!({ "dataset": published.dataset, "version": 1, "terms_id": terms });
        let announced = provider.post("/v1/listings", &wanted).await.unwrap();
        assert_eq!(announced["state"], "public_notice");
        let listing = announced["id"].as_str().unwrap().to_string();
        Self { app, provider, rival, published, terms, listing }
    }

    fn path(&self) -> String {
        format!("/v1/listings/{}", self.listing)
    }

    fn offer(&self) -> Offer {
        Offer { listing: self.listing.clone(), terms: self.terms.clone(), dataset: self.published.dataset.clone() }
    }

    async fn object(&self, by: &Actor) -> Result<Value> {
        let evidence = json!([{ "name": "first edition", "sha256": Digest::of("first edition") }]);
        let why = json!({ "organisation": by.handle, "reason": "These are my poems.", "evidence": evidence });
        by.post(format!("{}/objections", self.path()), &why).await
    }

    async fn decide(&self, objection: &Value, step: &str) -> Result<Value> {
        let id = objection["id"].as_str().unwrap();
        let why = json!({ "reason": "The edition is older than the poems' author." });
        self.app.compliance.post(format!("/v1/objections/{id}/{step}"), &why).await
    }

    async fn days_pass(&self, days: u32) {
        self.app.clock.advance(DAY * days);
        market::review_due_listings(self.app.app()).await.unwrap();
    }

    async fn state(&self) -> String {
        let shown: Value = self.app.anonymous().get(self.path()).send().await.unwrap();
        shown["state"].as_str().unwrap().to_string()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_goes_on_the_board_when_its_public_notice_is_over_and_not_before() {
    let story = Story::begin().await;
    let lab = story.app.lab("verse-lab", 100).await;
    story.days_pass(6).await;
    refused(lab.place(&story.offer()).await, Kind::WrongState, Some("listing_id"));
    let early =
        refused(story.provider.post(format!("{}/resume", story.path()), &json!({})).await, Kind::WrongState, None);
    assert!(early.remedy.unwrap().contains("public notice"));
    assert_eq!(story.state().await, "public_notice");

    story.days_pass(1).await;
    assert_eq!(story.state().await, "listed");
    market::review_due_listings(story.app.app()).await.unwrap();
    lab.buy(&story.offer()).await.unwrap();
    let shown: Value = story.app.anonymous().get(story.path()).send().await.unwrap();
    let certificate = shown["certificate"].as_str().unwrap();
    let statements: Value = story.app.anonymous().get(format!("{}/statements", story.path())).send().await.unwrap();
    let opening: Envelope = serde_json::from_value(statements["items"][0]["envelope"].clone()).unwrap();
    let opening = opening.verify(story.app.app().keys.statement.public(), IN_TOTO_PAYLOAD_TYPE).unwrap();
    assert_eq!(opening["predicate"]["certificate"], certificate);
    assert_eq!(opening["predicate"]["notice_ends_at"], shown["notice_ends_at"]);
    assert_eq!(statements["items"].as_array().unwrap().len(), 2, "announced, and listed once");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_an_objection_is_open_nothing_is_listed_and_once_it_is_dismissed_it_is() {
    let story = Story::begin().await;
    let objection = story.object(&story.rival).await.unwrap();
    story.days_pass(8).await;
    assert_eq!(story.state().await, "public_notice");
    let dismissed = story.decide(&objection, "dismissal").await.unwrap();
    assert_eq!((&dismissed["state"], story.state().await.as_str()), (&json!("dismissed"), "listed"));
    for step in ["dismissal", "upholding"] {
        refused(story.decide(&objection, step).await, Kind::WrongState, None);
    }
    assert_eq!(story.state().await, "listed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_objection_that_is_upheld_ends_the_listing_and_the_tombstone_says_why() {
    let story = Story::begin().await;
    let (other, lab) = (story.app.organisation("other-house").await, story.app.lab("verse-lab", 0).await);
    let objections = [story.object(&story.rival).await.unwrap(), story.object(&other).await.unwrap()];
    story.decide(&objections[0], "upholding").await.unwrap();
    story.decide(&objections[1], "dismissal").await.unwrap();
    story.days_pass(8).await;
    let tombstone: Value = story.app.anonymous().get(story.path()).send().await.unwrap();
    assert_eq!(tombstone["state"], "delisted");
    let why = "an objection was upheld: The edition is older than the poems' author.";
    assert_eq!(tombstone["state_reason"], why);
    refused(story.object(&lab).await, Kind::WrongState, None);
}

/// Announces the version of a story under other terms, once its listing is withdrawn.
async fn announced_anew(story: &mut Story) {
    let withdrawn = story.listing.clone();
    story.provider.post(format!("/v1/listings/{withdrawn}/withdraw"), &json!({})).await.unwrap();
    let terms = story.provider.publish_terms(101).await;
    let wanted = json!({ "dataset": story.published.dataset, "version": 1, "terms_id": terms });
    let announced = story.provider.post("/v1/listings", &wanted).await.unwrap();
    story.listing = announced["id"].as_str().unwrap().to_string();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_withdraws_a_listing_and_announces_another_does_not_outrun_an_objection() {
    let mut upheld = Story::begin().await;
    let objection = upheld.object(&upheld.rival).await.unwrap();
    announced_anew(&mut upheld).await;
    upheld.days_pass(8).await;
    assert_eq!(upheld.state().await, "public_notice");
    upheld.decide(&objection, "upholding").await.unwrap();
    let tombstone: Value = upheld.app.anonymous().get(upheld.path()).send().await.unwrap();
    assert_eq!(tombstone["state"], "delisted");
    assert_eq!(tombstone["state_reason"], "an objection was upheld: The edition is older than the poems' author.");

    let mut dismissed = Story::begin().await;
    let objection = dismissed.object(&dismissed.rival).await.unwrap();
    announced_anew(&mut dismissed).await;
    dismissed.days_pass(8).await;
    assert_eq!(dismissed.state().await, "public_notice");
    dismissed.decide(&objection, "dismissal").await.unwrap();
    assert_eq!(dismissed.state().await, "listed");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_objects_and_why_is_for_the_parties_and_the_log_has_its_digest() {
    let story = Story::begin().await;
    let objection = story.object(&story.rival).await.unwrap();
    let path = format!("{}/objections", story.path());
    let stranger = story.app.organisation("other-house").await;
    for (actor, sees) in [(&story.app.compliance, 1), (&story.provider, 1), (&story.rival, 1), (&stranger, 0)] {
        let seen = actor.get(&path).await.unwrap();
        assert_eq!(seen["items"].as_array().unwrap().len(), sees, "{}", actor.email);
    }
    let digest = Digest::of(canonical_json(&objection["document"]).unwrap());
    assert_eq!(objection["document_sha256"], digest.to_string());
    let statements: Value = story.app.anonymous().get(format!("{}/statements", story.path())).send().await.unwrap();
    let told = &statements["items"][1];
    assert_eq!(told["kind"], StatementKind::Objection.as_str());
    let envelope: Envelope = serde_json::from_value(told["envelope"].clone()).unwrap();
    let signed = envelope.verify(story.app.app().keys.statement.public(), IN_TOTO_PAYLOAD_TYPE).unwrap();
    assert_eq!(signed["predicate"]["objection_sha256"], digest.to_string());
    assert!(!signed.to_string().contains("li-estate"));
}

#[tokio::test(flavor = "multi_thread")]
async fn objections_that_cannot_be_taken_are_refused_with_the_reason() {
    let story = Story::begin().await;
    refused(story.object(&story.provider).await, Kind::Invalid, Some("organisation"));
    let hopeful = Actor::register(&story.app.anonymous(), "hopeful-lab").await;
    refused(story.object(&hopeful).await, Kind::WrongState, Some("organisation"));
    let path = format!("{}/objections", story.path());
    let because = |reason: &str| json!({ "organisation": "li-estate", "reason": reason });
    for bad in ["", &"x".repeat(2001), "with a \u{202e} in it"] {
        refused(story.rival.post(&path, &because(bad)).await, Kind::Invalid, Some("reason"));
    }
    let many: Vec<_> = (0..51).map(|_| json!({ "name": "a document", "sha256": Digest::of("document") })).collect();
    let mut heavy = because("These are my poems.");
    heavy["evidence"] = json!(many);
    refused(story.rival.post(&path, &heavy).await, Kind::Invalid, Some("evidence"));
    story.object(&story.rival).await.unwrap();
    refused(story.object(&story.rival).await, Kind::AlreadyExists, Some("organisation"));
    story.app.clock.advance(DAY * 7);
    let other = story.app.organisation("other-house").await;
    let late = refused(story.object(&other).await, Kind::WrongState, None);
    assert!(late.detail.contains("ended at") && late.remedy.unwrap().contains("/v1/takedowns"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_whose_assessment_lapses_is_suspended_and_a_new_assessment_brings_it_back() {
    let story = Story::begin().await;
    story.days_pass(7).await;
    story.provider.post(format!("{}/pause", story.path()), &json!({})).await.unwrap();
    story.days_pass(22).await;
    assert_eq!(story.state().await, "paused");
    story.days_pass(1).await;
    let shown: Value = story.app.anonymous().get(story.path()).send().await.unwrap();
    assert_eq!(shown["state"], "suspended");
    assert!(shown["state_reason"].as_str().unwrap().contains("assessment lapsed at"), "{shown}");
    refused(story.provider.post(format!("{}/resume", story.path()), &json!({})).await, Kind::WrongState, None);

    story.app.compliance.assess_for(&story.published, 30).await;
    story.app.drain().await;
    assert_eq!(story.state().await, "paused", "it is where it was");
    story.provider.post(format!("{}/resume", story.path()), &json!({})).await.unwrap();
    story.days_pass(30).await;
    assert_eq!(story.state().await, "suspended", "the new assessment lapsed, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_and_a_lapse_suspend_together_and_both_must_end() {
    let story = Story::begin().await;
    story.days_pass(7).await;
    let case = story.rival.claim(&story.published.dataset).await;
    for step in ["triage", "interim-block", "notification"] {
        story.app.compliance.decide(&case, step).await.unwrap();
    }
    story.days_pass(23).await;
    story.app.compliance.decide(&case, "reinstatement").await.unwrap();
    assert_eq!(story.state().await, "suspended", "its assessment lapsed meanwhile");
    story.app.compliance.assess_for(&story.published, 30).await;
    story.app.drain().await;
    assert_eq!(story.state().await, "listed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_was_withdrawn_says_when_why_and_what_takes_its_place() {
    let story = Story::begin().await;
    story.days_pass(7).await;
    let second = story.provider.publish("prose", &[("a.jsonl", b"{\"n\":1}\n")]).await;
    story.app.compliance.assess(&second).await;
    let wanted = json!({ "dataset": second.dataset, "version": 1, "terms_id": story.terms });
    let heir = story.provider.post("/v1/listings", &wanted).await.unwrap()["id"].clone();
    let withdraw =
        |why: Value| story.provider.client.post(format!("{}/withdraw", story.path())).json(&why).unwrap().send();
    for bad in [json!(story.listing), json!("listing_01jd0000000000000000000000")] {
        let error = withdraw(json!({ "successor": bad })).await as Result<Value>;
        assert_eq!(error.unwrap_err().field.as_deref(), Some("successor"), "{bad}");
    }
    let why = json!({ "reason": "The prose has it all.", "successor": heir });
    let withdrawn: Value = withdraw(why).await.unwrap();
    assert_eq!(withdrawn["state"], "delisted");
    let tombstone: Value = story.app.anonymous().get(story.path()).send().await.unwrap();
    assert_eq!((&tombstone["state_reason"], &tombstone["successor"]), (&json!("The prose has it all."), &heir));
    assert!(tombstone["state_since"].is_string());
    let statements: Value = story.app.anonymous().get(format!("{}/statements", story.path())).send().await.unwrap();
    let last = statements["items"].as_array().unwrap().last().unwrap()["envelope"].clone();
    let last: Envelope = serde_json::from_value(last).unwrap();
    let stated: Value = serde_json::from_slice(&last.payload.0).unwrap();
    assert_eq!((&stated["predicate"]["state"], &stated["predicate"]["successor"]), (&json!("delisted"), &heir));
}

/// Where the provider pauses it, the clock is behind the one by which it was opened.
#[tokio::test(flavor = "multi_thread")]
async fn each_change_of_a_listing_names_its_opening_whatever_the_clocks_say() {
    let story = Story::begin().await;
    story.days_pass(7).await;
    let (caller, keys) = (story.provider.caller().await, story.app.app().keys.clone());
    let id: ListingId = story.listing.parse().unwrap();
    let behind = story.app.clock.now().minus(DAY * 8);
    let pause = move |c: &mut Conn| listings::change(c, &caller, &keys, id, ListingState::Paused, behind).map(drop);
    story.app.app().db.write(pause).await.unwrap();
    story.provider.post(format!("{}/resume", story.path()), &json!({})).await.unwrap();

    let stated: Value = story.app.anonymous().get(format!("{}/statements", story.path())).send().await.unwrap();
    let envelope = |said: &Value| serde_json::from_value::<Envelope>(said["envelope"].clone()).unwrap();
    let (opening, changes): (Vec<_>, Vec<_>) =
        stated["items"].as_array().unwrap().iter().partition(|said| said["kind"] == "listing");
    let named = |said: &Value| {
        let signed: Value = serde_json::from_slice(&envelope(said).payload.0).unwrap();
        signed["predicate"]["listing_sha256"].as_str().unwrap().to_string()
    };
    let named: Vec<_> = changes.into_iter().map(named).collect();
    assert_eq!(named, vec![envelope(opening[0]).pae_sha256().to_string(); 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_licence_outlives_its_listing_but_not_its_revocation() {
    let app = TestApp::start().await;
    let (provider, lab) = (app.provider().await, app.lab("verse-lab", 100).await);
    let offer = app.listed_corpus(&provider, "poems", 100).await;
    let entitlement = lab.buy(&offer).await.unwrap();
    provider.post(format!("/v1/listings/{}/withdraw", offer.listing), &json!({})).await.unwrap();
    let links = lab.links(&entitlement, &["data/a.jsonl"]).await.unwrap();
    let bytes = app.anonymous().get(links["links"][0]["url"].as_str().unwrap()).text().await.unwrap();
    assert_eq!(bytes, "{\"text\":\"one\"}\n");
    let because = json!({ "reason": "a court ordered it" });
    app.operator.effect(format!("/v1/entitlements/{entitlement}/revocation"), &because).await.unwrap();
    refused(lab.links(&entitlement, &["data/a.jsonl"]).await, Kind::NotEntitled, None);
}
