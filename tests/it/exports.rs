//! What the exchange offers, in the vocabularies of others: licence terms in ODRL, the catalogue in DCAT, a version in
//! Croissant. Whether published tools understand them is asked by `scripts/interop`.

use std::collections::BTreeSet;

use corpex::db::Conn;
use corpex::error::Kind;
use corpex::provenance::StatementKind;
use corpex::types::Digest;
use corpex::{catalog, market};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::hub::HubClient;
use crate::support::{Actor, CARD, Offer, Published, TestApp, counted, refused};

/// A document of JSON-LD that anybody may read.
async fn document(app: &TestApp, path: &str) -> Value {
    let response = app.anonymous().get(path).response().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/ld+json", "{path}");
    response.json().await.unwrap()
}

/// The same at an address of the exchange's own.
async fn follow(app: &TestApp, iri: &Value) -> Value {
    let path = iri.as_str().unwrap().strip_prefix(&app.url).expect("an address of the exchange");
    document(app, path).await
}

/// Seals version 2 of a corpus, with one shard.
async fn second_version(provider: &Actor, name: &str, shard: (&str, &[u8])) -> Published {
    let path = format!("/v1/datasets/{}/{name}", provider.handle);
    provider.post(format!("{path}/versions"), &json!({ "card": CARD })).await.unwrap();
    provider.put_shard(&format!("{path}/versions/2"), shard.0, shard.1).await.unwrap();
    let (subjects, predicate) = provider.manifest(name, 2, &[shard]);
    let manifest = provider.sign(StatementKind::Manifest, subjects, predicate);
    let sealed = Published { dataset: format!("{}/{name}", provider.handle), version: 2, manifest };
    provider.post(format!("{}/seal", sealed.path()), &json!({ "envelope": sealed.manifest })).await.unwrap();
    sealed
}

