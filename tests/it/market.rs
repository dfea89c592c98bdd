//! The market: what may be listed, ordered and agreed, and by whom.

use std::time::Duration;

use base64::Engine as _;
use corpex::error::Kind;
use corpex::provenance::{ResourceDescriptor, StatementKind};
use corpex::signing::{Envelope, IN_TOTO_PAYLOAD_TYPE};
use corpex::types::{DAY, Digest};
use serde_json::{Value, json};

use crate::support::{Actor, Offer, Published, TestApp, refused, terms};

fn wanted(offer: &Offer, buyer: &str) -> Value {
    json!({
        "listing_id": offer.listing, "organisation": buyer, "use": "pretrain",
        "purpose": "预训练一个中文小型语言模型，仅供内部使用。",
    })
}

async fn poems(provider: &Actor) -> Published {
    provider.publish("poems", &[("a.jsonl", b"{}\n"), ("b.jsonl", b"{\"n\":2}\n")]).await
}

/// The checklist with the same finding for every item.
async fn answers(actor: &Actor, finding: &str) -> Vec<Value> {
    let items = actor.get("/v1/checklist").await.unwrap();
    let evidence = json!([{ "name": "合规评估报告.pdf", "sha256": Digest::of("report") }]);
    let answer = |item: &Value| json!({ "key": item["key"], "finding": finding, "evidence": evidence });
    items["items"].as_array().unwrap().iter().map(answer).collect()
}

