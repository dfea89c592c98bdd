//! Search: words in Chinese and English, exact facets, pages that neither repeat nor miss, and an index that mends itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use corpex::catalog::inspection;
use corpex::cli::client::Client;
use corpex::error::Kind;
use corpex::events::dispatch;
use corpex::leases::Claimant;
use corpex::provenance::StatementKind;
use corpex::server::Running;
use corpex::types::{Digest, VersionId};
use serde_json::{Value, json};

use crate::support::{Actor, Offer, Published, TestApp, refused, terms};

/// How long what is listed may take to be found here, where many exchanges share a machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A corpus, as a story describes it.
#[derive(Clone, Copy)]
struct Corpus {
    name: &'static str,
    title: &'static str,
    card: &'static str,
    domain: &'static str,
    languages: &'static [&'static str],
    price_fen: i64,
}

const TANG: Corpus = Corpus {
    name: "tang",
    title: "全唐诗注释语料库",
    card: "---\ntags:\n- classical\n---\n# 唐诗\n\n自然语言处理用的诗歌语料，含注释与译文。Annotated poems.\n",
    domain: "culture",
    languages: &["zh-Hans"],
    price_fen: 50_000,
};
const STREETS: Corpus = Corpus {
    name: "streets",
    title: "Street scenes for autonomous driving",
    card: "---\ntags: [lidar, 自动驾驶]\n---\nRecorded by cars in Lingang.\n",
    domain: "autonomous_driving",
    languages: &["en", "zh-Hans"],
    price_fen: 250_000,
};
const LETTERS: Corpus = Corpus {
    name: "letters",
    title: "Letters of poets",
    card: "Written to friends, about poems.\n",
    domain: "culture",
    languages: &["en-GB"],
    price_fen: 0,
};

impl Corpus {
    /// Publishes it as version 1 of a dataset, and has it assessed.
    async fn publish(&self, app: &TestApp, provider: &Actor) -> Published {
        let dataset = json!({
            "organisation": provider.handle, "name": self.name, "title": self.title, "modality": "text",
            "domain": self.domain, "languages": self.languages,
        });
        provider.post("/v1/datasets", &dataset).await.unwrap();
        self.next_version(app, provider, 1).await
    }

    async fn next_version(&self, app: &TestApp, provider: &Actor, number: i64) -> Published {
        let path = format!("/v1/datasets/{}/{}/versions", provider.handle, self.name);
        provider.post(&path, &json!({ "card": self.card })).await.unwrap();
        let bytes = format!("{{\"{}\":{number}}}\n", self.name);
        provider.put_shard(&format!("{path}/{number}"), "a.jsonl", bytes.as_bytes()).await.unwrap();
        let (subjects, mut predicate) = provider.manifest(self.name, number, &[("a.jsonl", bytes.as_bytes())]);
        predicate["card_sha256"] = json!(Digest::of(self.card));
        let manifest = provider.sign(StatementKind::Manifest, subjects, predicate);
        let published = Published { dataset: format!("{}/{}", provider.handle, self.name), version: number, manifest };
        provider.post(format!("{}/seal", published.path()), &json!({ "envelope": published.manifest })).await.unwrap();
        app.compliance.assess(&published).await;
        published
    }

    /// Puts it on the board.
    async fn list(&self, app: &TestApp, provider: &Actor) -> Offer {
        let published = self.publish(app, provider).await;
        let terms = provider.publish_terms(self.price_fen).await;
        provider.list(&published, &terms).await
    }
}

async fn search(client: &Client, query: &str) -> Value {
    client.get(format!("/v1/datasets?{query}")).send().await.unwrap()
}

