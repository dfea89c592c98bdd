//! What a change leaves in the public log: for every operation that changes something it is decided whether it logs,
//! and what, or why it does not. The story then watches the log after each step.

use std::collections::{BTreeMap, BTreeSet};

use corpex::identity::PlatformRole;
use reqwest::Method;
use serde_json::{Value, json};

use crate::authorisation::{assert_covers, operations};
use crate::compliance::every_statement_is_traced;
use crate::support::{Actor, Offer, TestApp, kinds_in_log};

/// What becomes of an operation in the log.
enum Log {
    /// It adds one entry of each of these kinds.
    Adds(&'static [&'static str]),
    /// It adds nothing, because …
    Nothing(&'static str),
}
use Log::{Adds, Nothing};

const MONEY: &str = "money is a matter between the exchange and one organisation; the books keep it";
const PERSON: &str = "people and their credentials are not published";
const DELIVERY: &str = "how an organisation is told of what happened is its own affair";
const DRAFT: &str = "a draft binds nobody until the manifest seals all of it";

#[rustfmt::skip]
const TABLE: &[(&str, Log)] = &[
    // identity
    ("register_user",         Nothing(PERSON)),
    ("create_session",        Nothing(PERSON)),
    ("refresh_session",       Nothing(PERSON)),
    ("delete_session",        Nothing(PERSON)),
    ("change_password",       Nothing(PERSON)),
    ("create_token",          Nothing(PERSON)),
    ("revoke_token",          Nothing(PERSON)),
    ("request_device_code",   Nothing(PERSON)),
    ("redeem_device_code",    Nothing(PERSON)),
    ("approve_device_login",  Nothing(PERSON)),
    ("deny_device_login",     Nothing(PERSON)),
    ("create_invitation",     Nothing(PERSON)),
    ("withdraw_invitation",   Nothing(PERSON)),
    ("accept_invitation",     Nothing(PERSON)),
    ("put_member",            Nothing(PERSON)),
    ("delete_member",         Nothing(PERSON)),
    ("register_organisation", Nothing("an organisation speaks in the log from its first key on")),
    ("verify_organisation",   Nothing("it opens the exchange to an organisation; what the organisation signs then is logged")),
    ("reject_organisation",   Nothing("what was never verified has no key, and so never spoke in the log")),
    ("register_key",          Adds(&["key-registration"])),
    ("revoke_key",            Adds(&["key-revocation"])),
    // catalog
    ("create_dataset",        Nothing(DRAFT)),
    ("create_version",        Nothing(DRAFT)),
    ("put_card",              Nothing(DRAFT)),
    ("create_upload",         Nothing(DRAFT)),
    ("create_upload_urls",    Nothing(DRAFT)),
    ("upload_part",           Nothing(DRAFT)),
    ("complete_upload",       Nothing(DRAFT)),
    ("put_shard",             Nothing(DRAFT)),
    ("delete_shard",          Nothing(DRAFT)),
    ("seal_version",          Adds(&["manifest", "inspection"])),
    // terms, assessment
    ("publish_terms",         Adds(&["terms"])),
    ("create_assessment",     Adds(&["assessment", "certificate"])),
    // ledger
    ("create_deposit",        Nothing(MONEY)),
    ("approve_deposit",       Nothing(MONEY)),
    ("refuse_deposit",        Nothing(MONEY)),
    ("reverse_deposit",       Nothing(MONEY)),
    ("request_withdrawal",    Nothing(MONEY)),
    ("cancel_withdrawal",     Nothing(MONEY)),
    ("process_withdrawal",    Nothing(MONEY)),
    ("execute_withdrawal",    Nothing(MONEY)),
    ("approve_withdrawal",    Nothing(MONEY)),
    ("refuse_withdrawal",     Nothing(MONEY)),
    ("reverse_withdrawal",    Nothing(MONEY)),
    // market
    ("create_listing",        Adds(&["listing", "listing-change"])),
    ("object_to_listing",     Adds(&["objection"])),
    ("uphold_objection",      Adds(&["objection", "listing-change"])),
    ("dismiss_objection",     Adds(&["objection"])),
    ("pause_listing",         Adds(&["listing-change"])),
    ("resume_listing",        Adds(&["listing-change"])),
    ("withdraw_listing",      Adds(&["listing-change"])),
    ("create_quote",          Nothing("a quote binds nobody, and is not kept")),
    ("make_offer",            Adds(&["offer"])),
    ("withdraw_offer",        Adds(&["offer-change"])),
    ("begin_request",         Adds(&["offer"])),
    ("begin_offer",           Adds(&["offer"])),
    ("reply_request",         Adds(&["offer"])),
    ("reply_offer",           Adds(&["offer"])),
    ("post_negotiation_event", Adds(&["negotiation-change"])), // and the contract, once it is final
    ("agree_negotiation",     Adds(&["negotiation-change"])),
    ("verify_agreement",      Adds(&["negotiation-change"])),
    ("terminate_negotiation", Adds(&["negotiation-change"])),
    ("place_order",           Nothing("an order binds nobody until its contract is signed")),
    ("sign_contract",         Adds(&["contract"])),
    ("cancel_order",          Adds(&["order-change"])),
    ("accept_order",          Adds(&["settlement", "trade-certificate"])),
    ("open_dispute",          Adds(&["dispute"])),
    ("decide_dispute",        Adds(&["dispute"])),
    ("appeal_dispute",        Adds(&["dispute"])),
    ("decide_appeal",         Adds(&["dispute", "settlement", "trade-certificate"])),
    ("reject_order",          Adds(&["order-change"])),
    ("offer_cure",            Adds(&["order-change"])),
    ("redeliver_order",       Adds(&["order-change"])),
    ("reject_cure",           Adds(&["order-change"])),
    ("accept_cure",           Adds(&["settlement", "trade-certificate"])),
    ("create_programme",      Nothing(MONEY)),
    ("fund_programme",        Nothing(MONEY)),
    ("return_programme",      Nothing(MONEY)),
    // delivery
    ("buy",                   Adds(&["contract", "entitlement"])),
    ("pay_order",             Adds(&["entitlement"])),
    ("create_links",          Adds(&["receipt-batch"])),
    ("create_evaluation",     Adds(&["evaluation"])),
    ("create_sample_link",    Adds(&["evaluation-receipt"])),
    ("assign_seat",           Nothing("which of its tokens use a licence is the licensee's affair; each receipt names the one that did")),
    ("free_seat",             Nothing("so is which of them no longer does")),
    ("renew_entitlement",     Nothing("an order binds nobody until its contract is signed; paying it logs")),
    ("suspend_entitlement",   Adds(&["entitlement-change"])),
    ("reinstate_entitlement", Adds(&["entitlement-change"])),
    ("revoke_entitlement",    Adds(&["entitlement-change"])),
    // compliance: of a version with one listing and one licence
    ("file_takedown",         Adds(&["takedown"])),
    ("triage_takedown",       Adds(&["takedown"])),
    ("reject_takedown",       Adds(&["takedown"])),
    ("block_takedown",        Adds(&["takedown", "listing-change", "entitlement-change"])),
    ("notify_provider",       Adds(&["takedown"])),
    ("counter_takedown",      Adds(&["takedown"])),
    ("reinstate_takedown",    Adds(&["takedown", "listing-change", "entitlement-change"])),
    ("uphold_takedown",       Adds(&["takedown", "listing-change"])),
    ("issue_recall",          Adds(&["takedown", "entitlement-change", "order-change", "recall"])),
    ("acknowledge_recall",    Adds(&["recall"])),
    ("attest_deletion",       Adds(&["deletion-attestation", "recall"])),
    ("declare_training",      Adds(&["recall"])),
    ("close_takedown",        Adds(&["takedown"])),
    // events
    ("create_webhook",        Nothing(DELIVERY)),
    ("delete_webhook",        Nothing(DELIVERY)),
    ("rotate_webhook_secret", Nothing(DELIVERY)),
    ("resume_webhook",        Nothing(DELIVERY)),
    // models
    ("declare_model",         Adds(&["model-training"])),
];

