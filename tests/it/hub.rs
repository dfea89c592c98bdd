//! The Hub's read API, as its clients ask for it.

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha1::Digest as _;

use crate::support::{Actor, Offer, Published, TestApp};

/// Somebody's client of the Hub, which follows no redirect.
pub struct HubClient {
    url: String,
    token: Option<String>,
    http: reqwest::Client,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl HubClient {
    pub fn new(app: &TestApp, token: Option<&str>) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { url: app.url.clone(), token: token.map(str::to_string), http }
    }

    pub fn of(app: &TestApp, actor: &Actor) -> Self {
        Self::new(app, actor.client.token())
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], form: Option<&str>) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(form) = form {
            request = request.header("Content-Type", "application/x-www-form-urlencoded").body(form.to_string());
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], None).await
    }

    /// Gets a document that is there.
    pub async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        answer.json()
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Refused with this status and code, which the body and the headers both explain.
    #[track_caller]
    pub fn refused(&self, status: u16, code: Option<&str>) -> &Self {
        assert_eq!((self.status.as_u16(), self.header("x-error-code")), (status, code), "{self:?}");
        let message = self.header("x-error-message").expect("a refusal says why");
        assert!(message.len() > 10, "{message:?} says too little");
        self
    }
}

/// A corpus with one listed version that a lab licensed.
struct Story {
    app: TestApp,
    provider: Actor,
    lab: Actor,
    published: Published,
    offer: Offer,
    entitlement: String,
}

const ONE: &[u8] = b"{\"text\":\"one\"}\n";
const TWO: &[u8] = b"{\"text\":\"two\"}\n{\"text\":\"three\"}\n";

impl Story {
    async fn licensed() -> Self {
        let app = TestApp::start().await;
        let provider = app.provider().await;
        let published =
            provider.publish("poems", &[("data/train-0.jsonl", ONE), ("data/deep/test-1.jsonl", TWO)]).await;
        app.compliance.assess(&published).await;
        let terms = provider.publish_terms(50_000).await;
        let offer = provider.list(&published, &terms).await;
        let lab = app.lab("verse-lab", 50_000).await;
        let entitlement = lab.buy(&offer).await.unwrap();
        Self { app, provider, lab, published, offer, entitlement }
    }

    fn client(&self) -> HubClient {
        HubClient::of(&self.app, &self.lab)
    }

    fn commit(&self) -> String {
        self.published.manifest.pae_sha256().to_string()[..40].to_string()
    }
}

const REPO: &str = "/api/datasets/poetry-house/poems";

