//! Compliance: from almost anything to the whole chain, and what staff look at is itself on record.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use corpex::error::Kind;
use corpex::types::{Digest, Instant};
use serde_json::{Value, json};

use crate::support::{Actor, Offer, TestApp};

const A: &[u8] = b"{\"text\":\"one\"}\n";

/// A listed corpus, and a lab that licensed it and downloaded its first shard.
struct Trade {
    app: TestApp,
    provider: Actor,
    lab: Actor,
    offer: Offer,
    entitlement: String,
}

impl Trade {
    async fn done() -> Self {
        let app = TestApp::start().await;
        let provider = app.provider().await;
        let offer = app.listed_corpus(&provider, "poems", 100).await;
        let lab = app.lab("verse-lab", 100).await;
        let entitlement = lab.buy(&offer).await.unwrap();
        lab.links(&entitlement, &["data/a.jsonl"]).await.unwrap();
        app.drain().await;
        app.sequenced().await;
        Self { app, provider, lab, offer, entitlement }
    }

    async fn trace(&self, subject: &str) -> Value {
        self.ask("/v1/trace", &[("subject", subject)]).await
    }

    async fn events(&self, query: &[(&str, &str)]) -> Vec<Value> {
        events(&self.app, query).await
    }

    async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Value {
        self.app.compliance.get(with_query(path, query)).await.unwrap()
    }
}

/// All pages of what happened.
async fn events(app: &TestApp, query: &[(&str, &str)]) -> Vec<Value> {
    let mut path = with_query("/v1/trace/events", query);
    let mut all = Vec::new();
    loop {
        let page = app.compliance.get(&path).await.unwrap();
        all.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => path = with_query("/v1/trace/events", &[query, &[("cursor", next)]].concat()),
            None => return all,
        }
    }
}

/// Each statement is among the events of what it is about, and of the dataset and the parties that this belongs to.
pub async fn every_statement_is_traced(app: &TestApp) {
    let mut traced: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in events(app, &[]).await {
        // What the exchange says of itself is about nothing that is traded.
        let of_itself = ["exchange-key", "audit-trail"].contains(&event["kind"].as_str().unwrap());
        if event["kind"] == "delivery" || event["statement"].is_null() || of_itself {
            continue;
        }
        let subjects = ["about", "dataset", "organisation", "counterparty"].map(|member| event[member].as_str());
        for subject in subjects.into_iter().flatten() {
            if !traced.contains_key(subject) {
                let found = events(app, &[("subject", subject)]).await;
                let ids = found.iter().map(|event| event["id"].as_str().unwrap().to_string()).collect();
                traced.insert(subject.to_string(), ids);
            }
            assert!(traced[subject].contains(event["id"].as_str().unwrap()), "{subject} does not lead to {event:#}");
        }
    }
}

