//! Models: what a lab says it trained on what, and who learns of it.

use corpex::error::{Error, Kind};
use corpex::models::{self, NamedModel, Training, TrainingItem};
use corpex::provenance::StatementKind;
use corpex::signing::{Bytes, SecretKey};
use corpex::terms::Use;
use corpex::types::{Digest, VersionId};
use serde_json::{Value, json};

use crate::command_line::{assess, deposit};
use crate::support::process::{Exchange, organisation};
use crate::support::{Actor, Offer, TestApp};

/// A lab with a licence to pretrain on a corpus, and the declaration that it might sign.
struct Story {
    app: TestApp,
    house: Actor,
    lab: Actor,
    entitlement: String,
    training: Training,
}

async fn item(lab: &Actor, offer: &Offer, entitlement: Option<&str>) -> TrainingItem {
    let version = lab.get(format!("/v1/datasets/{}/versions/1", offer.dataset)).await.unwrap();
    TrainingItem {
        dataset: offer.dataset.clone(),
        version: 1,
        manifest_sha256: serde_json::from_value(version["seal"]["manifest_sha256"].clone()).unwrap(),
        entitlement: entitlement.map(|id| id.parse().unwrap()),
    }
}

async fn story() -> Story {
    let app = TestApp::start().await;
    let house = app.provider().await;
    let offer = app.listed_corpus(&house, "poems", 100).await;
    let lab = app.lab("verse-lab", 10_000).await;
    let entitlement = lab.buy(&offer).await.unwrap();
    let training = Training {
        organisation: "verse-lab".into(),
        model: NamedModel { name: "Verse".into(), version: "7b".into(), sha256: Digest::of("weights") },
        r#use: Use::Pretrain,
        trained_on: vec![item(&lab, &offer, Some(&entitlement)).await],
        trained_from: None,
        trained_to: None,
    };
    Story { app, house, lab, entitlement, training }
}

async fn declare(lab: &Actor, training: &Training) -> Result<Value, Error> {
    let envelope = training.statement().unwrap().sign(&lab.key).unwrap();
    lab.post("/v1/models", &json!({ "envelope": envelope })).await
}