/// The name git gives to a file.
fn git_blob(bytes: &[u8]) -> String {
    let mut hash = sha1::Sha1::new();
    hash.update(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    hex::encode(hash.finalize())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_licensed_version_reads_as_a_repository_with_one_commit() {
    let story = Story::licensed().await;
    let (hub, commit) = (story.client(), story.commit());
    let who = hub.json("/api/whoami-v2").await;
    assert_eq!((&who["type"], &who["name"]), (&json!("user"), &json!("admin@verse-lab.test")));
    assert_eq!((&who["orgs"][0]["name"], &who["auth"]["accessToken"]["role"]), (&json!("verse-lab"), &json!("write")));

    let info = hub.json(&format!("{REPO}?blobs=true")).await;
    assert_eq!((&info["id"], &info["author"]), (&json!("poetry-house/poems"), &json!("poetry-house")));
    assert_eq!((&info["sha"], &info["private"], &info["gated"]), (&json!(commit), &json!(false), &json!(false)));
    assert_eq!(info["cardData"]["configs"][0]["data_files"][0]["split"], "train");
    assert!(info["tags"].as_array().unwrap().contains(&json!("language:zh")), "{info}");
    let names: Vec<_> = info["siblings"].as_array().unwrap().iter().map(|s| s["rfilename"].clone()).collect();
    assert_eq!(names, ["README.md", "data/deep/test-1.jsonl", "data/train-0.jsonl"]);
    let (readme, shard) = (&info["siblings"][0], &info["siblings"][1]);
    assert!(readme["lfs"].is_null() && readme["size"].as_u64().unwrap() > 100, "{readme}");
    let sha256 = corpex::types::Digest::of(TWO);
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {}\n", TWO.len());
    assert_eq!(shard["lfs"], json!({ "sha256": sha256, "size": TWO.len(), "pointerSize": pointer.len() }));
    assert_eq!((&shard["size"], &shard["blobId"]), (&json!(TWO.len()), &json!(git_blob(pointer.as_bytes()))));
    let plain = hub.json(REPO).await;
    assert_eq!(plain["siblings"][1], json!({ "rfilename": "data/deep/test-1.jsonl" }));

    let refs = hub.json(&format!("{REPO}/refs")).await;
    assert_eq!(refs["branches"], json!([{ "name": "main", "ref": "refs/heads/main", "targetCommit": commit }]));
    assert_eq!(refs["tags"], json!([{ "name": "v1", "ref": "refs/tags/v1", "targetCommit": commit }]));
    let commits = hub.json(&format!("{REPO}/commits/main")).await;
    assert_eq!((&commits[0]["id"], &commits[0]["title"]), (&json!(commit), &json!("Version 1")));
    assert_eq!(commits[0]["authors"], json!([{ "user": "poetry-house" }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tree_of_a_revision_is_paged_by_absolute_links() {
    let story = Story::licensed().await;
    let hub = story.client();
    let names = |page: &Value| page.as_array().unwrap().iter().map(|n| n["path"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&hub.json(&format!("{REPO}/tree/main")).await), ["README.md", "data"]);
    assert_eq!(names(&hub.json(&format!("{REPO}/tree/main/data")).await), ["data/deep", "data/train-0.jsonl"]);
    let all = hub.json(&format!("{REPO}/tree/v1?recursive=True&expand=true")).await;
    assert_eq!(names(&all), ["README.md", "data", "data/deep", "data/deep/test-1.jsonl", "data/train-0.jsonl"]);
    let (folder, shard) = (&all[1], &all[4]);
    assert_eq!((&folder["type"], &shard["type"]), (&json!("directory"), &json!("file")));
    assert_eq!(shard["lfs"]["oid"], json!(corpex::types::Digest::of(ONE)));
    assert_eq!(
        (&shard["lastCommit"]["id"], &shard["lastCommit"]["title"]),
        (&json!(story.commit()), &json!("Version 1"))
    );

    let (mut url, mut seen) = (format!("{REPO}/tree/main?recursive=true&limit=2"), Vec::new());
    loop {
        let page = hub.get(&url).await;
        seen.extend(names(&page.json()));
        let Some(link) = page.header("link") else { break };
        let next = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\"")).unwrap();
        assert!(next.contains("recursive=true") && next.contains("limit=2"), "{next}");
        url = next.strip_prefix(&story.app.url).expect("the link is absolute").to_string();
    }
    assert_eq!(seen, names(&all));

    let form = "paths=data%2Ftrain-0.jsonl&paths=data&paths=nothing&expand=false";
    let found = hub.send(Method::POST, &format!("{REPO}/paths-info/main"), &[], Some(form)).await;
    assert_eq!(names(&found.json()), ["data/train-0.jsonl", "data"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_a_commit_are_read_once() {
    let story = Story::licensed().await;
    let shelf = corpex::hub::Shelf::default();
    let read = async |name: &str| {
        let (name, shelf) = (name.to_string(), shelf.clone());
        let files = move |c: &mut corpex::db::Conn| {
            let repo = corpex::hub::repo(c, None, "poetry-house", "poems").unwrap();
            corpex::hub::files(c, &shelf, &repo.dataset, &repo.revision(&name).unwrap())
        };
        story.app.app().db.read(files).await.unwrap()
    };
    let (once, again) = (read("main").await, read("v1").await);
    assert!(std::sync::Arc::ptr_eq(&once, &again));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_is_named_by_branch_tag_version_or_commit() {
    let story = Story::licensed().await;
    let (hub, commit) = (story.client(), story.commit());
    for name in ["main", "v1", "1", &commit, "refs%2Fheads%2Fmain", "refs%2Ftags%2Fv1"] {
        assert_eq!(hub.json(&format!("{REPO}/revision/{name}")).await["sha"], json!(commit), "{name}");
    }
    for name in [
        "v2",
        "0",
        "01",
        "v",
        "Main",
        &commit[..39],
        "refs%2Fpr%2F1",
        "a%00b",
        "%E2%80%AE",
        "..%2F..",
        &"9".repeat(5000),
    ] {
        for route in ["revision", "tree", "commits"] {
            hub.get(&format!("{REPO}/{route}/{name}")).await.refused(404, Some("RevisionNotFound"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_listed_licensed_or_ones_own_is_there() {
    let story = Story::licensed().await;
    let secret = story.provider.publish("secret", &[("a.jsonl", ONE)]).await;
    let stranger = story.app.organisation("other-house").await;
    let repo = |name: &str| format!("/api/datasets/{name}");
    let (anyone, strange) = (HubClient::new(&story.app, None), HubClient::of(&story.app, &stranger));
    for name in [secret.dataset.as_str(), "poetry-house/nothing", "nobody/poems", "a%00b/c", "poems", "a/b/c/d"] {
        anyone.get(&repo(name)).await.refused(401, Some("RepoNotFound"));
        strange.get(&repo(name)).await.refused(404, Some("RepoNotFound"));
    }
    assert_eq!(HubClient::of(&story.app, &story.provider).json(&repo(&secret.dataset)).await["private"], true);
    // What is on the board is there for everybody, and its files take a licence.
    for client in [&anyone, &strange] {
        assert_eq!(client.json(REPO).await["gated"], "manual");
        assert_eq!(client.json(&format!("{REPO}/tree/main")).await.as_array().unwrap().len(), 2);
    }
    story.provider.post(format!("/v1/listings/{}/withdraw", story.offer.listing), &json!({})).await.unwrap();
    strange.get(REPO).await.refused(404, Some("RepoNotFound"));
    assert_eq!(story.client().json(REPO).await["private"], true, "a licence outlives its listing");
}

#[tokio::test(flavor = "multi_thread")]
async fn main_is_the_newest_version_that_the_caller_may_see() {
    let story = Story::licensed().await;
    let path = "/v1/datasets/poetry-house/poems";
    story.provider.post(format!("{path}/versions"), &json!({ "card": crate::support::CARD })).await.unwrap();
    story.provider.put_shard(&format!("{path}/versions/2"), "new.jsonl", TWO).await.unwrap();
    let (subjects, predicate) = story.provider.manifest("poems", 2, &[("new.jsonl", TWO)]);
    let manifest = story.provider.sign(corpex::provenance::StatementKind::Manifest, subjects, predicate);
    let seal = json!({ "envelope": manifest });
    story.provider.post(format!("{path}/versions/2/seal"), &seal).await.unwrap();
    let second = Published { dataset: story.published.dataset.clone(), version: 2, manifest };
    let newest = second.manifest.pae_sha256().to_string()[..40].to_string();
    let owner = HubClient::of(&story.app, &story.provider);
    assert_eq!(owner.json(REPO).await["sha"], json!(newest));
    assert_eq!(story.client().json(REPO).await["sha"], json!(story.commit()));
    story.client().get(&format!("{REPO}/revision/v2")).await.refused(404, Some("RevisionNotFound"));
    story.app.compliance.assess(&second).await;
    story.provider.list(&second, &story.offer.terms).await;
    assert_eq!(story.client().json(REPO).await["sha"], json!(newest));
    let commits = story.client().json(&format!("{REPO}/commits/main")).await;
    assert_eq!(
        commits.as_array().unwrap().iter().map(|c| c["title"].clone()).collect::<Vec<_>>(),
        ["Version 2", "Version 1"]
    );
    assert_eq!(story.client().json(&format!("{REPO}/commits/v1")).await.as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_cannot_mean_is_refused_in_the_words_of_the_hub() {
    let story = Story::licensed().await;
    let hub = story.client();
    for path in [
        "nothing",
        "data/train-0.jsonl",
        "..%2Fdata",
        "data%2F..%2Fdata",
        "%2e%2e%2f",
        "a%00b",
        "%E2%80%AEgpj",
        "%FF",
        "data//deep",
    ] {
        let answer = hub.get(&format!("{REPO}/tree/main/{path}")).await;
        answer.refused(404, Some("EntryNotFound"));
        assert_eq!(answer.header("x-repo-commit"), Some(story.commit().as_str()));
    }
    assert_eq!(hub.json(&format!("{REPO}/tree/main/data%2Fdeep")).await.as_array().unwrap().len(), 1);
    for path in [
        "/api/models/a/b",
        "/api/models/gpt2",
        "/api/datasets/poems",
        "/api/spaces/a/b/tree/main",
        "/api/models/a/b/c/d/e",
        "/poetry-house/poems/resolve/main/data/train-0.jsonl",
        "/datasets/poems/resolve/main/README.md",
        "/gpt2/resolve/main/config.json",
        "/spaces/a/b/resolve/main/app.py",
    ] {
        for method in [Method::GET, Method::HEAD] {
            hub.send(method, path, &[], None).await.refused(404, Some("RepoNotFound"));
        }
        HubClient::new(&story.app, None).get(path).await.refused(401, Some("RepoNotFound"));
    }
    let long = format!("{REPO}?search={}", "x".repeat(10_000));
    assert_eq!(hub.get(&long).await.status, StatusCode::OK);
    hub.get(&format!("{REPO}/tree/main?limit=0")).await.refused(422, None);
    let many = "paths=a&".repeat(1001);
    hub.send(Method::POST, &format!("{REPO}/paths-info/main"), &[], Some(&many)).await.refused(422, None);
    let large = format!("paths={}", "x".repeat(2_000_000));
    hub.send(Method::POST, &format!("{REPO}/paths-info/main"), &[], Some(&large)).await.refused(413, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_is_told_from_a_missing_repository() {
    let story = Story::licensed().await;
    let anyone = HubClient::new(&story.app, None);
    for credential in ["Bearer hf_nonsense", "Bearer cpx_", "Basic eDp5", "Bearer", "Negotiate x", &"x".repeat(8000)] {
        for path in ["/api/whoami-v2", REPO, "/api/models/gpt2"] {
            let answer = anyone.send(Method::GET, path, &[("Authorization", credential)], None).await;
            answer.refused(401, None);
            assert_eq!(answer.header("x-error-message"), Some("Invalid credentials in Authorization header"));
            assert_eq!(answer.json(), json!({ "error": "Invalid credentials in Authorization header" }));
        }
    }
    anyone.get("/api/whoami-v2").await.refused(401, None);
    let basic = format!("Basic {}", {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(format!("x:{}", story.lab.client.token().unwrap()))
    });
    assert_eq!(anyone.send(Method::GET, REPO, &[("Authorization", &basic)], None).await.json()["gated"], false);
    let twice = [("Authorization", "Bearer a"), ("Authorization", "Bearer b")];
    anyone.send(Method::GET, REPO, &twice, None).await.refused(400, None);
}

const RESOLVE: &str = "/datasets/poetry-house/poems/resolve";

impl Story {
    /// The path of a file at the only commit.
    fn file(&self, path: &str) -> String {
        format!("{RESOLVE}/{}/{path}", self.commit())
    }

    /// How many receipts stand under the licence.
    async fn receipts(&self) -> usize {
        let id = self.entitlement.parse().unwrap();
        let list = move |c: &mut corpex::db::Conn| corpex::delivery::receipts_of(c, id, "", 1000);
        self.app.app().db.read(list).await.unwrap().len()
    }

    fn is_in_a_bucket(&self) -> bool {
        self.app.app().config.s3_bucket.is_some()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_leads_to_the_commit_and_the_commit_to_the_bytes() {
    let story = Story::licensed().await;
    let (hub, commit) = (story.client(), story.commit());
    let sha256 = format!("\"{}\"", corpex::types::Digest::of(ONE));
    for method in [Method::HEAD, Method::GET] {
        let moved = hub.send(method, &format!("{RESOLVE}/main/data/train-0.jsonl"), &[], None).await;
        assert_eq!(moved.status, StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(moved.header("location"), Some(story.file("data/train-0.jsonl").as_str()));
        assert_eq!(moved.header("x-repo-commit"), Some(commit.as_str()));
    }
    let file = story.file("data/train-0.jsonl");
    let told = hub.send(Method::HEAD, &file, &[], None).await;
    assert_eq!(told.status, StatusCode::OK);
    let length = ONE.len().to_string();
    for (name, value) in [
        ("x-repo-commit", commit.as_str()),
        ("etag", &sha256),
        ("x-linked-etag", &sha256),
        ("x-linked-size", &length),
        ("content-length", &length),
        ("accept-ranges", "bytes"),
    ] {
        assert_eq!(told.header(name), Some(value), "{name}");
    }
    assert_eq!(told.header("x-hf-warning"), None, "the licence is perpetual");
    assert_eq!(story.receipts().await, 0, "nothing was given yet");

    let given = hub.send(Method::GET, &file, &[("Accept-Encoding", "gzip, deflate, zstd")], None).await;
    assert_eq!(story.receipts().await, 1);
    assert_eq!((given.header("x-repo-commit"), given.header("content-encoding")), (Some(commit.as_str()), None));
    if story.is_in_a_bucket() {
        assert_eq!(given.status, StatusCode::FOUND);
        let url = given.header("location").unwrap();
        assert!(!url.starts_with(&story.app.url), "{url}");
        assert_eq!(reqwest::get(url).await.unwrap().bytes().await.unwrap(), ONE);
    } else {
        assert_eq!((given.status, given.header("etag")), (StatusCode::OK, Some(sha256.as_str())));
        assert_eq!(given.body, ONE);
    }
    // Clients before 1.0 would send their token on to a bucket: HEAD leads there instead.
    let old = hub.send(Method::HEAD, &file, &[("User-Agent", "unknown/None; hf_hub/0.36.2; python/3.11")], None).await;
    assert_eq!(old.status, if story.is_in_a_bucket() { StatusCode::FOUND } else { StatusCode::OK });
    assert_eq!(story.receipts().await, if story.is_in_a_bucket() { 2 } else { 1 });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_card_is_a_file_and_takes_no_receipt() {
    let story = Story::licensed().await;
    let hub = story.client();
    let node = hub.json(&format!("{REPO}/tree/main")).await[0].clone();
    let card = hub.get(&story.file("README.md")).await;
    assert_eq!(card.header("etag"), Some(format!("\"{}\"", git_blob(&card.body)).as_str()));
    assert_eq!((&node["oid"], &node["size"]), (&json!(git_blob(&card.body)), &json!(card.body.len())));
    assert!(card.body.starts_with(b"---\nlanguage:\n- zh\nlicense: other\n"), "{card:?}");
    let part = hub.send(Method::GET, &story.file("README.md"), &[("Range", "bytes=0-3")], None).await;
    assert_eq!((part.status, part.body.as_slice()), (StatusCode::PARTIAL_CONTENT, b"---\n".as_slice()));
    assert_eq!(story.receipts().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_answered_as_rfc_9110_has_it() {
    let story = Story::licensed().await;
    if story.is_in_a_bucket() {
        return; // the bucket answers them
    }
    let (hub, file) = (story.client(), story.file("data/train-0.jsonl"));
    let etag = format!("\"{}\"", corpex::types::Digest::of(ONE));
    let last = ONE.len() - 1;
    for (range, start, end) in [
        ("bytes=0-0".to_string(), 0, 1),
        ("bytes=3-5".into(), 3, 6),
        ("bytes=3-".into(), 3, ONE.len()),
        ("bytes=-4".into(), ONE.len() - 4, ONE.len()),
        ("bytes=-400".into(), 0, ONE.len()),
        (format!("bytes={last}-99999999999"), last, ONE.len()),
    ] {
        for extra in [None, Some(("If-Range", etag.as_str()))] {
            let headers: Vec<_> = [Some(("Range", range.as_str())), extra].into_iter().flatten().collect();
            let part = hub.send(Method::GET, &file, &headers, None).await;
            assert_eq!((part.status, part.body.as_slice()), (StatusCode::PARTIAL_CONTENT, &ONE[start..end]), "{range}");
            let told = format!("bytes {start}-{}/{}", end - 1, ONE.len());
            assert_eq!(part.header("content-range"), Some(told.as_str()));
        }
    }
    let whole = [
        vec![("Range", "bytes=0-1,3-4")],
        vec![("Range", "bytes=4-2")],
        vec![("Range", "lines=1-2")],
        vec![("Range", "bytes=0-1"), ("If-Range", "\"stale\"")],
        vec![("Range", "bytes=0-1"), ("If-Range", "Wed, 21 Oct 2015 07:28:00 GMT")],
    ];
    for headers in whole {
        let all = hub.send(Method::GET, &file, &headers, None).await;
        assert_eq!((all.status, all.body.as_slice()), (StatusCode::OK, ONE), "{headers:?}");
    }
    for range in [format!("bytes={}-", ONE.len()), "bytes=-0".into(), "bytes=999-1000".into()] {
        let refused = hub.send(Method::GET, &file, &[("Range", &range)], None).await;
        assert_eq!(refused.status, StatusCode::RANGE_NOT_SATISFIABLE, "{range}");
        assert_eq!(refused.header("content-range"), Some(format!("bytes */{}", ONE.len()).as_str()));
    }
    let head = hub.send(Method::HEAD, &file, &[("Range", "bytes=0-1")], None).await;
    assert_eq!((head.status, head.header("content-length")), (StatusCode::OK, Some(ONE.len().to_string().as_str())));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_has_or_cannot_get_is_not_delivered() {
    let story = Story::licensed().await;
    if story.is_in_a_bucket() {
        return; // GET leads to the bucket, whatever else it asks for
    }
    let (hub, file) = (story.client(), story.file("data/train-0.jsonl"));
    let etag = format!("\"{}\"", corpex::types::Digest::of(ONE));
    let (weak, several) = (format!("W/{etag}"), format!("\"other\", {etag}"));
    for (name, value, get, head) in [
        ("If-None-Match", etag.as_str(), 304, 304),
        ("If-None-Match", &weak, 304, 304),
        ("If-None-Match", &several, 304, 304),
        ("If-None-Match", "*", 304, 304),
        ("If-Match", "\"other\"", 412, 412),
        ("If-Match", &weak, 412, 412),
        ("Range", "bytes=999-", 416, 200),
    ] {
        for (method, status) in [(Method::GET, get), (Method::HEAD, head)] {
            let answer = hub.send(method.clone(), &file, &[(name, value)], None).await;
            assert_eq!(answer.status, status, "{method} {name}: {value}");
            assert!(status != 304 || (answer.body.is_empty() && answer.header("etag") == Some(&etag)), "{answer:?}");
        }
    }
    assert_eq!(story.receipts().await, 0, "no byte left");
    for headers in [vec![("If-None-Match", "\"other\"")], vec![("If-Match", &several)], vec![("If-Match", "*")]] {
        let given = hub.send(Method::GET, &file, &headers, None).await;
        assert_eq!((given.status, given.body.as_slice()), (StatusCode::OK, ONE), "{headers:?}");
    }
    let both = [("If-None-Match", etag.as_str()), ("Range", "bytes=0-1")];
    assert_eq!(hub.send(Method::GET, &file, &both, None).await.status, StatusCode::NOT_MODIFIED, "before any range");
    assert_eq!(story.receipts().await, 3);
    let (card, readme) = (hub.get(&story.file("README.md")).await, story.file("README.md"));
    let known = [("If-None-Match", card.header("etag").unwrap())];
    assert_eq!(hub.send(Method::GET, &readme, &known, None).await.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_takes_a_licence_that_may_be_used_now() {
    let story = Story::licensed().await;
    let stranger = story.app.organisation("other-house").await;
    let (anyone, strange) = (HubClient::new(&story.app, None), HubClient::of(&story.app, &stranger));
    let file = story.file("data/train-0.jsonl");
    for path in [&file, &format!("{RESOLVE}/main/README.md"), &format!("{RESOLVE}/main/poems.py")] {
        for method in [Method::GET, Method::HEAD] {
            anyone.send(method.clone(), path, &[], None).await.refused(401, Some("GatedRepo"));
            let gated = strange.send(method, path, &[], None).await;
            let why = gated.refused(403, Some("GatedRepo")).header("x-error-message").unwrap();
            assert!(why.contains(&format!("{}/v1/listings?dataset=poetry-house/poems", story.app.url)), "{why}");
        }
    }
    let change = |step: &str| format!("/v1/entitlements/{}/{step}", story.entitlement);
    let reason = json!({ "reason": "the invoice is disputed" });
    story.app.operator.post(change("suspension"), &reason).await.unwrap();
    let hub = story.client();
    let gated = hub.get(&file).await;
    assert!(gated.refused(403, Some("GatedRepo")).header("x-error-message").unwrap().contains("is suspended"));
    assert_eq!(hub.json(REPO).await["gated"], "manual", "a licence that may not be used opens nothing");
    assert_eq!(story.receipts().await, 0);
    story.app.operator.post(change("reinstatement"), &reason).await.unwrap();
    assert!(!hub.get(&file).await.status.is_client_error());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_there_is_told_with_the_commit_that_was_looked_into() {
    let story = Story::licensed().await;
    let hub = story.client();
    for path in [
        "poems.py",
        ".huggingface.yaml",
        "data",
        "",
        "..%2Fx",
        "%2e%2e%2fx",
        "data%2F..%2Fdata%2Ftrain-0.jsonl",
        "a%00b",
        "%E2%80%AEgpj",
        "%FF%FE",
        "data//x",
        "readme.md",
    ] {
        for revision in ["main", &story.commit()] {
            for method in [Method::GET, Method::HEAD] {
                let answer = hub.send(method, &format!("{RESOLVE}/{revision}/{path}"), &[], None).await;
                answer.refused(404, Some("EntryNotFound"));
                assert_eq!(answer.header("x-repo-commit"), Some(story.commit().as_str()));
            }
        }
    }
    hub.get(&format!("{RESOLVE}/v7/data/train-0.jsonl")).await.refused(404, Some("RevisionNotFound"));
    hub.get("/datasets/poetry-house/nothing/resolve/main/x").await.refused(404, Some("RepoNotFound"));
    let encoded = hub.get(&format!("{RESOLVE}/main/data%2Ftrain-0.jsonl")).await;
    assert_eq!(encoded.header("location"), Some(story.file("data/train-0.jsonl").as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_climbs_finds_nothing() {
    use std::io::{Read as _, Write as _};
    let story = Story::licensed().await;
    let token = story.lab.client.token().unwrap();
    for path in
        ["resolve/main/../../../../../etc/passwd", "resolve/main/data/../README.md", "resolve/../../x/resolve/main/a"]
    {
        let mut connection = std::net::TcpStream::connect(story.app.url.strip_prefix("http://").unwrap()).unwrap();
        let head = format!("GET /datasets/poetry-house/poems/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        write!(connection, "{head}Authorization: Bearer {token}\r\n\r\n").unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_licence_that_ends_soon_is_announced() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let published = provider.publish("poems", &[("a.jsonl", ONE)]).await;
    app.compliance.assess_for(&published, 365).await;
    let mut document = crate::support::terms(0);
    document["duration_days"] = json!(31);
    let terms = provider.try_publish_terms(&document).await.unwrap()["id"].as_str().unwrap().to_string();
    let offer = provider.list(&published, &terms).await;
    let lab = app.lab("verse-lab", 0).await;
    lab.buy(&offer).await.unwrap();
    let hub = HubClient::of(&app, &lab);
    let file = format!("{RESOLVE}/main/a.jsonl");
    assert_eq!(hub.get(&file).await.header("x-hf-warning"), None);
    app.clock.advance(corpex::types::DAY * 24);
    let answer = hub.get(&file).await;
    let warning = answer.header("x-hf-warning").unwrap();
    assert!(
        warning.starts_with("licence poetry-house/poems v1; your licence to ") && warning.contains("ends in 7 days"),
        "{warning}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_shows_what_the_caller_may_see_page_by_page() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    for name in ["spring", "summer", "autumn"] {
        app.listed_corpus(&provider, name, 100).await;
    }
    provider.publish("winter", &[("a.jsonl", ONE)]).await;
    let (anyone, owner) = (HubClient::new(&app, None), HubClient::of(&app, &provider));
    let ids = |page: &Value| page.as_array().unwrap().iter().map(|i| i["id"].clone()).collect::<Vec<_>>();
    let named = |names: &[&str]| names.iter().map(|name| json!(format!("poetry-house/{name}"))).collect::<Vec<_>>();
    assert_eq!(
        ids(&anyone.json("/api/datasets?full=True&sort=downloads").await),
        named(&["autumn", "summer", "spring"])
    );
    assert_eq!(ids(&owner.json("/api/datasets").await).len(), 4);
    assert!(ids(&anyone.json("/api/datasets?author=nobody").await).is_empty());
    let filter = "filter=language%3Azh-Hant&filter=modality%3Atext";
    assert_eq!(ids(&anyone.json(&format!("/api/datasets?{filter}")).await).len(), 3);
    assert!(ids(&anyone.json(&format!("/api/datasets?{filter}&filter=language%3Aen")).await).is_empty());
    let (mut url, mut seen) = ("/api/datasets?limit=1".to_string(), Vec::new());
    loop {
        let page = anyone.get(&url).await;
        seen.extend(ids(&page.json()));
        let Some(link) = page.header("link") else { break };
        url = link.strip_prefix(&format!("<{}", app.url)).unwrap().split('>').next().unwrap().to_string();
    }
    assert_eq!(seen, named(&["autumn", "summer", "spring"]));
    for bad in ["cursor=nonsense", "limit=0", "limit=x", "search=%00"] {
        anyone.get(&format!("/api/datasets?{bad}")).await.refused(422, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_searched_as_the_board_is() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    for name in ["spring", "summer", "autumn"] {
        app.listed_corpus(&provider, name, 100).await;
    }
    let again = app.listed_corpus(&provider, "winter", 100).await;
    provider.list_again(&again, &json!({})).await;
    provider.publish("winter-draft", &[("a.jsonl", ONE)]).await;
    let anyone = HubClient::new(&app, None);
    let ids = |page: &Value| page.as_array().unwrap().iter().map(|i| i["id"].clone()).collect::<Vec<_>>();
    for _ in 0..600 {
        if !ids(&anyone.json("/api/datasets?search=winter").await).is_empty() {
            break; // what is listed is found within a second, but many exchanges share this machine
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let found = |name: &str| vec![json!(format!("poetry-house/{name}"))];
    assert_eq!(ids(&anyone.json("/api/datasets?search=SUMMER&author=poetry-house").await), found("summer"));
    let winter = anyone.json("/api/datasets?search=winter&filter=language%3Azh-Hant").await;
    assert_eq!(ids(&winter), found("winter"), "one repository, however often it is listed, and no draft");
    assert_eq!(winter[0]["gated"], "manual");
    assert!(ids(&anyone.json("/api/datasets?search=summer&author=nobody").await).is_empty());
    assert!(ids(&anyone.json("/api/datasets?search=summer&filter=language%3Aen").await).is_empty());

    let (mut url, mut seen) = ("/api/datasets?search=poems+springs&limit=1".to_string(), Vec::new());
    loop {
        let page = anyone.get(&url).await;
        seen.extend(ids(&page.json()).into_iter().map(|id| id.to_string()));
        let Some(link) = page.header("link") else { break };
        assert!(link.contains("search=poems+springs") && link.contains("limit=1"), "{link}");
        url = link.strip_prefix(&format!("<{}", app.url)).unwrap().split('>').next().unwrap().to_string();
    }
    seen.sort();
    let all = ["autumn", "spring", "summer", "winter"].map(|name| format!("\"poetry-house/{name}\""));
    assert_eq!(seen, all, "each once");
}
