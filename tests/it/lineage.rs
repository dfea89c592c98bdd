//! Lineage: what corpora were made from, and what was made from them.

use corpex::catalog::lineage::{self, Walk};
use corpex::error::Kind;
use corpex::types::{Digest, VersionId};
use diesel::connection::SimpleConnection as _;
use serde_json::{Value, json};

use crate::support::process::{Exchange, organisation};
use crate::support::{Actor, Published, TestApp};

const POEMS: &[(&str, &[u8])] = &[("poems.jsonl", b"{\"text\":\"one\"}\n")];

/// An exchange with a corpus on the board, and another provider who makes something of it.
async fn exchange() -> (TestApp, Actor, Published, Actor) {
    let app = TestApp::start().await;
    let (house, press) = (app.provider().await, app.organisation("anthology-press").await);
    let poems = house.publish("poems", POEMS).await;
    list(&app, &house, &poems).await;
    (app, house, poems, press)
}

async fn list(app: &TestApp, provider: &Actor, published: &Published) {
    app.compliance.assess(published).await;
    let terms = provider.publish_terms(100).await;
    provider.list(published, &terms).await;
}

/// A draft with the shards of [`POEMS`] that waits for its seal.
async fn draft(provider: &Actor, name: &str) {
    let version = provider.draft(name).await;
    for (path, bytes) in POEMS {
        provider.put_shard(&version, path, bytes).await.unwrap();
    }
}

async fn id(app: &TestApp, published: &Published) -> VersionId {
    let version = app.compliance.get(published.path()).await.unwrap();
    version["id"].as_str().unwrap().parse().unwrap()
}

/// The datasets of an answer, in its order.
fn datasets(answer: &Value) -> Vec<&str> {
    answer["items"].as_array().unwrap().iter().map(|item| item["dataset"].as_str().unwrap()).collect()
}