/// Two corpora on the board, one of them in two versions under two terms; one that is not listed.
async fn board(app: &TestApp) -> (Actor, Offer, Offer) {
    let provider = app.provider().await;
    let poems = app.listed_corpus(&provider, "poems", 100).await;
    let later = second_version(&provider, "poems", ("data/a.jsonl", b"{}\n")).await;
    app.compliance.assess(&later).await;
    let free = provider.publish_terms(0).await;
    provider.list(&later, &free).await;
    let songs = app.listed_corpus(&provider, "songs", 100).await;
    let secret = provider.publish("secret", &[("data/s.jsonl", b"{}\n")]).await;
    app.compliance.assess(&secret).await;
    (provider, poems, songs)
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_are_a_set_of_rules_and_a_listing_is_an_offer_while_it_is_on_the_board() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", 100).await;
    let set = document(&app, &format!("/v1/terms/{}/odrl", offer.terms)).await;
    assert_eq!(set["@type"], "odrl:Set");
    let actions = |policy: &Value| -> Vec<Value> {
        policy["odrl:permission"].as_array().unwrap().iter().map(|rule| rule["odrl:action"]["@id"].clone()).collect()
    };
    assert_eq!(actions(&set), ["cx:pretrain", "cx:finetune", "cx:evaluate", "cx:retrieve", "odrl:derive"]);

    let path = format!("/v1/listings/{}/odrl", offer.listing);
    let offered = document(&app, &path).await;
    assert_eq!((&offered["@type"], &offered["@id"]), (&json!("odrl:Offer"), &json!(format!("{}{path}", app.url))));
    assert_eq!(actions(&offered), actions(&set));
    let target = &offered["odrl:permission"][0]["odrl:target"]["@id"];
    assert_eq!(target, &json!(format!("{}/v1/datasets/{}/versions/1", app.url, offer.dataset)));

    // The profile is where its name leads, and defines what the terms use.
    let profile = follow(&app, &offered["odrl:profile"]["@id"]).await;
    let defined: BTreeSet<&str> =
        profile["@graph"].as_array().unwrap().iter().filter_map(|w| w["@id"].as_str()).collect();
    assert!(
        actions(&set).iter().filter_map(Value::as_str).filter(|a| a.starts_with("cx:")).all(|a| defined.contains(a))
    );

    provider.post(format!("/v1/listings/{}/pause", offer.listing), &json!({})).await.unwrap();
    refused(app.anonymous().get(&path).text().await, Kind::WrongState, None);
    document(&app, &format!("/v1/terms/{}/odrl", offer.terms)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_tells_of_what_is_listed_and_of_nothing_else() {
    let app = TestApp::start().await;
    let (provider, poems, songs) = board(&app).await;
    let catalogue = document(&app, "/v1/catalog").await;
    assert_eq!((&catalogue["@type"], &catalogue["hydra:view"]), (&json!("dcat:Catalog"), &Value::Null));
    let datasets = catalogue["dcat:dataset"].as_array().unwrap();
    let iri = |path: &str| json!(format!("{}/v1/datasets/{path}", app.url));
    let names: Vec<&Value> = datasets.iter().map(|dataset| &dataset["@id"]).collect();
    let [song, poem] = [&songs.dataset, &poems.dataset];
    let expected = [
        song.clone(),
        format!("{song}/versions/1"),
        poem.clone(),
        format!("{poem}/versions/2"),
        format!("{poem}/versions/1"),
    ];
    assert_eq!(names, expected.map(|path| iri(&path)).iter().collect::<Vec<_>>());
    assert!(!catalogue.to_string().contains("secret"));

    let [whole, newest, first] = &datasets[2..] else { panic!("{names:?}") };
    assert_eq!(whole["dcat:hasCurrentVersion"]["@id"], newest["@id"]);
    assert_eq!(newest["dcat:isVersionOf"]["@id"], whole["@id"]);
    assert_eq!(newest["dcat:previousVersion"]["@id"], first["@id"]);
    assert_eq!((&newest["dcat:version"], first.get("dcat:previousVersion")), (&json!("2"), None));

    // One file has its digest and the address where the Hub's clients get it; several have their size together.
    let [one] = newest["dcat:distribution"].as_array().unwrap().as_slice() else { panic!("{newest}") };
    let address = one["dcat:downloadURL"]["@id"].as_str().unwrap();
    assert!(address.starts_with(&format!("{}/datasets/{}/resolve/", app.url, poems.dataset)), "{address}");
    assert_eq!(one["spdx:checksum"]["spdx:checksumValue"]["@value"], json!(Digest::of(b"{}\n")));
    let [several] = first["dcat:distribution"].as_array().unwrap().as_slice() else { panic!("{first}") };
    assert_eq!(several["dcat:byteSize"], json!({ "@value": "30", "@type": "xsd:nonNegativeInteger" }));
    assert!(several.get("spdx:checksum").is_none() && several.get("dcat:downloadURL").is_none());
    let offer = &first["odrl:hasPolicy"][0];
    assert_eq!(several["odrl:hasPolicy"][0]["@id"], offer["@id"]);
    assert_eq!(follow(&app, &offer["@id"]).await["odrl:permission"], offer["odrl:permission"]);

    provider.post(format!("/v1/listings/{}/pause", songs.listing), &json!({})).await.unwrap();
    provider.post(format!("/v1/listings/{}/pause", poems.listing), &json!({})).await.unwrap();
    let left = document(&app, "/v1/catalog").await;
    let names: Vec<&Value> = left["dcat:dataset"].as_array().unwrap().iter().map(|dataset| &dataset["@id"]).collect();
    assert_eq!(names, [&iri(poem), &iri(&format!("{poem}/versions/2"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_the_catalogue_are_the_whole_of_it() {
    let app = TestApp::start().await;
    let empty = document(&app, "/v1/catalog").await;
    assert_eq!(empty["dcat:dataset"], json!([]));
    board(&app).await;
    let whole = document(&app, "/v1/catalog").await;
    let (mut path, mut pages, mut found) = ("/v1/catalog?limit=1".to_string(), 0, Vec::new());
    loop {
        let response = app.anonymous().get(&path).response().await.unwrap();
        let link = response.headers().get("link").map(|link| link.to_str().unwrap().to_string());
        let page: Value = response.json().await.unwrap();
        assert_eq!(page["@id"], whole["@id"]);
        let next = page["hydra:view"]["hydra:next"]["@id"].as_str();
        assert_eq!(next.is_none(), link.is_none());
        found.extend(page["dcat:dataset"].as_array().unwrap().clone());
        pages += 1;
        let Some(link) = link else { break };
        path = link.strip_prefix('<').unwrap().split_once('>').unwrap().0.to_string();
        assert_eq!(next, Some(path.as_str()), "both lead to the same page");
        assert!(path.starts_with(app.url.as_str()), "by its whole address: {path}");
    }
    assert_eq!((pages, &json!(found)), (2, &whole["dcat:dataset"]));
    for (query, field) in [("limit=0", "limit"), ("cursor=poems", "cursor")] {
        refused(app.anonymous().get(format!("/v1/catalog?{query}")).text().await, Kind::Invalid, Some(field));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_in_croissant_names_each_file_by_digest_where_a_licensee_gets_it() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let parent = app.listed_corpus(&provider, "poems", 100).await;
    let seen = app.anonymous().get(format!("/v1/datasets/{}/versions/1", parent.dataset)).send().await;
    let manifest_sha256 = seen.map(|version: Value| version["seal"]["manifest_sha256"].clone()).unwrap();
    let parents = [
        json!({ "dataset": parent.dataset, "version": 1, "manifest_sha256": manifest_sha256 }),
        json!({ "url": "https://poems.example/all", "title": "All poems" }),
    ];
    let bytes: &[u8] = b"{\"text\":\"a\"}\n";
    let songs = provider.publish_from("songs", &[("data/one two.jsonl", bytes)], &parents).await;
    app.compliance.assess(&songs).await;
    let free = provider.publish_terms(0).await;
    let offer = provider.list(&songs, &free).await;

    let described = document(&app, &format!("/v1/datasets/{}/versions/1/croissant", songs.dataset)).await;
    let conforms = described["conformsTo"].as_array().unwrap();
    assert!(conforms.contains(&json!("http://mlcommons.org/croissant/1.1")));
    let [file] = described["distribution"].as_array().unwrap().as_slice() else { panic!("{described}") };
    let facts = (&file["name"], &file["sha256"], &file["contentSize"]);
    assert_eq!(facts, (&json!("data/one two.jsonl"), &json!(Digest::of(bytes)), &json!("13 B")));
    assert_eq!(file["encodingFormat"], "application/jsonlines");
    let [usage] = described["usageInfo"].as_array().unwrap().as_slice() else { panic!("{described}") };
    assert_eq!(usage["@type"], json!(["sc:CreativeWork", "odrl:Offer"]));
    assert_eq!(usage["@id"], json!(format!("{}/v1/listings/{}/odrl", app.url, offer.listing)));
    let made_from = described["prov:wasDerivedFrom"].as_array().unwrap();
    assert_eq!(made_from[0]["@id"], json!(format!("{}/v1/datasets/{}/versions/1", app.url, parent.dataset)));
    assert_eq!(made_from[1]["prov:atLocation"]["@id"], "https://poems.example/all");
    app.drain().await;
    let described = document(&app, &format!("/v1/datasets/{}/versions/1/croissant", songs.dataset)).await;
    let [records] = described["recordSet"].as_array().unwrap().as_slice() else { panic!("{described}") };
    let [field] = records["field"].as_array().unwrap().as_slice() else { panic!("{records}") };
    assert_eq!((&field["name"], &field["dataType"]), (&json!("text"), &json!("sc:Text")), "as the shard says itself");
    assert_eq!(field["source"], json!({ "fileObject": { "@id": file["@id"] }, "extract": { "column": "text" } }));

    let lab = app.lab("verse-lab", 0).await;
    lab.buy(&offer).await.unwrap();
    let address = file["contentUrl"].as_str().unwrap();
    let http = reqwest::Client::new();
    let got = http.get(address).basic_auth("lab", lab.client.token()).send().await.unwrap();
    assert_eq!(got.bytes().await.unwrap(), bytes);
    assert_eq!(http.get(address).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn croissant_stands_where_the_hub_has_it_and_hides_what_the_hub_hides() {
    let app = TestApp::start().await;
    let (provider, poems, _) = board(&app).await;
    let newest = document(&app, &format!("/v1/datasets/{}/versions/2/croissant", poems.dataset)).await;
    assert_eq!(HubClient::new(&app, None).json(&format!("/api/datasets/{}/croissant", poems.dataset)).await, newest);
    let secret = "/v1/datasets/poetry-house/secret/versions/1/croissant";
    app.drain().await; // what is found in it is told, too
    let mine: Value = provider.get(secret).await.unwrap();
    assert!(mine.get("usageInfo").is_none(), "nothing is offered");
    for path in [secret, "/api/datasets/poetry-house/secret/croissant"] {
        let asked = reqwest::Client::new().get(format!("{}{path}", app.url)).basic_auth("me", provider.client.token());
        let told: Value = asked.send().await.unwrap().json().await.unwrap();
        assert_eq!(told, mine, "{path} takes a token as the password, too");
    }
    refused(app.anonymous().get(secret).text().await, Kind::NotFound, None);
    for unknown in ["poetry-house/poems/versions/9", "poetry-house/nothing/versions/1"] {
        refused(app.anonymous().get(format!("/v1/datasets/{unknown}/croissant")).text().await, Kind::NotFound, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shards_of_listed_versions_are_looked_through_once_and_together_for_what_they_hold() {
    let app = TestApp::start().await;
    board(&app).await;
    let held = |c: &mut Conn| {
        let datasets = market::listed_datasets(c, None, 10)?;
        let listed = market::listed_versions(c, &datasets, 10)?;
        catalog::media_of(c, &listed)
    };
    let (first, statements) = counted(&app.app().db, held).await;
    assert_eq!((first.len(), statements), (3, 3), "which versions are on the board, and what all of them hold");
    let (again, statements) = counted(&app.app().db, held).await;
    assert_eq!((again, statements), (first, 2), "it is only asked which versions are on the board");
}