fn states(transitions: &Value) -> Vec<&str> {
    transitions.as_array().unwrap().iter().map(|step| step["to_state"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_goes_from_declared_use_to_settlement_and_its_history_says_so() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", 50_000).await;
    let lab = app.lab("verse-lab", 50_000).await;
    let order = lab.effect("/v1/orders", &wanted(&offer, "verse-lab")).await.unwrap();
    assert_eq!((&order["state"], &order["fee"]["amount_minor"]), (&json!("awaiting_signature"), &json!(1500)));
    let path = format!("/v1/orders/{}", order["id"].as_str().unwrap());
    refused(lab.get(format!("{path}/contract")).await, Kind::WrongState, None);
    refused(lab.effect(format!("{path}/payment"), &Value::Null).await, Kind::WrongState, None);

    let agreed = lab.sign_contract(&order).await.unwrap();
    assert_eq!(agreed["state"], "awaiting_payment");
    assert_eq!(lab.sign_contract(&order).await.unwrap(), agreed, "the same signature again changes nothing");
    let contract: Envelope = serde_json::from_value(lab.get(format!("{path}/contract")).await.unwrap()).unwrap();
    let exchange = app.app().keys.statement.public();
    for key in [lab.key.public(), exchange] {
        let signed = contract.verify(key, IN_TOTO_PAYLOAD_TYPE).unwrap();
        assert_eq!(signed["predicate"]["purpose"], "预训练一个中文小型语言模型，仅供内部使用。");
        assert_eq!(signed["predicate"]["buyer"]["handle"], "verse-lab");
    }

    let id = order["id"].as_str().unwrap();
    let entitlement = lab.pay(id).await.unwrap()["entitlement"]["id"].as_str().unwrap().to_string();
    let acceptance = format!("{path}/acceptance");
    refused(lab.effect(&acceptance, &Value::Null).await, Kind::WrongState, None);
    lab.links(&entitlement, &["data/a.jsonl", "data/b.jsonl"]).await.unwrap();
    refused(provider.effect(&acceptance, &Value::Null).await, Kind::Forbidden, None);
    let settled: Value = lab.keyed("accept", &acceptance, &Value::Null).send().await.unwrap();
    let again: Value = lab.keyed("accept", &acceptance, &Value::Null).send().await.unwrap();
    assert_eq!(again, settled);
    refused(lab.effect(&acceptance, &Value::Null).await, Kind::WrongState, None);
    let whole = lab.get(&path).await.unwrap();
    assert_eq!(
        states(&whole["history"]),
        [
            "awaiting_signature",
            "awaiting_payment",
            "escrowed",
            "delivering",
            "delivered",
            "accepted",
            "settled",
            "certificated"
        ]
    );
    for side in [&lab, &provider] {
        assert_eq!(side.get("/v1/orders").await.unwrap()["items"][0]["id"], id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_free_licence_goes_the_same_way_and_moves_no_money() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", 0).await;
    let lab = app.lab("verse-lab", 0).await;
    let order = lab.order(&offer).await.unwrap();
    let paid = lab.pay(&order).await.unwrap();
    lab.links(paid["entitlement"]["id"].as_str().unwrap(), &["data/a.jsonl"]).await.unwrap();
    let accepted = lab.effect(format!("/v1/orders/{order}/acceptance"), &Value::Null).await.unwrap();
    assert_eq!(accepted["state"], "certificated");
    let postings = provider.get("/v1/organisations/poetry-house/postings").await.unwrap();
    assert_eq!(postings["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_buyers_own_signature_over_the_exact_contract_counts() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", 100).await;
    let lab = app.lab("verse-lab", 100).await;
    let order = lab.effect("/v1/orders", &wanted(&offer, "verse-lab")).await.unwrap();
    let path = format!("/v1/orders/{}/contract", order["id"].as_str().unwrap());
    let payload =
        base64::engine::general_purpose::STANDARD.decode(order["contract_payload"].as_str().unwrap()).unwrap();

    let cheaper = String::from_utf8(payload.clone()).unwrap().replace("\"amount_minor\":100", "\"amount_minor\":1");
    let sign = |key: &corpex::signing::SecretKey, bytes: &[u8]| json!({ "envelope": key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, bytes.to_vec()) });
    refused(lab.post(&path, &sign(&lab.key, cheaper.as_bytes())).await, Kind::BadSignature, Some("payload"));
    refused(lab.post(&path, &sign(&provider.key, &payload)).await, Kind::BadSignature, Some("signatures"));
    let mut two = lab.key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, payload.clone());
    provider.key.add_signature(&mut two);
    refused(lab.post(&path, &json!({ "envelope": two })).await, Kind::BadSignature, Some("signatures"));
    let mut forged = lab.key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, payload.clone());
    forged.signatures[0].sig.0[0] ^= 1;
    assert_eq!(lab.post(&path, &json!({ "envelope": forged })).await.unwrap_err().kind, Kind::BadSignature);
    lab.post(&path, &sign(&lab.key, &payload)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_read_the_contract_and_what_they_read_is_what_is_signed() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", 100).await;
    let lab = app.lab("verse-lab", 100).await;
    let order = lab.effect("/v1/orders", &wanted(&offer, "verse-lab")).await.unwrap();
    let path = format!("/v1/orders/{}/contract", order["id"].as_str().unwrap());
    let before = lab.client.get(format!("{path}/rendering?lang=zh&format=text")).text().await.unwrap();
    assert!(before.contains("合同价款：CNY 1.00（大写：人民币壹元整）"), "{before}");
    lab.sign_contract(&order).await.unwrap();

    let signed: Envelope = serde_json::from_value(provider.get(&path).await.unwrap()).unwrap();
    let signed = signed.verify(lab.key.public(), IN_TOTO_PAYLOAD_TYPE).unwrap();
    for (lang, format) in [("zh", "html"), ("zh", "text"), ("en", "html"), ("en", "text")] {
        let rendering = provider.client.get(format!("{path}/rendering?lang={lang}&format={format}"));
        let rendered = rendering.text().await.unwrap();
        assert!(rendered.contains("预训练一个中文小型语言模型，仅供内部使用。"), "{rendered}");
        let digest = &signed["predicate"]["renderings"][lang][format!("{format}_sha256")];
        assert_eq!(*digest, Digest::of(&rendered).to_string(), "{lang} {format}");
    }
    let other = lab.client.get(format!("{path}/rendering?lang=fr&format=text")).send::<Value>().await;
    refused(other, Kind::Invalid, Some("lang"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_buy_does_not() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", 100).await;
    let own = provider.effect("/v1/orders", &wanted(&offer, "poetry-house")).await;
    let own = refused(own, Kind::Invalid, Some("organisation"));
    assert!(own.detail.contains("poetry-house cannot buy from itself") && own.remedy.is_some(), "{own}");
    let lab = app.lab("verse-lab", 100).await;
    assert_eq!(lab.effect("/v1/orders", &wanted(&offer, "poetry-house")).await.unwrap_err().kind, Kind::Forbidden);
    let hopeful = Actor::register(&app.anonymous(), "hopeful-lab").await;
    let unverified = hopeful.effect("/v1/orders", &wanted(&offer, "hopeful-lab")).await;
    refused(unverified, Kind::WrongState, Some("organisation"));
    let missing = Offer { listing: "listing_01jd0000000000000000000000".into(), ..offer.clone() };
    refused(lab.effect("/v1/orders", &wanted(&missing, "verse-lab")).await, Kind::NotFound, Some("listing_id"));
    let unknown_field = json!({ "listing_id": offer.listing, "organisation": "verse-lab", "use": "pretrain",
        "purpose": "pretraining of a small model", "discount": 100 });
    refused(lab.effect("/v1/orders", &unknown_field).await, Kind::Invalid, Some("discount"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_is_paused_resumed_and_withdrawn_by_its_provider_alone() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", 100).await;
    let lab = app.lab("verse-lab", 100).await;
    let waiting = lab.effect("/v1/orders", &wanted(&offer, "verse-lab")).await.unwrap();
    let path = format!("/v1/listings/{}", offer.listing);
    refused(lab.post(format!("{path}/pause"), &json!({})).await, Kind::Forbidden, None);
    refused(provider.post(format!("{path}/resume"), &json!({})).await, Kind::WrongState, None);

    assert_eq!(provider.post(format!("{path}/pause"), &json!({})).await.unwrap()["state"], "paused");
    refused(lab.effect("/v1/orders", &wanted(&offer, "verse-lab")).await, Kind::WrongState, Some("listing_id"));
    refused(lab.sign_contract(&waiting).await, Kind::WrongState, None);
    assert_eq!(provider.post(format!("{path}/resume"), &json!({})).await.unwrap()["state"], "listed");
    lab.sign_contract(&waiting).await.unwrap();
    assert_eq!(provider.post(format!("{path}/withdraw"), &json!({})).await.unwrap()["state"], "delisted");
    for verb in ["pause", "resume", "withdraw"] {
        refused(provider.post(format!("{path}/{verb}"), &json!({})).await, Kind::WrongState, None);
    }
    lab.pay(waiting["id"].as_str().unwrap()).await.unwrap();

    let tombstone: Value = app.anonymous().get(&path).send().await.unwrap();
    assert_eq!(tombstone["state"], "delisted", "everybody may still see it");
    let again = json!({ "dataset": offer.dataset, "version": 1, "terms_id": offer.terms });
    refused(provider.post("/v1/listings", &again).await, Kind::AlreadyExists, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_can_rebuild_a_listings_life_from_what_the_exchange_signed() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", 100).await;
    let path = format!("/v1/listings/{}", offer.listing);
    for verb in ["pause", "resume", "withdraw"] {
        provider.post(format!("{path}/{verb}"), &json!({})).await.unwrap();
    }
    app.sequenced().await;
    let (anyone, exchange) = (app.anonymous(), app.app().keys.statement.public());
    let (mut after, mut told, mut opening) = (String::new(), Vec::new(), None);
    loop {
        let page: Value = anyone.get(format!("{path}/statements?limit=1{after}")).send().await.unwrap();
        let statement = &page["items"][0];
        let envelope: Envelope = serde_json::from_value(statement["envelope"].clone()).unwrap();
        let signed = envelope.verify(exchange, IN_TOTO_PAYLOAD_TYPE).unwrap();
        let opened = opening.get_or_insert(envelope.pae_sha256());
        let state = match statement["kind"].as_str().unwrap() {
            "listing" => "opened".to_string(),
            _ => {
                assert_eq!(signed["predicate"]["listing_sha256"], opened.to_string());
                signed["predicate"]["state"].as_str().unwrap().to_string()
            }
        };
        told.push(state);
        let entry = statement["entry_id"].as_str().unwrap();
        anyone.get(format!("/v1/log/proofs/{entry}")).text().await.unwrap();
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&cursor={next}");
    }
    assert_eq!(told, ["opened", "listed", "paused", "listed", "delisted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_board_is_public_and_tells_nothing_of_drafts() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", 100).await;
    provider.draft("unfinished").await;
    let anonymous = app.anonymous();
    let board: Value = anonymous.get("/v1/listings?dataset=poetry-house/poems").send().await.unwrap();
    assert_eq!(board["items"][0]["id"], offer.listing.as_str());
    assert_eq!(board["items"][0]["price"], json!({ "amount_minor": 100, "currency": "CNY" }));
    for dataset in ["poetry-house/unfinished", "poetry-house/nothing", "nobody/nothing"] {
        let none: Value = anonymous.get(format!("/v1/listings?dataset={dataset}")).send().await.unwrap();
        assert_eq!(none["items"], json!([]), "{dataset}");
    }
    let bad = anonymous.get("/v1/listings?dataset=poems").send::<Value>().await;
    refused(bad, Kind::Invalid, Some("dataset"));
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_of_somebody_else_or_of_no_version_cannot_be_listed() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let published = poems(&provider).await;
    app.compliance.assess(&published).await;
    let rival = app.organisation("rival-house").await;
    let theirs = rival.publish_terms(1).await;
    let listing = |terms: &str| json!({ "dataset": published.dataset, "version": 1, "terms_id": terms });
    refused(provider.post("/v1/listings", &listing(&theirs)).await, Kind::NotFound, Some("terms_id"));
    assert_eq!(rival.post("/v1/listings", &listing(&theirs)).await.unwrap_err().kind, Kind::Forbidden);
    let own = provider.publish_terms(1).await;
    let draft = json!({ "dataset": published.dataset, "version": 2, "terms_id": own });
    assert_eq!(provider.post("/v1/listings", &draft).await.unwrap_err().kind, Kind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_are_published_once_and_only_as_their_provider_signed_them() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let document = terms(77);
    let first = provider.try_publish_terms(&document).await.unwrap();
    let again = provider.try_publish_terms(&document).await.unwrap();
    assert_eq!(first, again, "the same document is the same terms");
    let public: Value =
        app.anonymous().get(format!("/v1/terms/{}", first["id"].as_str().unwrap())).send().await.unwrap();
    assert_eq!(public["document"], document);
    let envelope: Envelope = serde_json::from_value(public["envelope"].clone()).unwrap();
    envelope.verify(provider.key.public(), IN_TOTO_PAYLOAD_TYPE).unwrap();
    assert_eq!(public["sha256"], envelope.pae_sha256().to_string());
    let listed: Value = app.anonymous().get("/v1/organisations/poetry-house/terms").send().await.unwrap();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);

    let changed = |pointer: &str, value: Value| {
        let mut document = terms(77);
        *document.pointer_mut(pointer).unwrap() = value;
        document
    };
    for bad in [
        changed("/price/amount/amount_minor", json!(0)),
        changed("/price/amount/currency", json!("XYZ")),
        changed("/territory", json!(["XX"])),
        changed("/territory", json!(["CN", "*"])),
        changed("/duration_days", json!(0)),
        changed("/permitted_uses", json!([])),
        changed("/permitted_uses", json!(["worship"])),
    ] {
        let error = provider.try_publish_terms(&bad).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{bad}: {error:?}");
    }
    let rival = app.organisation("rival-house").await;
    let borrowed = Actor { handle: "poetry-house".into(), ..rival.clone() };
    assert_eq!(borrowed.try_publish_terms(&document).await.unwrap_err().kind, Kind::Forbidden);
    let forged = Actor { key: rival.key.clone(), ..provider.clone() };
    refused(forged.try_publish_terms(&terms(78)).await, Kind::BadSignature, Some("signatures"));
    let subject = ResourceDescriptor::new("terms", Digest::of("something else"));
    let predicate = json!({ "organisation": "poetry-house", "document": terms(79) });
    let envelope = provider.sign(StatementKind::Terms, vec![subject], predicate);
    refused(provider.post("/v1/terms", &json!({ "envelope": envelope })).await, Kind::Invalid, Some("subject"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assessment_answers_every_item_and_a_pass_is_registered() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let published = poems(&provider).await;
    let path = format!("{}/assessments", published.path());
    let whole = answers(&provider, "compliant").await;
    let assess = |checklist: &[Value], decision: &str, days: i64| json!({ "checklist": checklist, "decision": decision, "valid_days": days });
    refused(provider.post(&path, &assess(&whole, "passed", 30)).await, Kind::Forbidden, None);
    let officer = &app.compliance;
    refused(officer.post(&path, &assess(&whole[1..], "passed", 30)).await, Kind::Invalid, Some("checklist"));
    refused(officer.post(&path, &assess(&whole, "passed", 0)).await, Kind::Invalid, Some("valid_days"));
    let mut fault = whole.clone();
    fault[2]["finding"] = json!("non_compliant");
    refused(officer.post(&path, &assess(&fault, "passed", 30)).await, Kind::Invalid, Some("decision"));

    let stranger = app.lab("verse-lab", 0).await;
    refused(stranger.get(&path).await, Kind::NotFound, None);
    let passed = officer.post(&path, &assess(&whole, "passed", 30)).await.unwrap();
    assert_eq!(passed["checklist"][0]["finding_zh"], "符合");
    let number = passed["certificate_number"].as_str().unwrap();
    let certificate: Value = app.anonymous().get(format!("/v1/certificates/{number}")).send().await.unwrap();
    assert_eq!((&certificate["dataset"], &certificate["version"]), (&json!(published.dataset), &json!(1)));
    assert_eq!(certificate["manifest_sha256"], published.manifest.pae_sha256().to_string());
    let envelope: Envelope = serde_json::from_value(certificate["envelope"].clone()).unwrap();
    envelope.verify(app.app().keys.statement.public(), IN_TOTO_PAYLOAD_TYPE).unwrap();
    assert_eq!(stranger.get(&path).await.unwrap()["items"].as_array().unwrap().len(), 1, "registered: open to all");
    let missing = app.anonymous().get("/v1/certificates/CPX-2026-%00").send::<Value>().await;
    assert_eq!(missing.unwrap_err().kind, Kind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lapsed_assessment_closes_the_gate_until_it_is_renewed() {
    let app = TestApp::start_with(|config| config.payment_window_days = 60).await;
    let provider = app.provider().await;
    let published = poems(&provider).await;
    let path = format!("{}/assessments", published.path());
    let month = json!({ "checklist": answers(&provider, "compliant").await, "decision": "passed", "valid_days": 30 });
    let first = app.compliance.post(&path, &month).await.unwrap();
    let terms = provider.publish_terms(0).await;
    let offer = provider.list(&published, &terms).await;
    let lab = app.lab("verse-lab", 0).await;
    let waiting = lab.effect("/v1/orders", &wanted(&offer, "verse-lab")).await.unwrap();

    app.clock.advance(DAY * 30);
    refused(lab.effect("/v1/orders", &wanted(&offer, "verse-lab")).await, Kind::NotAssessed, Some("listing_id"));
    refused(lab.sign_contract(&waiting).await, Kind::NotAssessed, None);
    let renewed = app.compliance.post(&path, &month).await.unwrap();
    assert_eq!(renewed["certificate_number"], first["certificate_number"], "the certificate stays");
    lab.sign_contract(&waiting).await.unwrap();
    lab.buy(&offer).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_fails_is_rejected_for_good() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let published = poems(&provider).await;
    let path = format!("{}/assessments", published.path());
    let whole = answers(&provider, "compliant").await;
    let mut fault = whole.clone();
    fault[4]["finding"] = json!("non_compliant");
    fault[4]["note"] = json!("抽检发现违法和不良信息");
    let failed = json!({ "checklist": fault, "decision": "failed", "valid_days": 30 });
    let assessed = app.compliance.post(&path, &failed).await.unwrap();
    assert!(assessed.get("certificate_number").is_none());
    let terms = provider.publish_terms(0).await;
    let listing = json!({ "dataset": published.dataset, "version": 1, "terms_id": terms });
    refused(provider.post("/v1/listings", &listing).await, Kind::NotAssessed, None);
    let second = json!({ "checklist": whole, "decision": "passed", "valid_days": 30 });
    refused(app.compliance.post(&path, &second).await, Kind::WrongState, None);
    assert_eq!(provider.get(&path).await.unwrap()["items"][0]["decision"], "failed");
}

/// The clock by which it fails is an hour behind that by which it passed.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_failed_last_is_not_offered_whatever_the_clocks_say() {
    let mut app = TestApp::start().await;
    let provider = app.provider().await;
    let published = poems(&provider).await;
    let path = format!("{}/assessments", published.path());
    let terms = provider.publish_terms(0).await;
    let whole = answers(&provider, "compliant").await;
    app.clock.advance(Duration::from_secs(3600));
    let passed = json!({ "checklist": whole, "decision": "passed", "valid_days": 30 });
    app.compliance.post(&path, &passed).await.unwrap();

    app.restart().await; // with a clock of its own
    let mut fault = whole.clone();
    fault[4]["finding"] = json!("non_compliant");
    fault[4]["note"] = json!("抽检发现违法和不良信息");
    let failed = json!({ "checklist": fault, "decision": "failed", "valid_days": 30 });
    app.compliance.post(&path, &failed).await.unwrap();
    let listing = json!({ "dataset": published.dataset, "version": 1, "terms_id": terms });
    for hours in [0, 2] {
        app.clock.advance(Duration::from_secs(hours * 3600));
        let refusal = refused(provider.post("/v1/listings", &listing).await, Kind::NotAssessed, None);
        assert!(refusal.detail.contains("failed its assessment"), "{refusal}");
    }
}