fn steps(walk: &Walk) -> Vec<(u32, String)> {
    walk.found.iter().map(|(distance, relative)| (*distance, relative.full_name())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_names_its_parents_and_both_can_be_asked_about_the_other() {
    let (app, house, poems, press) = exchange().await;
    let source = json!({
        "url": "https://example.org/songs", "sha256": Digest::of("songs"), "title": "Songs", "licence": "CC0-1.0",
        "collection_method": "web_scraping", "collected_from": "2025-01-01", "collected_to": "2025-02-01",
    });
    let parents = [poems.as_parent(), source.clone()];
    let anthology = press.publish_from("anthology", POEMS, &parents).await;

    let named = press.get(format!("{}/parents", anthology.path())).await.unwrap();
    assert_eq!(named["items"], json!(parents), "they read as they were signed");
    let first = press.get(format!("{}/parents?limit=1", anthology.path())).await.unwrap();
    let next = first["next"].as_str().unwrap();
    let second = press.get(format!("{}/parents?limit=1&cursor={next}", anthology.path())).await.unwrap();
    assert_eq!((&second["items"], second.get("next")), (&json!([source]), None));

    let children = format!("{}/children", poems.path());
    assert_eq!(datasets(&press.get(&children).await.unwrap()), ["anthology-press/anthology"]);
    assert_eq!(datasets(&app.compliance.get(&children).await.unwrap()), ["anthology-press/anthology"]);
    let by_source = format!("/v1/sources/{}/children", Digest::of("songs"));
    assert_eq!(house.get(&by_source).await.unwrap()["items"], json!([]));
    assert_eq!(house.get(&children).await.unwrap()["items"], json!([]), "nobody learns of what is not assessed");
    app.compliance.assess(&anthology).await;
    let child = json!({
        "dataset": "anthology-press/anthology", "version": 1, "state": "assessed",
        "manifest_sha256": anthology.manifest.pae_sha256(),
    });
    assert_eq!(house.get(&children).await.unwrap()["items"], json!([child]));
    assert_eq!(house.get(&by_source).await.unwrap()["items"], json!([child]));

    let of_another = format!("/v1/sources/{}/children", Digest::of("other"));
    assert_eq!(house.get(&of_another).await.unwrap()["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn lineage_is_followed_over_many_steps_and_each_version_is_met_once() {
    let (app, house, poems, press) = exchange().await;
    let songs = press.publish("songs", POEMS).await;
    let left = press.publish_from("left", POEMS, &[poems.as_parent(), songs.as_parent()]).await;
    let right = press.publish_from("right", POEMS, &[poems.as_parent()]).await;
    let both = press.publish_from("both", POEMS, &[left.as_parent(), right.as_parent(), poems.as_parent()]).await;

    let (top, bottom) = (id(&app, &poems).await, id(&app, &both).await);
    let walk = |up: bool, most: usize| {
        let db = app.app().db.clone();
        async move {
            let walk = db.read(move |c| match up {
                true => lineage::ancestors(c, bottom, most),
                false => lineage::descendants(c, top, most),
            });
            walk.await.unwrap()
        }
    };
    let step = |distance: u32, name: &str| (distance, name.to_string());
    let up = walk(true, 10).await;
    assert_eq!(
        steps(&up),
        [
            step(1, "poetry-house/poems"),
            step(1, "anthology-press/left"),
            step(1, "anthology-press/right"),
            step(2, "anthology-press/songs"),
        ]
    );
    let down = walk(false, 3).await;
    let children = ["left", "right", "both"].map(|name| step(1, &format!("anthology-press/{name}")));
    assert_eq!((steps(&down), down.truncated, up.truncated), (children.to_vec(), false, false));
    for most in 0..3 {
        let some = walk(false, most).await;
        assert_eq!((steps(&some), some.truncated), (children[..most].to_vec(), true));
    }

    let children = format!("{}/children?limit=2", poems.path());
    let first = press.get(&children).await.unwrap();
    assert_eq!(datasets(&first), ["anthology-press/left", "anthology-press/right"]);
    let last = press.get(format!("{children}&cursor={}", first["next"].as_str().unwrap())).await.unwrap();
    assert_eq!((datasets(&last), last.get("next")), (vec!["anthology-press/both"], None));

    let whole = format!("{}/lineage?direction=up", both.path());
    let seen = press.get(&whole).await.unwrap();
    assert_eq!(datasets(&seen).len(), 4);
    assert_eq!((&seen["items"][3]["distance"], &seen["truncated"]), (&json!(2), &json!(false)));
    let down = |limit: u8| format!("{}/lineage?direction=down&limit={limit}", poems.path());
    assert_eq!(press.get(down(2)).await.unwrap()["truncated"], true);
    app.compliance.assess(&both).await;
    let seen = house.get(down(10)).await.unwrap();
    assert_eq!(datasets(&seen), ["anthology-press/both"], "what lies between is not assessed, and stays unseen");
    let error = house.get(format!("{}/lineage?direction=sideways", poems.path())).await.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_parent_that_a_version_may_not_name_is_refused_with_its_reason() {
    let (app, house, poems, press) = exchange().await;
    let hidden = house.publish("hidden", POEMS).await;
    let unlisted = house.publish("unlisted", POEMS).await;
    app.compliance.assess(&unlisted).await;
    press.draft("unfinished").await;
    draft(&press, "anthology").await;
    let good = poems.as_parent();
    let with = |key: &str, value: Value| {
        let mut parent = good.clone();
        parent[key] = value;
        parent
    };
    let digest = Digest::of("x");
    let own =
        |name: &str| json!({ "dataset": format!("anthology-press/{name}"), "version": 1, "manifest_sha256": digest });
    for (wrong, kind, field, reason) in [
        (with("dataset", json!("poetry-house/prose")), Kind::NotFound, "/1/dataset", "does not exist"),
        (with("version", json!(2)), Kind::NotFound, "/1/dataset", "version 2 of dataset poetry-house/poems"),
        (hidden.as_parent(), Kind::NotFound, "/1/dataset", "does not exist, or you may not see it"),
        (unlisted.as_parent(), Kind::Invalid, "/1/version", "was never on the board"),
        (own("unfinished"), Kind::Invalid, "/1/version", "is a draft"),
        (own("anthology"), Kind::Invalid, "/1/version", "cannot be made from itself"),
        (with("manifest_sha256", json!(digest)), Kind::DigestMismatch, "/1/manifest_sha256", &digest.to_string()),
        (json!({ "url": "https://example.org/" }), Kind::Invalid, "/1", "this is parent 0 again"),
        (with("url", json!("https://example.org/a")), Kind::Invalid, "/1", "'url'"),
        (json!({ "title": "everything" }), Kind::Invalid, "/1", "sha256"),
        (json!({ "url": "https://" }), Kind::Invalid, "/1/url", "https://"),
        (json!({ "sha256": digest, "collected_from": "yesterday" }), Kind::Invalid, "/1/collected_from", "date"),
    ] {
        let first = json!({ "url": "https://example.org/" });
        let error = press.seal("anthology", POEMS, &[first, wrong.clone()]).await.unwrap_err();
        assert_eq!(
            (error.kind, error.field.as_deref()),
            (kind, Some(&*format!("predicate/parents{field}"))),
            "{error}"
        );
        assert!(error.detail.contains(reason), "{wrong}: {error}");
        assert!(error.remedy.is_some(), "{wrong}: what is to be done? {error}");
    }
    let draft = press.get("/v1/datasets/anthology-press/anthology/versions/1").await.unwrap();
    assert_eq!(draft["state"], "draft", "nothing was sealed");
    press.seal("anthology", POEMS, &[good]).await.unwrap();
    press.publish_from("second", POEMS, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_once_on_the_board_can_be_named_after_it_is_withdrawn() {
    let (_app, house, poems, press) = exchange().await;
    let listings = house.get("/v1/listings?dataset=poetry-house/poems").await.unwrap();
    let listing = listings["items"][0]["id"].as_str().unwrap();
    house.post(format!("/v1/listings/{listing}/withdraw"), &json!({})).await.unwrap();
    press.publish_from("anthology", POEMS, &[poems.as_parent()]).await;
    let second = house.publish_terms(200).await;
    house.list(&poems, &second).await; // on the board a second time
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_itself_refuses_a_cycle() {
    let (app, _house, poems, press) = exchange().await;
    let anthology = press.publish_from("anthology", POEMS, &[poems.as_parent()]).await;
    let selection = press.publish_from("selection", POEMS, &[anthology.as_parent()]).await;
    let (poems, anthology, selection) =
        (id(&app, &poems).await, id(&app, &anthology).await, id(&app, &selection).await);
    let line = |child: VersionId, of: i32, parent: VersionId, from: i32| {
        let sql = format!(
            "INSERT INTO version_parents (child_id, ordinal, child_generation, parent_id, parent_generation, document) \
             VALUES ('{child}', 900, {of}, '{parent}', {from}, '{{}}')"
        );
        let db = app.app().db.clone();
        async move { db.write(move |c| Ok(c.batch_execute(&sql)?)).await }
    };
    for (child, of, parent, from, reason) in [
        (poems, 0, selection, 2, "CHECK"),
        (poems, 0, poems, 0, "CHECK"),
        (anthology, 1, selection, 2, "CHECK"),
        (poems, 3, selection, 2, "FOREIGN KEY"), // a generation that the seal does not have
        (poems, 0, selection, -1, "FOREIGN KEY"),
    ] {
        let error = line(child, of, parent, from).await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.to_uppercase().contains(reason), "{cause}");
    }
    line(selection, 2, poems, 0).await.unwrap();
}

#[tokio::test]
async fn a_card_names_the_parents_and_publish_looks_up_their_manifests() {
    let exchange = Exchange::serve().await;
    let operator = exchange.platform("operator");
    let house = organisation(&exchange, &operator, "poetry-house");
    let work = tempfile::tempdir().unwrap();
    let terms = work.path().join("terms.json");
    std::fs::write(&terms, crate::support::terms(0).to_string()).unwrap();
    let folder = |name: &str, parents: &str| {
        let folder = work.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("a.jsonl"), "{}\n").unwrap();
        let provenance = "provenance:\n  collection_method: other\n  source_licence: public domain\n  consent: not required\n  personal_data: none\n";
        std::fs::write(folder.join("README.md"), format!("---\n{provenance}{parents}---\n# {name}\n")).unwrap();
        folder.display().to_string()
    };
    let terms = terms.display().to_string();
    let publish = |folder: String, dataset: &str| {
        ["publish", &folder, "--dataset", dataset, "--terms", &terms].map(str::to_string)
    };
    let poems = publish(folder("poems", ""), "poetry-house/poems");
    let poems = house.json(&poems.each_ref().map(String::as_str));
    let named =
        "parents:\n- dataset: poetry-house/poems\n  version: 1\n- url: https://example.org/songs\n  licence: CC0-1.0\n";
    let args = publish(folder("selection", named), "poetry-house/selection");
    let args = args.each_ref().map(String::as_str);
    assert_eq!(house.json(&args), house.json(&args), "publishing the same folder again is recognised");
    let parents = house.api("GET", "/v1/datasets/poetry-house/selection/versions/1/parents", &Value::Null);
    let expected = json!([
        { "dataset": "poetry-house/poems", "version": 1, "manifest_sha256": poems["manifest_sha256"] },
        { "url": "https://example.org/songs", "licence": "CC0-1.0" },
    ]);
    assert_eq!(parents["items"], expected);

    let unknown = "parents:\n- dataset: poetry-house/prose\n  version: 1\n";
    let args = publish(folder("essay", unknown), "poetry-house/essay");
    let refused = house.refused(&args.each_ref().map(String::as_str));
    assert!(
        refused.contains("poetry-house/prose@1") && refused.contains("name a version that was listed"),
        "{refused}"
    );
}