#[test]
fn every_mutation_is_decided() {
    let all = operations();
    let changing = all.iter().filter(|(_, (method, _))| ![Method::GET, Method::HEAD].contains(method));
    let decided = TABLE.iter().map(|(operation, _)| *operation).collect();
    assert_covers(changing.map(|(id, _)| id), decided, "tests/it/mutations.rs");
    for (operation, log) in TABLE {
        if let Nothing(because) = log {
            assert!(because.len() > 20, "{operation} does not log, but why?");
        }
    }
}

/// Reads the log after each step of a story and compares what came with the table.
struct Watch<'a> {
    app: &'a TestApp,
    seen: BTreeMap<String, usize>,
    told: BTreeSet<&'static str>,
}

impl<'a> Watch<'a> {
    async fn begin(app: &'a TestApp) -> Self {
        Self { app, seen: published(app).await, told: BTreeSet::new() }
    }

    /// The same story goes on at another exchange.
    async fn moved_to<'b>(self, app: &'b TestApp) -> Watch<'b> {
        Watch { app, seen: published(app).await, told: self.told }
    }

    /// Since the last look, these operations happened, once each.
    async fn happened(&mut self, operations: &[&'static str]) {
        let mut expected = self.seen.clone();
        for operation in operations {
            let (_, log) = TABLE.iter().find(|(id, _)| id == operation).unwrap();
            let kinds = if let Adds(kinds) = log { *kinds } else { &[] };
            for kind in kinds {
                *expected.entry((*kind).to_string()).or_insert(0) += 1;
            }
            self.told.insert(operation);
        }
        self.seen = published(self.app).await;
        assert_eq!(self.seen, expected, "after {operations:?}");
    }

    /// Every operation that logs must have happened in the story.
    fn end(&self) {
        let logs = TABLE.iter().filter(|(_, log)| matches!(log, Adds(_)));
        let untold: Vec<_> = logs.map(|(id, _)| id).filter(|id| !self.told.contains(*id)).collect();
        assert!(untold.is_empty(), "the story does not tell of {untold:?}");
    }
}