/// The names of the datasets in an answer, in its order.
fn names(found: &Value) -> Vec<&str> {
    found["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

/// Searches until so many are found, and fails when that takes too long.
async fn found(client: &Client, query: &str, many: u64) -> Value {
    let mut last = Value::Null;
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            last = search(client, query).await;
            if last["total"] == many {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "{query} never found {many}: {last}");
    last
}

/// The counts of a facet's values.
fn counts(found: &Value, facet: &str) -> Vec<(String, u64)> {
    let values = found["facets"][facet].as_array().unwrap().iter();
    values.map(|v| (v["value"].as_str().unwrap().to_string(), v["count"].as_u64().unwrap())).collect()
}

fn is(counted: &[(String, u64)], expected: &[(&str, u64)]) -> bool {
    counted.iter().map(|(value, count)| (value.as_str(), *count)).eq(expected.iter().copied())
}

#[tokio::test(flavor = "multi_thread")]
async fn words_in_both_languages_find_what_is_on_the_board_and_show_where() {
    let app = TestApp::start().await;
    let (provider, anyone) = (app.provider().await, app.anonymous());
    for corpus in [TANG, STREETS, LETTERS] {
        corpus.list(&app, &provider).await;
    }
    found(&anyone, "q=", 3).await;
    for (words, expected) in [
        ("唐诗", vec!["tang"]),
        ("语料库", vec!["tang"]),
        ("自然语言", vec!["tang"]),
        ("自动驾驶", vec!["streets"]),
        ("POEM", vec!["letters", "tang"]),
        ("annotated 诗歌", vec!["tang"]),
        ("classical", vec!["tang"]),
        ("lidar driving cars", vec!["streets"]),
        ("poetry-house letters", vec!["letters"]),
        ("Ltd scenes", vec!["streets"]),
        ("唐诗 driving", vec![]),
        ("prose", vec![]),
    ] {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("q", words).finish();
        assert_eq!(names(&search(&anyone, &query).await), expected, "{words}");
    }
    let shown = search(&anyone, "q=poets+poem").await;
    assert_eq!(
        shown["items"][0]["highlights"]["title"],
        json!([{ "text": "Letters of ", "is_match": false }, { "text": "poets", "is_match": true }])
    );
    assert!(shown["items"][0]["highlights"]["card"].to_string().contains(r#"{"is_match":true,"text":"poems"}"#));
    let offer = &shown["items"][0]["offer"];
    assert_eq!(
        (&offer["price"]["amount_minor"], &offer["version"], &offer["formats"]),
        (&json!(0), &json!(1), &json!(["jsonl"]))
    );
}

/// Lists a corpus in an exchange without a worker, so that nobody inspects it; gives its version.
async fn listed_verses(app: &TestApp) -> VersionId {
    let provider = app.provider().await;
    let record = "{\"诗句\":\"床前明月光\",\"rhyme_scheme\":\"aabb\"}\n";
    let published = provider.publish("verses", &[("a.jsonl", record.as_bytes())]).await;
    app.compliance.assess(&published).await;
    let terms = provider.publish_terms(100).await;
    provider.list(&published, &terms).await;
    dispatched(app).await;
    let version = provider.get(published.path()).await.unwrap();
    version["id"].as_str().unwrap().parse().unwrap()
}

async fn inspect(app: &TestApp, version: VersionId) {
    inspection::inspect_version(app.app(), version).await.unwrap();
    dispatched(app).await;
}

/// Has what happened numbered, where no worker does it.
async fn dispatched(app: &TestApp) {
    while dispatch::step(app.app(), &Claimant::new("one")).await.unwrap() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corpus_is_found_by_the_columns_that_were_found_in_it() {
    let app = TestApp::start_with(|config| config.no_worker = true).await;
    let anyone = app.anonymous();
    let verses = listed_verses(&app).await;
    found(&anyone, "q=verses", 1).await;
    assert!(names(&search(&anyone, "q=诗句").await).is_empty(), "it is not inspected yet");
    inspect(&app, verses).await;
    for words in ["诗句", "Rhyme", "scheme+rhyme"] {
        assert_eq!(names(&found(&anyone, &format!("q={words}"), 1).await), ["verses"], "{words}");
    }
    for words in ["明月光", "aabb"] {
        assert!(names(&search(&anyone, &format!("q={words}")).await).is_empty(), "{words} is what it holds");
    }
    app.abandon().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corpus_that_was_inspected_while_an_instance_was_down_is_found_there_by_its_columns() {
    let app = TestApp::start_with(|config| config.no_worker = true).await;
    let verses = listed_verses(&app).await;
    let other = app.another().await;
    let anyone = Client::new(&other.url, None).unwrap();
    found(&anyone, "q=verses", 1).await;
    assert!(names(&search(&anyone, "q=诗句").await).is_empty(), "it is not inspected yet");
    other.stop().await.unwrap();
    inspect(&app, verses).await;
    let other = app.another().await;
    found(&Client::new(&other.url, None).unwrap(), "q=诗句", 1).await;
    other.stop().await.unwrap();
    app.abandon().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn facets_count_exactly_and_narrow_down() {
    let app = TestApp::start().await;
    let (provider, anyone) = (app.provider().await, app.anonymous());
    for corpus in [TANG, STREETS, LETTERS] {
        corpus.list(&app, &provider).await;
    }
    let all = found(&anyone, "q=", 3).await;
    for (facet, expected) in [
        ("modality", vec![("text", 3)]),
        ("language", vec![("en", 2), ("zh", 2), ("zh-Hans", 2), ("en-GB", 1)]),
        ("domain", vec![("culture", 2), ("autonomous_driving", 1)]),
        ("use", vec![("derive", 3), ("evaluate", 3), ("finetune", 3), ("pretrain", 3), ("retrieve", 3)]),
        ("price", vec![("1000_to_10000", 1), ("free", 1), ("under_1000", 1)]),
        ("size", vec![("under_1_gib", 3)]),
        ("format", vec![("jsonl", 3)]),
        ("provider", vec![("poetry-house", 3)]),
        ("assessment", vec![]),
    ] {
        assert!(is(&counts(&all, facet), &expected), "{facet}: {:?}", counts(&all, facet));
    }
    for (query, expected) in [
        ("language=zh", vec!["streets", "tang"]),
        ("language=EN-gb", vec!["letters"]),
        ("domain=culture&sort=price", vec!["letters", "tang"]),
        ("price=free,under_1000&sort=newest", vec!["letters", "tang"]),
        ("max_price=50000&sort=price", vec!["letters", "tang"]),
        ("max_price=49999&currency=USD", vec!["letters"]),
        ("use=redistribute", vec![]),
        ("use=redistribute,derive&q=poem&domain=culture&language=zh", vec!["tang"]),
        ("provider=somebody-else", vec![]),
        ("sort=size&organisation=poetry-house&limit=1", vec!["letters"]),
    ] {
        assert_eq!(names(&search(&anyone, query).await), expected, "{query}");
    }
    let narrowed = search(&anyone, "q=poem&language=zh").await;
    assert!(is(&counts(&narrowed, "domain"), &[("culture", 1)]), "{narrowed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_the_board_is_gone_and_the_newest_version_takes_its_place() {
    let app = TestApp::start().await;
    let (provider, anyone) = (app.provider().await, app.anonymous());
    let offer = TANG.list(&app, &provider).await;
    found(&anyone, "q=唐诗", 1).await;
    for (step, many) in [("pause", 0), ("resume", 1)] {
        provider.post(format!("/v1/listings/{}/{step}", offer.listing), &json!({})).await.unwrap();
        assert!(names(&search(&anyone, "q=唐诗").await).len() <= many, "shown though it was not on the board");
        found(&anyone, "q=唐诗", many as u64).await;
    }
    let second = TANG.next_version(&app, &provider, 2).await;
    let later = provider.list(&second, &offer.terms).await;
    let other = provider.try_publish_terms(&terms(60_000)).await.unwrap();
    let dearer = provider.list(&second, other["id"].as_str().unwrap()).await;
    let both = found(&anyone, "q=唐诗&sort=price", 2).await;
    let listings = |found: &Value| -> Vec<String> {
        let items = found["items"].as_array().unwrap().iter();
        items.map(|item| item["offer"]["listing"].as_str().unwrap().to_string()).collect()
    };
    assert_eq!(listings(&both), [later.listing.clone(), dearer.listing.clone()], "both offers of the newest version");
    for gone in [&later, &dearer] {
        provider.post(format!("/v1/listings/{}/withdraw", gone.listing), &json!({})).await.unwrap();
        assert!(!listings(&search(&anyone, "q=唐诗").await).contains(&gone.listing));
    }
    let first = found(&anyone, "q=唐诗", 1).await;
    assert_eq!(listings(&first), [offer.listing], "the version before is on the board still");
}

/// Reads page after page, and lists and withdraws between them.
#[tokio::test(flavor = "multi_thread")]
async fn pages_neither_repeat_nor_miss_what_stood_before_whatever_is_listed_meanwhile() {
    const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let app = TestApp::start().await;
    let (provider, anyone) = (app.provider().await, app.anonymous());
    let corpora: Vec<Corpus> = (0..)
        .zip(NAMES)
        .map(|(n, name)| Corpus {
            name,
            title: if n % 3 == 0 { "Spring poems" } else { "Poems" },
            card: if n % 2 == 0 { "In spring." } else { "Of spring, and of spring." },
            price_fen: 1000 * (n % 4),
            ..TANG
        })
        .collect();
    let mut waiting = corpora.iter();
    let mut standing = BTreeSet::new();
    for (corpus, _) in waiting.by_ref().zip(0..6) {
        corpus.list(&app, &provider).await;
        standing.insert(corpus.name);
    }
    let mut many = 6;
    found(&anyone, "q=spring", many).await;
    for sort in ["relevance", "newest", "price"] {
        let (mut read, mut cursor, mut before) = (Vec::new(), String::new(), standing.clone());
        loop {
            let page = search(&anyone, &format!("q=spring&sort={sort}&limit=2{cursor}")).await;
            read.extend(names(&page).into_iter().map(str::to_string));
            if let Some(corpus) = waiting.next() {
                let offer = corpus.list(&app, &provider).await;
                many += 1;
                found(&anyone, "q=spring", many).await;
                if corpus.name == "h" {
                    provider.post(format!("/v1/listings/{}/withdraw", offer.listing), &json!({})).await.unwrap();
                    many -= 1;
                    found(&anyone, "q=spring", many).await;
                    before.remove("h");
                } else {
                    standing.insert(corpus.name);
                }
            }
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let unique: BTreeSet<&str> = read.iter().map(String::as_str).collect();
        assert_eq!(unique.len(), read.len(), "{sort} repeated: {read:?}");
        assert!(before.is_subset(&unique), "{sort} missed {before:?} in {read:?}");
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_lost_or_damaged_is_built_anew_while_searches_go_on() {
    let mut app = TestApp::start().await;
    let provider = app.provider().await;
    let folder = app.app().config.search_dir();
    TANG.list(&app, &provider).await;
    found(&app.anonymous(), "q=唐诗", 1).await;

    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(search(&app.anonymous(), "q=唐诗").await["total"], 1, "served while it is lost");
    STREETS.list(&app, &provider).await;
    found(&app.anonymous(), "q=", 2).await;
    assert!(!files(&folder).is_empty(), "it was built anew");

    for file in files(&folder) {
        std::fs::write(file, "garbage").unwrap();
    }
    assert_eq!(search(&app.anonymous(), "q=唐诗").await["total"], 1, "served while it is damaged");
    LETTERS.list(&app, &provider).await;
    found(&app.anonymous(), "q=", 3).await;

    app.restart().await;
    found(&app.anonymous(), "q=", 3).await;
    let damage = || {
        let segments =
            files(&folder).into_iter().filter(|file| file.extension().is_some_and(|e| e == "term" || e == "fast"));
        for file in segments {
            let mut bytes = std::fs::read(&file).unwrap();
            let Some(first) = bytes.first_mut() else { continue }; // of a segment that the stop cut off
            *first ^= 0xff;
            std::fs::write(file, bytes).unwrap();
        }
    };
    app.restart_with(|_| damage()).await;
    let all = found(&app.anonymous(), "q=", 3).await;
    assert!(is(&counts(&all, "provider"), &[("poetry-house", 3)]));
    assert_eq!(names(&search(&app.anonymous(), "q=唐诗").await), ["tang"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_instance_lists_the_other_finds() {
    let app = TestApp::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut config = (*app.app().config).clone();
    config.database_url = Some(config.database_url());
    config.keys_dir = Some(config.keys_dir());
    config.data_dir = folder.path().to_path_buf();
    config.listen = ([127, 0, 0, 1], 0).into();
    let other = Running::start(config).await.unwrap();
    let both = [app.anonymous(), Client::new(&other.url, None).unwrap()];
    let provider = app.provider().await;
    let offer = TANG.list(&app, &provider).await;
    LETTERS.list(&app, &provider).await;
    for instance in &both {
        found(instance, "q=poem", 2).await;
    }
    provider.post(format!("/v1/listings/{}/withdraw", offer.listing), &json!({})).await.unwrap();
    for instance in &both {
        assert_eq!(names(&search(instance, "q=poem").await), ["letters"], "at once");
        found(instance, "q=poem", 1).await;
    }
    other.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_makes_no_sense_is_refused_or_finds_nothing() {
    let app = TestApp::start().await;
    let anyone = app.anonymous();
    let ask = |query: String| anyone.get(format!("/v1/datasets?{query}")).send::<Value>();
    let long = "x".repeat(10 * 1024);
    for (query, field) in [
        (format!("q={long}"), "q"),
        ("q=a%00b".to_string(), "q"),
        ("q=a&cursor=newest.1.x".to_string(), "cursor"),
        ("q=a&limit=0".to_string(), "limit"),
        ("q=a&limit=101".to_string(), "limit"),
        (format!("domain={long}"), "domain"),
        ("provider=%00".to_string(), "provider"),
        ("domain=culture,文化".to_string(), "domain"),
        ("use=training".to_string(), "use"),
    ] {
        refused(ask(query).await, Kind::Invalid, Some(field));
    }
    for query in ["sort=best", "q=a&max_price=-1", "q=a&colour=red", "q=a&currency=XXQ"] {
        assert_eq!(ask(query.to_string()).await.unwrap_err().kind, Kind::Invalid, "{query}");
    }
    for words in [
        r#"title:"a" AND (b OR -c*) ~2 ^4 [d TO e] \"#,
        "*:*",
        "+-!(){}[]^\"~*?:\\/",
        "%_",
        "'; DROP TABLE listings; --",
    ] {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("q", words).finish();
        let nothing = ask(query).await.unwrap();
        assert_eq!((&nothing["items"], &nothing["total"]), (&json!([]), &json!(0)), "{words}");
    }
}