fn with_query(path: &str, query: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    format!("{path}?{query}")
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["kind"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_subject_leads_to_the_same_chain() {
    let trade = Trade::done().await;
    let entitlement = trade.lab.get(format!("/v1/entitlements/{}", trade.entitlement)).await.unwrap();
    let whole = trade.trace("poetry-house/poems").await;
    let chain = &whole["chains"][0];
    let licence = &chain["licences"][0];
    let text = |value: &Value| value.as_str().unwrap().to_string();
    let contract = text(&licence["contract_sha256"]);
    let contract_index = format!("log:{}", licence["logged"]["log_index"]);
    let key = trade.provider.get("/v1/organisations/poetry-house/keys").await.unwrap()["items"][0]["key_id"].clone();
    for subject in [
        Digest::of(A).to_string(),
        "poetry-house".to_string(),
        "verse-lab".to_string(),
        "poetry-house/poems@1".to_string(),
        "poetry-house/poems@1:data/a.jsonl".to_string(),
        text(&chain["sealed"]["pae_sha256"]),
        text(&chain["certificate"]["number"]),
        text(&entitlement["order_id"]),
        trade.entitlement.clone(),
        trade.offer.listing.clone(),
        contract,
        contract_index,
        text(&licence["logged"]["entry"]),
    ] {
        let traced = trade.trace(&subject).await;
        let found = &traced["chains"][0];
        assert_eq!(traced["chains"].as_array().unwrap().len(), 1, "{subject}");
        assert_eq!((&found["dataset"], &found["version"]), (&json!("poetry-house/poems"), &json!(1)), "{subject}");
        assert_eq!(found["provider"]["legal_name"], "poetry-house Ltd", "{subject}");
        assert_eq!(found["sealed"], chain["sealed"], "{subject}");
        assert_eq!(found["licences"][0]["holder"]["handle"], "verse-lab", "{subject}");
        assert_eq!(found["licences"][0]["deliveries"][0]["path"], "data/a.jsonl", "{subject}");
        assert_eq!(found["terms"][0]["terms"], trade.offer.terms.as_str(), "{subject}");
    }
    assert_eq!(trade.trace(key.as_str().unwrap()).await["chains"], json!([]), "a key belongs to no version");
    let events = trade.events(&[("subject", key.as_str().unwrap())]).await;
    assert_eq!(kinds(&events), ["key-registration", "transition"]);
    let shards = |traced: &Value| traced["chains"][0]["shards"].as_array().unwrap().len();
    assert_eq!((shards(&trade.trace(&Digest::of(A).to_string()).await), shards(&whole)), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_is_told_with_its_dispute_and_the_claim_against_what_was_bought() {
    let trade = Trade::done().await;
    let licence = trade.lab.get(format!("/v1/entitlements/{}", trade.entitlement)).await.unwrap();
    let order = licence["order_id"].as_str().unwrap();
    let dispute = trade.lab.open_dispute(order).await.unwrap()["id"].as_str().unwrap().to_string();
    let case = trade.app.operator.claim("poetry-house/poems").await;
    for subject in [order, &dispute, "poetry-house/poems", "verse-lab"] {
        let told = trade.events(&[("subject", subject)]).await;
        let about = |kind: &str| told.iter().find(|event| event["kind"] == kind).map(|event| event["about"].clone());
        assert_eq!(about("dispute"), Some(json!(dispute)), "{subject}");
        let claimed = (subject != "verse-lab").then(|| json!(case));
        assert_eq!(about("takedown"), claimed, "{subject}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unknown_or_no_subject_is_refused_with_the_reason() {
    let trade = Trade::done().await;
    let ask = async |path: &str| trade.app.compliance.get(path).await.unwrap_err();
    for (path, kind, field) in [
        ("/v1/trace?subject=what%20is%20this", Kind::Invalid, Some("subject")),
        ("/v1/trace?subject=user_01jd0000000000000000000000", Kind::Invalid, Some("subject")),
        ("/v1/trace?subject=nobody-here", Kind::NotFound, None),
        ("/v1/trace?subject=poetry-house/novels", Kind::NotFound, None),
        ("/v1/trace?subject=poetry-house/poems@1:data/z.jsonl", Kind::NotFound, None),
        ("/v1/trace?subject=order_01jd0000000000000000000000", Kind::NotFound, None),
        ("/v1/trace?subject=log:999999", Kind::NotFound, None),
        ("/v1/trace?subject=CPX-2026-0000000000", Kind::NotFound, None),
        ("/v1/trace?subject=poetry-house&limit=101", Kind::Invalid, Some("limit")),
        ("/v1/trace/events?kind=gossip", Kind::Invalid, Some("kind")),
        ("/v1/trace/events?organisation=a--b", Kind::Invalid, Some("organisation")),
        ("/v1/trace/events?cursor=next", Kind::Invalid, Some("cursor")),
        ("/v1/trace/events?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", Kind::Invalid, Some("to")),
    ] {
        let error = ask(path).await;
        assert_eq!((error.kind, error.field.as_deref()), (kind, field), "{path}: {error:?}");
    }
    let unknown = trade.trace(&Digest::of("bytes that nobody has").to_string()).await;
    assert_eq!(unknown["chains"], json!([]), "that nothing has to do with some bytes is an answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_a_corpus_tell_its_life_in_order_and_every_statement_is_proven() {
    let trade = Trade::done().await;
    let events = trade.events(&[("subject", "poetry-house/poems")]).await;
    let mut told: Vec<&str> = kinds(&events).into_iter().filter(|kind| *kind != "transition").collect();
    let inspected = told.iter().position(|kind| *kind == "inspection").unwrap();
    told.remove(inspected); // by a job, so that it may come before or after what people did in the meantime
    assert_eq!(
        told,
        [
            "first-seen",
            "first-seen",
            "manifest",
            "assessment",
            "certificate",
            "terms",
            "listing",
            "listing-change",
            "contract",
            "entitlement",
            "delivery",
        ]
    );
    let times: Vec<&str> = events.iter().map(|event| event["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let steps: BTreeSet<&str> = events.iter().filter_map(|event| event["detail"].as_str()).collect();
    assert!(steps.contains("escrowed → delivering: the first link was given"), "{steps:?}");
    let delivery = events.iter().find(|event| event["kind"] == "delivery").unwrap();
    assert_eq!((&delivery["path"], &delivery["sha256"]), (&json!("data/a.jsonl"), &json!(Digest::of(A))));
    assert_eq!((&delivery["organisation"], &delivery["counterparty"]), (&json!("poetry-house"), &json!("verse-lab")));
    for event in events.iter().filter(|event| event["entry"].is_string()) {
        let path = format!("/v1/log/proofs/{}", event["entry"].as_str().unwrap());
        let proof = trade.app.anonymous().get(path).text().await.unwrap();
        assert!(proof.contains(&format!("\nindex {}\n", event["log_index"])), "{event}: {proof}");
    }
    let proven = trade.ask("/v1/trace", &[("subject", "poetry-house/poems"), ("proofs", "true")]).await;
    let entry = proven["chains"][0]["sealed"]["entry"].as_str().unwrap();
    let proof = trade.app.anonymous().get(format!("/v1/log/proofs/{entry}")).text().await.unwrap();
    assert_eq!(proven["proofs"][entry], proof);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_narrow_the_events_and_pages_neither_repeat_nor_miss_one() {
    let trade = Trade::done().await;
    trade.app.listed_corpus(&trade.app.organisation("rival-house").await, "verses", 0).await;
    trade.app.drain().await;
    trade.app.sequenced().await;
    let all = trade.events(&[]).await;
    let ids: BTreeSet<&str> = all.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), all.len(), "an event is told once");
    for limit in ["1", "7"] {
        assert_eq!(trade.events(&[("limit", limit)]).await, all, "in pages of {limit}");
    }
    let bought = trade.events(&[("kind", "contract")]).await;
    assert_eq!(kinds(&bought), ["contract"]);
    let of_lab = trade.events(&[("organisation", "verse-lab"), ("subject", "poetry-house/poems")]).await;
    let told: Vec<&str> = kinds(&of_lab).into_iter().filter(|kind| *kind != "transition").collect();
    assert_eq!(told, ["contract", "entitlement", "delivery"], "what of the corpus has to do with the lab");
    let of_rival = trade.events(&[("organisation", "rival-house"), ("subject", "poetry-house/poems")]).await;
    assert_eq!(
        kinds(&of_rival),
        ["first-seen", "first-seen", "conflict", "conflict"],
        "they share bytes, and nothing else"
    );

    let middle = bought[0]["at"].as_str().unwrap();
    let (before, after) = (trade.events(&[("to", middle)]).await, trade.events(&[("from", middle)]).await);
    assert!(before.iter().all(|event| event["at"].as_str().unwrap() < middle));
    assert!(after.iter().all(|event| event["at"].as_str().unwrap() >= middle));
    assert_eq!([before, after].concat(), all, "a moment parts the events without a gap");
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_in_force_are_those_on_the_board_at_the_date_asked_about() {
    let trade = Trade::done().await;
    let (provider, clock) = (&trade.provider, &trade.app.clock);
    let listing = format!("/v1/listings/{}", trade.offer.listing);
    let listed = clock.now();
    clock.advance(Duration::from_secs(3600));
    provider.post(format!("{listing}/pause"), &json!({})).await.unwrap();
    let paused = clock.now();
    clock.advance(Duration::from_secs(3600));
    provider.post(format!("{listing}/resume"), &json!({})).await.unwrap();
    let resumed = clock.now();
    provider.post(format!("{listing}/withdraw"), &json!({})).await.unwrap();
    let terms = async |at: Instant| {
        let traced = trade.ask("/v1/trace", &[("subject", "poetry-house/poems"), ("at", &at.to_string())]).await;
        traced["chains"][0]["terms"].as_array().unwrap().len()
    };
    let before = Instant::from_unix_micros(listed.unix_micros() - 3_600_000_000);
    let counted = [terms(before).await, terms(listed).await, terms(paused).await, terms(resumed).await];
    assert_eq!(counted, [0, 1, 0, 1], "before, listed, paused, resumed");
    assert_eq!(trade.trace("poetry-house/poems").await["chains"][0]["terms"], json!([]), "withdrawn now");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_under_another_provider_are_flagged_to_compliance_and_to_nobody_else() {
    let trade = Trade::done().await;
    let rival = trade.app.organisation("rival-house").await;
    let version = rival.draft("copies").await;
    let shards: &[(&str, &[u8])] = &[("copied.jsonl", A), ("empty.txt", b""), ("own.jsonl", b"{}\n")];
    for (path, bytes) in shards {
        rival.put_shard(&version, path, bytes).await.unwrap();
    }
    let (subjects, predicate) = rival.manifest("copies", 1, shards);
    let manifest = rival.sign(corpex::provenance::StatementKind::Manifest, subjects, predicate);
    let sealed = rival.post(format!("{version}/seal"), &json!({ "envelope": manifest })).await.unwrap();
    trade.provider.publish("more-poems", &[("again.jsonl", A), ("empty.txt", b"")]).await;
    trade.app.drain().await;

    let conflicts = trade.app.compliance.get("/v1/conflicts").await.unwrap();
    let [first, second] = conflicts["items"].as_array().unwrap().as_slice() else { panic!("{conflicts}") };
    assert_eq!((&first["path"], &first["sha256"]), (&json!("copied.jsonl"), &json!(Digest::of(A))));
    assert_eq!(first["earlier"]["provider"]["legal_name"], "poetry-house Ltd");
    assert_eq!(first["later"]["dataset"], "rival-house/copies");
    assert_eq!(
        (&second["earlier"]["dataset"], &second["later"]["dataset"]),
        (&json!("rival-house/copies"), &json!("poetry-house/more-poems"))
    );

    let traced = trade.trace(&Digest::of(A).to_string()).await;
    assert_eq!(traced["chains"].as_array().unwrap().len(), 3, "every place of the bytes");
    assert_eq!(traced["chains"][0]["conflicts"][0]["id"], first["id"]);
    let events = trade.events(&[("subject", "rival-house/copies"), ("kind", "conflict")]).await;
    assert_eq!(
        (&events[0]["counterparty"], &events[0]["detail"]),
        (&json!("poetry-house"), &json!("sealed before in poetry-house/poems@1"))
    );

    for (who, own, other) in
        [(&rival, "rival-house/copies", "poetry-house"), (&trade.provider, "poetry-house/more-poems", "rival-house")]
    {
        for path in ["/v1/conflicts", "/v1/trace/events?kind=conflict", "/v1/trace?subject=rival-house/copies"] {
            assert_eq!(who.get(path).await.unwrap_err().kind, Kind::Forbidden);
        }
        let seen = who.get(format!("/v1/datasets/{own}/versions/1")).await.unwrap().to_string();
        assert!(!seen.contains(other) && !seen.contains("conflict"), "{own}: {seen}");
    }
    assert!(!sealed.to_string().contains("poetry-house"), "the answer to sealing names no other side: {sealed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_staff_read_is_recorded_before_it_is_answered() {
    let trade = Trade::done().await;
    let (officer, operator) = (&trade.app.compliance, &trade.app.operator);
    let path = format!("/v1/entitlements/{}", trade.entitlement);
    officer.get(&path).await.unwrap();
    officer.get("/v1/trace?subject=verse-lab").await.unwrap();
    let refused = officer.get("/v1/orders/order_01jd0000000000000000000000").await.unwrap_err();
    assert_eq!(refused.kind, Kind::NotFound);
    operator.get("/v1/organisations/verse-lab/accounts").await.unwrap();
    trade.lab.get(&path).await.unwrap();

    let reads = operator.get("/v1/audit/records?outcome=read").await.unwrap();
    let asked: Vec<&str> =
        reads["items"].as_array().unwrap().iter().map(|read| read["request"].as_str().unwrap()).collect();
    let last = &asked[asked.len() - 5..];
    assert_eq!(
        last,
        [
            format!("GET {path}").as_str(),
            "GET /v1/trace?subject=verse-lab",
            "GET /v1/orders/order_01jd0000000000000000000000",
            "GET /v1/organisations/verse-lab/accounts",
            "GET /v1/audit/records?outcome=read",
        ],
        "the lab's own read is its own business"
    );
    assert_eq!(officer.get("/v1/audit/records").await.unwrap_err().kind, Kind::Forbidden);
}

async fn exported(trade: &Trade, format: &str, query: &[(&str, &str)]) -> String {
    let path = with_query("/v1/trace/export", &[query, &[("format", format)]].concat());
    trade.app.compliance.client.get(path).text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_tells_the_same_events_as_their_pages() {
    let trade = Trade::done().await;
    let query = [("subject", "poetry-house/poems")];
    let events = trade.events(&query).await;
    let lines = exported(&trade, "jsonl", &query).await;
    let told: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told, events);
    let table = exported(&trade, "csv", &query).await;
    let rows: Vec<&str> = table.strip_suffix("\r\n").unwrap().split("\r\n").collect();
    assert!(rows[0].starts_with("id,at,kind,about,dataset,version,path,sha256,"), "{}", rows[0]);
    let ids: Vec<&str> = rows[1..].iter().map(|row| row.split(',').next().unwrap()).collect();
    assert_eq!(ids, events.iter().map(|event| event["id"].as_str().unwrap()).collect::<Vec<_>>());
    let empty = exported(&trade, "csv", &[("subject", "poetry-house/poems"), ("to", "2000-01-01T00:00:00Z")]).await;
    assert_eq!(empty.lines().count(), 1, "a header and nothing else: {empty}");
    for (path, field) in
        [("/v1/trace/export?format=pdf", "format"), ("/v1/trace/export?format=csv&subject=a%20b", "subject")]
    {
        let error = trade.app.compliance.client.get(path).text().await.unwrap_err();
        assert_eq!((error.kind, error.field.as_deref()), (Kind::Invalid, Some(field)), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prov_says_who_made_what_from_what_and_who_used_it() {
    let trade = Trade::done().await;
    let text = exported(&trade, "prov", &[("subject", "poetry-house/poems")]).await;
    let prov: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(prov["prefix"]["corpex"], "urn:corpex:");
    let bytes = format!("corpex:sha256-{}", Digest::of(A));
    let find = |section: &str, member: &str, value: &str| -> Vec<Value> {
        let records = prov[section].as_object().unwrap().values();
        records.filter(|record| record[member] == value).cloned().collect()
    };
    let member = &find("hadMember", "prov:entity", &bytes)[0];
    let version = member["prov:collection"].as_str().unwrap();
    assert_eq!(prov["entity"][version]["prov:label"], "poetry-house/poems@1");
    assert_eq!(find("wasAttributedTo", "prov:entity", version)[0]["prov:agent"], "corpex:organisation-poetry-house");
    let sealing = find("wasGeneratedBy", "prov:entity", version)[0]["prov:activity"].as_str().unwrap().to_string();
    assert_eq!(
        find("wasAssociatedWith", "prov:activity", &sealing)[0]["prov:agent"],
        "corpex:organisation-poetry-house"
    );
    let uses = find("used", "prov:entity", &bytes);
    let users: Vec<String> = uses
        .iter()
        .flat_map(|usage| find("wasAssociatedWith", "prov:activity", usage["prov:activity"].as_str().unwrap()))
        .map(|association| association["prov:agent"].as_str().unwrap().to_string())
        .collect();
    assert_eq!(users, ["corpex:exchange", "corpex:organisation-verse-lab"], "verified by one, received by the other");
    for agent in users {
        assert!(prov["agent"][&agent].is_object(), "{agent} is not introduced");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_from_a_corpus_is_reached_however_many_steps_away() {
    let trade = Trade::done().await;
    let version = trade.provider.get("/v1/datasets/poetry-house/poems/versions/1").await.unwrap();
    let manifest = version["seal"]["manifest_sha256"].clone();
    let parent = json!({ "dataset": "poetry-house/poems", "version": 1, "manifest_sha256": manifest });
    let anthology = trade.lab.publish_from("anthology", &[("all.jsonl", b"{\"n\":1}\n")], &[parent]).await;
    let parent = anthology.as_parent();
    let training = json!({
        "organisation": "verse-lab", "model": { "name": "Verse", "version": "7b", "sha256": Digest::of("weights") },
        "use": "pretrain", "trained_on": [parent],
    });
    let training: corpex::models::Training = serde_json::from_value(training).unwrap();
    let envelope = training.statement().unwrap().sign(&trade.lab.key).unwrap();
    trade.lab.post("/v1/models", &json!({ "envelope": envelope })).await.unwrap();
    trade.lab.publish_from("digest", &[("short.jsonl", b"{\"n\":2}\n")], &[parent]).await;
    trade.app.drain().await;
    let traced = trade.trace(&Digest::of(A).to_string()).await;
    let derived = traced["chains"][0]["derived"].as_array().unwrap();
    let reached: Vec<(&str, i64)> =
        derived.iter().map(|one| (one["dataset"].as_str().unwrap(), one["distance"].as_i64().unwrap())).collect();
    assert_eq!(reached, [("verse-lab/anthology", 1), ("verse-lab/digest", 2)]);
    let model = &traced["chains"][0]["models"][0];
    assert_eq!((&model["name"], &model["lab"]["handle"]), (&json!("Verse"), &json!("verse-lab")));
    let trained = trade.events(&[("subject", "poetry-house/poems"), ("kind", "model-training")]).await;
    assert_eq!(trained[0]["about"], model["model"]);
    for subject in [Digest::of(A).to_string(), "poetry-house/poems@1".to_string()] {
        let manifests = trade.events(&[("subject", &subject), ("kind", "manifest")]).await;
        let sealed: Vec<&str> = manifests.iter().map(|event| event["dataset"].as_str().unwrap()).collect();
        assert_eq!(sealed, ["poetry-house/poems", "verse-lab/anthology", "verse-lab/digest"], "{subject}");
    }
    let text = exported(&trade, "prov", &[("subject", "poetry-house/poems")]).await;
    let prov: Value = serde_json::from_str(&text).unwrap();
    let label = |name: &Value| prov["entity"][name.as_str().unwrap()]["prov:label"].as_str().unwrap().to_string();
    let lines: BTreeSet<(String, String)> = prov["wasDerivedFrom"]
        .as_object()
        .unwrap()
        .values()
        .map(|line| (label(&line["prov:generatedEntity"]), label(&line["prov:usedEntity"])))
        .collect();
    let line = |child: &str, parent: &str| (child.to_string(), parent.to_string());
    let expected =
        [line("verse-lab/anthology@1", "poetry-house/poems@1"), line("verse-lab/digest@1", "verse-lab/anthology@1")];
    assert_eq!(lines, BTreeSet::from(expected));
    let model = format!("corpex:{}", model["model"].as_str().unwrap());
    let records = |section: &str| prov[section].as_object().unwrap().values();
    let made = records("wasGeneratedBy").find(|made| made["prov:entity"] == model.as_str()).unwrap();
    let used = records("used").filter(|used| used["prov:activity"] == made["prov:activity"]);
    assert_eq!(used.map(|used| label(&used["prov:entity"])).collect::<Vec<_>>(), ["verse-lab/anthology@1"]);
}