async fn declared_names(who: &Actor, query: &str) -> Vec<String> {
    let listed = who.get(format!("/v1/models{query}")).await.unwrap();
    listed["items"].as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_declares_what_a_model_was_trained_on_and_can_say_it_twice() {
    let Story { app, house: _, lab, entitlement, training } = story().await;
    let declared = declare(&lab, &training).await.unwrap();
    assert_eq!(declared, declare(&lab, &training).await.unwrap(), "the same declaration again changes nothing");
    let expected = json!([{ "dataset": "poetry-house/poems", "version": 1, "entitlement": entitlement }]);
    assert_eq!(declared["trained_on"], expected);
    assert_eq!(
        (&declared["name"], &declared["version"], &declared["use"]),
        (&json!("Verse"), &json!("7b"), &json!("pretrain"))
    );

    app.sequenced().await;
    let envelope = training.statement().unwrap().sign(&lab.key).unwrap();
    assert_eq!(declared["envelope"], serde_json::to_value(&envelope).unwrap());
    assert_eq!(declared["statement_sha256"], envelope.pae_sha256().to_string());
    let version = lab.get("/v1/datasets/poetry-house/poems/versions/1").await.unwrap();
    let version: VersionId = version["id"].as_str().unwrap().parse().unwrap();
    let models = app.app().db.read(move |c| models::models_trained_on(c, version, "", 10)).await.unwrap();
    assert_eq!(models.iter().map(|model| model.id.to_string()).collect::<Vec<_>>(), [declared["id"].as_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_item_that_the_lab_had_no_right_to_is_refused_by_name() {
    let Story { app, house, lab, entitlement, training } = story().await;
    let others = app.listed_corpus(&house, "prose", 100).await;
    let other_lab = app.lab("other-lab", 1000).await;
    let foreign = other_lab.buy(&others).await.unwrap();
    let prose = lab.buy(&others).await.unwrap();
    lab.draft("unfinished").await;
    let good = training.trained_on[0].clone();
    // A second licensed version, to be changed in one respect at a time.
    let second = item(&lab, &others, Some(&prose)).await;
    let wrong = |change: &dyn Fn(&mut TrainingItem)| {
        let mut changed = second.clone();
        change(&mut changed);
        Training { trained_on: vec![good.clone(), changed], ..training.clone() }
    };
    for (training, kind, field, reason) in [
        (
            wrong(&|i| i.entitlement = None),
            Kind::NotEntitled,
            "/1/entitlement",
            "no licence is named for poetry-house/prose@1",
        ),
        (
            wrong(&|i| i.entitlement = Some(entitlement.parse().unwrap())),
            Kind::Invalid,
            "/1/entitlement",
            "a licence of poetry-house/poems@1, not of poetry-house/prose@1",
        ),
        (
            wrong(&|i| i.entitlement = Some(foreign.parse().unwrap())),
            Kind::NotFound,
            "/1/entitlement",
            "does not exist, or you may not see it",
        ),
        (wrong(&|i| i.version = 2), Kind::Invalid, "/1/entitlement", "not of poetry-house/prose@2"),
        (wrong(&|i| i.manifest_sha256 = Digest::of("x")), Kind::DigestMismatch, "/1/manifest_sha256", "has digest"),
        (
            wrong(&|i| (i.dataset, i.entitlement) = ("verse-lab/none".into(), None)),
            Kind::NotFound,
            "/1/dataset",
            "does not exist",
        ),
        (
            wrong(&|i| (i.dataset, i.entitlement) = ("verse-lab/unfinished".into(), None)),
            Kind::WrongState,
            "/1/version",
            "not sealed",
        ),
        (wrong(&|i| *i = good.clone()), Kind::Invalid, "/1", "version 0 of the list again"),
        (
            Training { r#use: Use::Finetune, ..training.clone() },
            Kind::UseNotPermitted,
            "/0/entitlement",
            "permits pretrain, and finetune is declared",
        ),
        (
            Training { trained_to: Some("2020-01-01".into()), ..training.clone() },
            Kind::NotEntitled,
            "/0/entitlement",
            "the work had ended",
        ),
    ] {
        let error = declare(&lab, &training).await.unwrap_err();
        assert_eq!(
            (error.kind, error.field.as_deref()),
            (kind, Some(&*format!("predicate/trained_on{field}"))),
            "{error}"
        );
        assert!(error.detail.contains(reason), "{error}");
    }
    assert_eq!(declared_names(&lab, "").await, Vec::<String>::new(), "nothing was kept");
    let both = Training { trained_on: vec![good, second], ..training };
    declare(&lab, &both).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declaration_is_signed_by_the_lab_about_the_model() {
    let Story { app: _app, lab, training, .. } = story().await;
    let stranger = Actor { key: SecretKey::generate(), ..lab.clone() };
    assert_eq!(declare(&stranger, &training).await.unwrap_err().kind, Kind::BadSignature);
    let mut about_else = training.statement().unwrap();
    about_else.subject[0].digest.sha256 = Digest::of("other weights");
    let envelope = about_else.sign(&lab.key).unwrap();
    let error = lab.post("/v1/models", &json!({ "envelope": envelope })).await.unwrap_err();
    assert_eq!((error.kind, error.field.as_deref()), (Kind::Invalid, Some("subject")));
    let mut confused = training.statement().unwrap();
    confused.predicate_type = StatementKind::Terms.predicate_type();
    let envelope = confused.sign(&lab.key).unwrap();
    let error = lab.post("/v1/models", &json!({ "envelope": envelope })).await.unwrap_err();
    assert_eq!((error.kind, error.field.as_deref()), (Kind::Invalid, Some("predicateType")));
    let mut changed = training.statement().unwrap().sign(&lab.key).unwrap();
    changed.payload =
        Bytes(Training { r#use: Use::Finetune, ..training.clone() }.statement().unwrap().to_payload().unwrap());
    let error = lab.post("/v1/models", &json!({ "envelope": changed })).await.unwrap_err();
    assert_eq!((error.kind, error.field.as_deref()), (Kind::BadSignature, Some("signature")));
    let backwards =
        Training { trained_from: Some("2099-01-02".into()), trained_to: Some("2099-01-01".into()), ..training.clone() };
    assert_eq!(declare(&lab, &backwards).await.unwrap_err().field.as_deref(), Some("predicate/trained_to"));
    let other = Training { organisation: "poetry-house".into(), ..training };
    assert_eq!(declare(&lab, &other).await.unwrap_err().kind, Kind::Forbidden, "nobody speaks for others");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_licence_that_ended_still_proves_what_was_trained_before() {
    let Story { app, house, lab, training, .. } = story().await;
    let published = house.publish("brief", &[("a.jsonl", b"{}\n")]).await;
    app.compliance.assess(&published).await;
    let mut short = crate::support::terms(0);
    short["duration_days"] = json!(1);
    let terms = house.try_publish_terms(&short).await.unwrap()["id"].as_str().unwrap().to_string();
    let offer = house.list(&published, &terms).await;
    let entitlement = lab.buy(&offer).await.unwrap();
    app.clock.advance(std::time::Duration::from_secs(48 * 3600));
    let trained_on = vec![item(&lab, &offer, Some(&entitlement)).await];
    declare(&lab, &Training { trained_on, ..training }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_learns_that_its_own_versions_were_used_and_nothing_else() {
    let Story { app, house, lab, training, .. } = story().await;
    let press = app.organisation("anthology-press").await;
    let other = app.listed_corpus(&press, "anthology", 100).await;
    let licence = lab.buy(&other).await.unwrap();
    let own = lab.publish("diary", &[("a.jsonl", b"{}\n")]).await;
    let own = Offer { listing: String::new(), terms: String::new(), dataset: own.dataset };
    let mut training = training;
    training.trained_on.push(item(&lab, &other, Some(&licence)).await);
    training.trained_on.push(item(&lab, &own, None).await);
    let declared = declare(&lab, &training).await.unwrap();
    let path = format!("/v1/models/{}", declared["id"].as_str().unwrap());
    for insider in [&lab, &app.operator, &app.compliance] {
        assert_eq!(insider.get(&path).await.unwrap(), declared);
        assert_eq!(
            declared_names(insider, "?organisation=verse-lab&dataset=anthology-press/anthology&version=1").await,
            ["Verse"]
        );
        assert_eq!(declared_names(insider, "?dataset=anthology-press/anthology&version=2").await, Vec::<String>::new());
    }
    let seen = house.get(&path).await.unwrap();
    let expected = json!({
        "id": declared["id"], "organisation": "verse-lab", "name": "Verse", "declared_at": declared["declared_at"],
        "trained_on": [{ "dataset": "poetry-house/poems", "version": 1 }],
    });
    assert_eq!(seen, expected);
    for (query, names) in [
        ("", vec!["Verse"]),
        ("?dataset=poetry-house/poems", vec!["Verse"]),
        ("?dataset=poetry-house/poems&version=1", vec!["Verse"]),
        ("?dataset=anthology-press/anthology", vec![]), // it must not learn of the other
        ("?dataset=verse-lab/diary", vec![]),
        ("?dataset=poetry-house/none", vec![]),
        ("?organisation=nobody", vec![]),
        ("?organisation=anthology-press", vec![]),
    ] {
        assert_eq!(declared_names(&house, query).await, names, "{query}");
    }
    let list = house.get("/v1/models").await.unwrap();
    assert_eq!(list["items"][0].get("sha256").or(list["items"][0].get("use")), None);
    let error = house.get("/v1/models?version=1").await.unwrap_err();
    assert_eq!((error.kind, error.field.as_deref()), (Kind::Invalid, Some("version")));

    let stranger = app.organisation("other-house").await;
    assert_eq!(stranger.get(&path).await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(declared_names(&stranger, "").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn declarations_are_listed_page_by_page() {
    let Story { app: _app, lab, training, .. } = story().await;
    for name in ["one", "two", "three"] {
        let model = NamedModel { name: name.into(), ..training.model.clone() };
        declare(&lab, &Training { model, ..training.clone() }).await.unwrap();
    }
    let first = lab.get("/v1/models?limit=2").await.unwrap();
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let next = first["next"].as_str().unwrap();
    assert_eq!(declared_names(&lab, &format!("?limit=2&cursor={next}")).await, ["three"]);
}

#[tokio::test]
async fn a_lab_declares_by_command() {
    let exchange = Exchange::serve().await;
    let (operator, compliance) = (exchange.platform("operator"), exchange.platform("compliance"));
    let house = organisation(&exchange, &operator, "poetry-house");
    let lab = organisation(&exchange, &operator, "verse-lab");
    deposit(&operator, "verse-lab", 100_000);
    let work = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(work.path().join(name), text).unwrap();
        work.path().join(name).display().to_string()
    };
    let (terms, provenance) = (
        file("terms.json", &crate::support::terms(100).to_string()),
        file("origin.json", &crate::support::provenance().to_string()),
    );
    let folder = work.path().join("poems");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("a.jsonl"), "{}\n").unwrap();
    let published = house.json(&[
        "publish",
        &folder.display().to_string(),
        "--dataset",
        "poetry-house/poems",
        "--terms",
        &terms,
        "--provenance",
        &provenance,
    ]);
    assess(&compliance, "poetry-house/poems", &published["version"]);
    let listing = json!({ "dataset": "poetry-house/poems", "version": 1, "terms_id": published["terms_id"] });
    house.api("POST", "/v1/listings", &listing);

    let weights = file("verse.safetensors", "0.25 0.5");
    let declare = [
        "model",
        "declare",
        "--name",
        "Verse",
        "--version",
        "7b",
        "--weights",
        &weights,
        "--on",
        "poetry-house/poems@1",
    ];
    let refused = lab.refused(&declare);
    assert!(refused.contains("verse-lab has no licence of poetry-house/poems@1 to pretrain; buy one"), "{refused}");
    let bought = lab.json(&["buy", "poetry-house/poems", "--use", "pretraining of a small language model"]);
    let finetune = lab.refused(&[&declare[..], &["--use", "finetune"]].concat());
    assert!(finetune.contains("to finetune"), "{finetune}");
    let declared = lab.json(&declare);
    assert_eq!(declared["sha256"], Digest::of("0.25 0.5").to_string());
    assert_eq!(declared["trained_on"][0]["entitlement"], bought["entitlement"]);
    let listed = house.json(&["model", "list", "--on", "poetry-house/poems@1"]);
    assert_eq!((&listed["items"][0]["name"], listed["items"][0].get("sha256")), (&json!("Verse"), None));
    assert!(lab.done(&["model", "list"]).contains("verse-lab  Verse 7b  pretrain"));
    let nonsense =
        lab.refused(&["model", "declare", "--name", "V", "--version", "1", "--weights", "none", "--on", "a/b@1"]);
    assert!(nonsense.contains("neither a file nor a SHA-256"), "{nonsense}");
}