/// What the public log holds, once all work is done and everything recorded has its place in it.
async fn published(app: &TestApp) -> BTreeMap<String, usize> {
    app.drain().await;
    app.sequenced().await;
    kinds_in_log(&app.anonymous()).await
}

async fn lab_with_key(app: &TestApp, watch: &mut Watch<'_>) -> Actor {
    let lab = Actor::register(&app.anonymous(), "verse-lab").await;
    app.operator.verify("verse-lab").await;
    app.operator.deposit("verse-lab", 260_000, "bank-1").await;
    watch
        .happened(&[
            "register_user",
            "create_session",
            "create_token",
            "register_organisation",
            "verify_organisation",
            "create_deposit",
        ])
        .await;
    lab.register_key().await;
    watch.happened(&["register_key"]).await;
    lab
}

async fn buy(lab: &Actor, listing: &str, watch: &mut Watch<'_>) -> (String, String) {
    let wanted = json!({
        "listing_id": listing, "organisation": lab.handle, "use": "pretrain", "purpose": "pretraining of a small model",
    });
    let order = lab.effect("/v1/orders", &wanted).await.unwrap();
    watch.happened(&["place_order"]).await;
    lab.sign_contract(&order).await.unwrap();
    watch.happened(&["sign_contract"]).await;
    let id = order["id"].as_str().unwrap().to_string();
    let paid = lab.pay(&id).await.unwrap();
    watch.happened(&["pay_order"]).await;
    (id, paid["entitlement"]["id"].as_str().unwrap().to_string())
}

