//! How much was downloaded, as each side of the licences may know it, and what happens past what terms expect: nothing is
//! refused, and both sides hear of it.

use std::time::Duration;

use corpex::error::Kind;
use corpex::provenance::StatementKind;
use corpex::types::DAY;
use reqwest::Method;
use serde_json::{Value, json};

use crate::hub::HubClient;
use crate::support::{Actor, Offer, Published, TestApp, refused};

const PATHS: [&str; 2] = ["data/a.jsonl", "data/b.jsonl"];

struct Story {
    app: TestApp,
    provider: Actor,
    lab: Actor,
    offer: Offer,
    entitlement: String,
}

impl Story {
    /// A lab licensed poems under terms that expect each byte once a week.
    async fn expected_once_a_week() -> Self {
        let app = TestApp::start().await;
        // Some hours before midnight, so that a day does not end within a story.
        let day = i64::try_from(DAY.as_micros()).unwrap();
        let today = u64::try_from(app.clock.now().unix_micros().rem_euclid(day)).unwrap();
        app.clock.advance(DAY + Duration::from_secs(6 * 60 * 60) - Duration::from_micros(today));
        let provider = app.provider().await;
        let listed = app.listed_corpus(&provider, "poems", 100).await;
        let expected = json!({ "expected_downloads": { "times": 1, "per_days": 7 } });
        let offer = provider.list_again(&listed, &expected).await;
        let lab = app.lab("verse-lab", 0).await;
        let entitlement = lab.buy(&offer).await.unwrap();
        Self { app, provider, lab, offer, entitlement }
    }

    /// The warning that comes with links to shards.
    async fn warning(&self, paths: &[&str]) -> Option<String> {
        let links = self.lab.links(&self.entitlement, paths).await.unwrap();
        assert_eq!(links["links"].as_array().unwrap().len(), paths.len(), "nothing is refused");
        links["warning"].as_str().map(str::to_string)
    }

    async fn told(&self, who: &Actor) -> usize {
        self.app.told().await;
        let path = format!("/v1/events?organisation={}&types=entitlement.downloads_exceeded", who.handle);
        who.get(path).await.unwrap()["items"].as_array().unwrap().len()
    }
}

async fn usage(who: &Actor, query: &str) -> Vec<Value> {
    let answer = who.get(format!("/v1/organisations/{}/usage?{query}", who.handle)).await.unwrap();
    answer["items"].as_array().unwrap().clone()
}