/// Files a claim and takes the case through these steps of compliance.
async fn examine(app: &TestApp, dataset: &str, steps: &[(&str, &'static str)], watch: &mut Watch<'_>) -> String {
    let case = app.operator.claim(dataset).await;
    watch.happened(&["file_takedown"]).await;
    decide(app, &case, &[("triage", "triage_takedown")], watch).await;
    decide(app, &case, steps, watch).await;
    case
}

async fn decide(app: &TestApp, case: &str, steps: &[(&str, &'static str)], watch: &mut Watch<'_>) {
    for (step, operation) in steps {
        app.compliance.decide(case, step).await.unwrap();
        watch.happened(&[operation]).await;
    }
}

/// One order is taken back; another is rejected, delivered again, rejected again, and settled against a refund.
async fn quarrel(lab: &Actor, provider: &Actor, offer: &Offer, watch: &mut Watch<'_>) {
    let order = lab.order(offer).await.unwrap();
    watch.happened(&["place_order", "sign_contract"]).await;
    lab.answer(&order, "cancellation").await.unwrap();
    watch.happened(&["cancel_order"]).await;
    let order = lab.order(offer).await.unwrap();
    let paid = lab.pay(&order).await.unwrap();
    lab.links(paid["entitlement"]["id"].as_str().unwrap(), &["data/a.jsonl"]).await.unwrap();
    watch.happened(&["place_order", "sign_contract", "pay_order", "create_links"]).await;
    lab.answer(&order, "rejection").await.unwrap();
    watch.happened(&["reject_order"]).await;
    provider.offer_redelivery(&order).await.unwrap();
    watch.happened(&["offer_cure"]).await;
    provider.redeliver(&order).await.unwrap();
    watch.happened(&["redeliver_order"]).await;
    lab.answer(&order, "rejection").await.unwrap();
    watch.happened(&["reject_order"]).await;
    for (answer, operation) in [("cure/rejection", "reject_cure"), ("cure/acceptance", "accept_cure")] {
        provider.offer_refund(&order, 1000).await.unwrap();
        watch.happened(&["offer_cure"]).await;
        lab.answer(&order, answer).await.unwrap();
        watch.happened(&[operation]).await;
    }
    dispute(lab, provider, offer, watch).await;
    lab.buy_at_a_quote(offer).await.unwrap();
    watch.happened(&["create_quote", "buy"]).await;
}

/// An order is disputed before anything is delivered, decided for one side, appealed against, and decided again.
async fn dispute(lab: &Actor, provider: &Actor, offer: &Offer, watch: &mut Watch<'_>) {
    let order = lab.order(offer).await.unwrap();
    lab.pay(&order).await.unwrap();
    watch.happened(&["place_order", "sign_contract", "pay_order"]).await;
    lab.open_dispute(&order).await.unwrap();
    watch.happened(&["open_dispute"]).await;
    watch.app.operator.decide_dispute(&order, "decision", "buyer", None).await.unwrap();
    watch.happened(&["decide_dispute"]).await;
    provider.answer(&order, "dispute/appeal").await.unwrap();
    watch.happened(&["appeal_dispute"]).await;
    let second = watch.app.staff("second@exchange.test", PlatformRole::Operator).await;
    second.decide_dispute(&order, "appeal/decision", "provider", None).await.unwrap();
    watch.happened(&["decide_appeal"]).await;
}

/// Two negotiations: one by way of both sides' offers to a contract, and one that is ended.
async fn negotiate(lab: &Actor, provider: &Actor, offer: &Offer, watch: &mut Watch<'_>) {
    let declared = json!({ "use": "pretrain", "purpose": "pretraining of a small model" });
    let begun = lab.negotiated_by(provider, offer, 400).await;
    watch.happened(&["begin_offer"]).await;
    let path = format!("/v1/negotiations/{}", begun["id"].as_str().unwrap());
    let mut last = begun;
    for (side, message, operation) in [(lab, "request", "reply_request"), (provider, "offers", "reply_offer")] {
        let mut document = side.offer_to(&lab.handle, offer, 300).await;
        document["replies_to_sha256"] = last["offer_sha256"].clone();
        let mut reply = json!({ "envelope": side.sign_offer(&document) });
        if side.handle == lab.handle {
            reply["declared"] = declared.clone();
        }
        last = side.effect(format!("{path}/{message}"), &reply).await.unwrap();
        watch.happened(&[operation]).await;
    }
    let accepted = lab.effect(format!("{path}/events"), &json!({ "event_type": "ACCEPTED" })).await.unwrap();
    watch.happened(&["post_negotiation_event"]).await;
    for (side, message, operation) in
        [(provider, "agreement", "agree_negotiation"), (lab, "agreement/verification", "verify_agreement")]
    {
        let signed = json!({ "envelope": side.sign_payload(&accepted["contract_payload"]) });
        side.effect(format!("{path}/{message}"), &signed).await.unwrap();
        watch.happened(&[operation]).await;
    }
    provider.effect(format!("{path}/events"), &json!({ "event_type": "FINALIZED" })).await.unwrap();
    watch.happened(&["post_negotiation_event", "sign_contract"]).await;
    let asked = lab.sign_offer(&lab.offer_to(&lab.handle, offer, 300).await);
    let asked = json!({ "envelope": asked, "declared": declared });
    let asked = lab.effect("/v1/negotiations/request", &asked).await.unwrap();
    watch.happened(&["begin_request"]).await;
    let path = format!("/v1/negotiations/{}/termination", asked["id"].as_str().unwrap());
    lab.effect(path, &json!({ "code": "PRICE", "reason": "too dear after all" })).await.unwrap();
    watch.happened(&["terminate_negotiation"]).await;
}

const BLOCK: &[(&str, &str)] = &[("interim-block", "block_takedown"), ("notification", "notify_provider")];

/// A claim that is examined and answered.
async fn contest(app: &TestApp, provider: &Actor, dataset: &str, watch: &mut Watch<'_>) -> String {
    let case = examine(app, dataset, BLOCK, watch).await;
    provider.counter(&case).await.unwrap();
    watch.happened(&["counter_takedown"]).await;
    case
}

/// The licensee answers the recall of a case in one of the two ways, and the case is closed.
async fn answer(app: &TestApp, lab: &Actor, case: &str, deletes: bool, watch: &mut Watch<'_>) {
    let recalls = lab.get("/v1/recalls").await.unwrap();
    let recall = recalls["items"].as_array().unwrap().iter().find(|recall| recall["takedown_id"] == case).unwrap();
    let path = format!("/v1/recalls/{}", recall["id"].as_str().unwrap());
    lab.post(format!("{path}/acknowledgement"), &Value::Null).await.unwrap();
    watch.happened(&["acknowledge_recall"]).await;
    if deletes {
        let signed = json!({ "envelope": lab.attestation(recall, app.clock.now()) });
        lab.post(format!("{path}/deletion"), &signed).await.unwrap();
        watch.happened(&["attest_deletion"]).await;
    } else {
        let declared = json!({ "declaration": "verse-1b was pretrained on it" });
        lab.post(format!("{path}/training"), &declared).await.unwrap();
        watch.happened(&["declare_training"]).await;
    }
    decide(app, case, &[("closure", "close_takedown")], watch).await;
}

/// Three claims against a version with one listing and one licence: rejected, answered and reinstated, upheld.
async fn claims(app: &TestApp, provider: &Actor, lab: &Actor, deletes: bool, watch: &mut Watch<'_>) {
    let (name, price) = if deletes { ("odes", 100) } else { ("epics", 200) };
    let offer = app.listed_corpus(provider, name, price).await;
    lab.buy(&offer).await.unwrap();
    watch
        .happened(&[
            "seal_version",
            "create_assessment",
            "publish_terms",
            "create_listing",
            "place_order",
            "sign_contract",
            "pay_order",
        ])
        .await;
    examine(app, &offer.dataset, &[("rejection", "reject_takedown")], watch).await;
    let case = contest(app, provider, &offer.dataset, watch).await;
    decide(app, &case, &[("reinstatement", "reinstate_takedown")], watch).await;
    let case = contest(app, provider, &offer.dataset, watch).await;
    decide(app, &case, &[("upholding", "uphold_takedown"), ("recall", "issue_recall")], watch).await;
    answer(app, lab, &case, deletes, watch).await;
}

/// A listing on public notice, an objection to it that is dismissed, and one that is upheld.
async fn objections(app: &TestApp, watch: &mut Watch<'_>) {
    let provider = app.provider().await;
    let objectors = [app.organisation("li-estate").await, app.organisation("other-house").await];
    let published = provider.publish("poems", &[("data/a.jsonl", b"{}\n")]).await;
    app.compliance.assess(&published).await;
    let terms = provider.publish_terms(100).await;
    let wanted = json!({ "dataset": published.dataset, "version": 1, "terms_id": terms });
    let listing = provider.post("/v1/listings", &wanted).await.unwrap()["id"].as_str().unwrap().to_string();
    watch.seen = self::published(app).await;
    let decisions = [("dismissal", "dismiss_objection"), ("upholding", "uphold_objection")];
    for (objector, (step, operation)) in objectors.iter().zip(decisions) {
        let why = json!({ "organisation": objector.handle, "reason": "These are my poems." });
        let filed = objector.post(format!("/v1/listings/{listing}/objections"), &why).await.unwrap();
        watch.happened(&["object_to_listing"]).await;
        let path = format!("/v1/objections/{}/{step}", filed["id"].as_str().unwrap());
        app.compliance.post(path, &json!({ "reason": "for good reasons" })).await.unwrap();
        watch.happened(&[operation]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mutation_logs() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let mut watch = Watch::begin(&app).await;
    let lab = lab_with_key(&app, &mut watch).await;

    let published = provider.publish("poems", &[("data/a.jsonl", b"{}\n")]).await;
    watch.happened(&["create_dataset", "create_version", "put_shard", "seal_version"]).await;
    app.compliance.assess(&published).await;
    watch.happened(&["create_assessment"]).await;
    let terms = provider.publish_terms(50_000).await;
    watch.happened(&["publish_terms"]).await;
    let offer = provider.list(&published, &terms).await;
    watch.happened(&["create_listing"]).await;

    let (order, entitlement) = buy(&lab, &offer.listing, &mut watch).await;
    lab.links(&entitlement, &["data/a.jsonl"]).await.unwrap();
    watch.happened(&["create_links"]).await;
    lab.effect(format!("/v1/orders/{order}/acceptance"), &Value::Null).await.unwrap();
    watch.happened(&["accept_order"]).await;
    quarrel(&lab, &provider, &offer, &mut watch).await;
    let open = provider.list_again(&offer, &json!({ "evaluation_days": 14 })).await;
    watch.happened(&["publish_terms", "create_listing"]).await;
    let evaluation = lab.evaluate(&open).await.unwrap()["id"].as_str().unwrap().to_string();
    watch.happened(&["create_evaluation"]).await;
    lab.post(format!("/v1/evaluations/{evaluation}/links"), &Value::Null).await.unwrap();
    watch.happened(&["create_sample_link"]).await;
    let private = lab.offered_by(&provider, &offer, 40_000).await;
    watch.happened(&["make_offer"]).await;
    provider.effect(format!("/v1/offers/{private}/withdrawal"), &json!({ "reason": "sold out" })).await.unwrap();
    watch.happened(&["withdraw_offer"]).await;
    negotiate(&lab, &provider, &offer, &mut watch).await;
    lab.declare_model("Verse", &published.dataset, &entitlement).await.unwrap();
    watch.happened(&["declare_model"]).await;

    let because = json!({ "reason": "the invoice was disputed" });
    for (step, operation) in [
        ("suspension", "suspend_entitlement"),
        ("reinstatement", "reinstate_entitlement"),
        ("revocation", "revoke_entitlement"),
    ] {
        app.operator.effect(format!("/v1/entitlements/{entitlement}/{step}"), &because).await.unwrap();
        watch.happened(&[operation]).await;
    }

    let listing = format!("/v1/listings/{}", offer.listing);
    for step in ["pause", "resume", "withdraw"] {
        provider.post(format!("{listing}/{step}"), &json!({})).await.unwrap();
    }
    watch.happened(&["pause_listing", "resume_listing", "withdraw_listing"]).await;
    for deletes in [true, false] {
        claims(&app, &provider, &lab, deletes, &mut watch).await;
    }
    let keys = format!("/v1/organisations/{}/keys", provider.handle);
    let key = provider.get(&keys).await.unwrap()["items"][0]["id"].as_str().unwrap().to_string();
    provider.post(format!("{keys}/{key}/revocation"), &json!({})).await.unwrap();
    watch.happened(&["revoke_key"]).await;
    every_statement_is_traced(&app).await;

    let cautious = TestApp::start_with(|config| config.public_notice_days = 7).await;
    let mut watch = watch.moved_to(&cautious).await;
    objections(&cautious, &mut watch).await;
    every_statement_is_traced(&cautious).await;
    watch.end();
}