fn today(app: &TestApp) -> String {
    app.clock.now().to_string()[..10].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_side_sees_what_was_downloaded_and_a_shard_counts_once_a_day() {
    let story = Story::expected_once_a_week().await;
    let links = story.lab.links(&story.entitlement, &PATHS).await.unwrap();
    let sizes: Vec<i64> =
        links["links"].as_array().unwrap().iter().map(|l| l["size_bytes"].as_i64().unwrap()).collect();
    story.lab.links(&story.entitlement, &[PATHS[0], PATHS[0]]).await.unwrap();

    let [mine] = usage(&story.lab, "side=licensee").await.try_into().unwrap();
    let counted = |line: &Value| (line["licences"].clone(), line["shards"].clone(), line["bytes"].clone());
    assert_eq!(counted(&mine), (json!(1), json!(2), json!(sizes[0] + sizes[1])));
    assert_eq!((&mine["entitlement"], &mine["dataset"]), (&json!(story.entitlement), &json!(story.offer.dataset)));
    let [theirs] = usage(&story.provider, "side=provider").await.try_into().unwrap();
    assert_eq!(counted(&theirs), counted(&mine));
    assert_eq!((&theirs["listing"], theirs.get("entitlement")), (&json!(story.offer.listing), None));
    for (who, other_side) in [(&story.lab, "side=provider"), (&story.provider, "side=licensee")] {
        assert!(usage(who, other_side).await.is_empty());
    }

    let first = today(&story.app);
    story.app.clock.advance(DAY);
    story.lab.links(&story.entitlement, &PATHS[..1]).await.unwrap();
    let days = |from: &str, to: &str| format!("side=licensee&from={from}&to={to}");
    let [both] = usage(&story.lab, &days(&first, &today(&story.app))).await.try_into().unwrap();
    assert_eq!(both["shards"], 3);
    let [second] = usage(&story.lab, &days(&today(&story.app), &today(&story.app))).await.try_into().unwrap();
    assert_eq!(second["bytes"], json!(sizes[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_counted_where_a_shard_says_how_many_it_holds() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let odes = b"{}\n{}\n{}\n".as_slice();
    let draft = provider.draft("odes").await;
    provider.put_shard(&draft, "a.jsonl?records=3", odes).await.unwrap();
    let (subjects, mut predicate) = provider.manifest("odes", 1, &[("a.jsonl", odes)]);
    predicate["shards"][0]["records"] = json!(3);
    let manifest = provider.sign(StatementKind::Manifest, subjects, predicate);
    provider.post(format!("{draft}/seal"), &json!({ "envelope": manifest })).await.unwrap();
    let published = Published { dataset: "poetry-house/odes".to_string(), version: 1, manifest };
    app.compliance.assess(&published).await;
    let terms = provider.publish_terms(0).await;
    let offer = provider.list(&published, &terms).await;
    let lab = app.lab("verse-lab", 0).await;
    let licence = lab.buy(&offer).await.unwrap();
    lab.links(&licence, &["a.jsonl"]).await.unwrap();
    for (who, side) in [(&lab, "licensee"), (&provider, "provider")] {
        let [line] = usage(who, &format!("side={side}")).await.try_into().unwrap();
        assert_eq!((&line["records"], &line["bytes"]), (&json!(3), &json!(odes.len())), "{side}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn past_what_terms_expect_downloads_work_with_a_warning_and_both_sides_are_told_once() {
    let story = Story::expected_once_a_week().await;
    assert_eq!(story.warning(&PATHS).await, None);
    assert_eq!(story.warning(&PATHS).await, None, "the same day");
    assert_eq!((story.told(&story.lab).await, story.told(&story.provider).await), (0, 0));

    story.app.clock.advance(DAY);
    let hub = HubClient::of(&story.app, &story.lab);
    let address = format!("/datasets/{}/resolve/main/{}", story.offer.dataset, PATHS[1]);
    let warned = hub.send(Method::GET, &address, &[], None).await;
    let header = warned.header("x-hf-warning").unwrap();
    assert!(header.starts_with(&format!("downloads {} v1; you download", story.offer.dataset)), "{header}");
    for paths in [&PATHS[..1], &PATHS[1..]] {
        let warning = story.warning(paths).await.unwrap();
        assert!(warning.contains("more than 1 time within 7 days"), "{warning}");
    }
    assert_eq!((story.told(&story.lab).await, story.told(&story.provider).await), (1, 1));

    story.app.clock.advance(DAY * 7);
    assert_eq!(story.warning(&PATHS[..1]).await, None, "what was downloaded is a week ago");
    story.app.clock.advance(DAY);
    story.warning(&PATHS).await.unwrap();
    assert_eq!((story.told(&story.lab).await, story.told(&story.provider).await), (2, 2));
    let step = story.lab.get(format!("/v1/entitlements/{}", story.entitlement)).await.unwrap();
    let last = step["history"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["from_state"], &last["to_state"]), (&json!("active"), &json!("downloads_exceeded")));
    assert_eq!(step["state"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_comes_in_pages_and_for_a_period_that_can_be() {
    let story = Story::expected_once_a_week().await;
    for name in ["songs", "odes"] {
        let offer = story.app.listed_corpus(&story.provider, name, 0).await;
        let entitlement = story.lab.buy(&offer).await.unwrap();
        story.lab.links(&entitlement, &PATHS[..1]).await.unwrap();
    }
    story.lab.links(&story.entitlement, &PATHS[..1]).await.unwrap();
    for (who, side) in [(&story.lab, "licensee"), (&story.provider, "provider")] {
        let (mut query, mut found) = (format!("side={side}&limit=1"), Vec::new());
        loop {
            let page = who.get(format!("/v1/organisations/{}/usage?{query}", who.handle)).await.unwrap();
            found.extend(page["items"].as_array().unwrap().iter().map(|line| line["dataset"].to_string()));
            let Some(next) = page["next"].as_str() else { break };
            query = format!("side={side}&limit=1&cursor={next}");
        }
        found.sort();
        assert_eq!(found, ["odes", "poems", "songs"].map(|name| format!("\"poetry-house/{name}\"")), "{side}");
    }
    for (query, field) in [
        ("from=2026-13-01", "from"),
        ("from=2026-1-01", "from"),
        ("to=yesterday", "to"),
        ("from=2026-02-02&to=2026-02-01", "to"),
        ("from=2020-01-01&to=2026-01-01", "to"),
        ("cursor=poems", "cursor"),
    ] {
        let path = format!("/v1/organisations/verse-lab/usage?side=licensee&{query}");
        refused(story.lab.get(path).await, Kind::Invalid, Some(field));
    }
}
