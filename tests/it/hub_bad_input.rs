//! What no client of the Hub should send. Every answer is the one that it asks for, and none is the exchange's fault.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use corpex::types::DAY;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::hub::HubClient;
use crate::support::{Actor, TestApp, token_wish};

const ONE: &[u8] = b"{\"text\":\"one\"}\n";
const RESOLVE: &str = "/datasets/poetry-house/poems/resolve";
const REPO: &str = "/api/datasets/poetry-house/poems";

struct Story {
    app: TestApp,
    lab: Actor,
    commit: String,
}

impl Story {
    /// A lab that licensed one file with content, and one without.
    async fn licensed() -> Self {
        let app = TestApp::start().await;
        let provider = app.provider().await;
        let published = provider.publish("poems", &[("a.jsonl", ONE), ("empty.jsonl", b"")]).await;
        app.compliance.assess(&published).await;
        let terms = provider.publish_terms(0).await;
        let offer = provider.list(&published, &terms).await;
        let lab = app.lab("verse-lab", 0).await;
        lab.buy(&offer).await.unwrap();
        let commit = published.manifest.pae_sha256().to_string()[..40].to_string();
        Self { app, lab, commit }
    }

    fn file(&self, path: &str) -> String {
        format!("{RESOLVE}/{}/{path}", self.commit)
    }

    fn is_in_a_bucket(&self) -> bool {
        self.app.app().config.s3_bucket.is_some()
    }

    /// Sends a head as it is, and gives the status of the answer and all of it as text.
    fn raw(&self, path: &str, headers: &[u8]) -> (u16, String) {
        let mut connection = std::net::TcpStream::connect(self.app.url.strip_prefix("http://").unwrap()).unwrap();
        let token = self.lab.client.token().unwrap();
        let mut head =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n")
                .into_bytes();
        head.extend_from_slice(headers);
        head.extend_from_slice(b"\r\n");
        // An answer may come, and the connection go, before all of a long head is sent.
        let _ = connection.write_all(&head);
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("no answer to {path}: {answer:?}")), answer)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_are_too_long_doubled_or_no_text_are_passed_over_or_refused() {
    let story = Story::licensed().await;
    if story.is_in_a_bucket() {
        return; // what the bucket reads is the bucket's
    }
    let file = story.file("a.jsonl");
    // What cannot be one range is no range (RFC 9110, section 14.2): all is sent.
    for headers in [
        &b"Range: bytes=\xff\xfe-\r\n"[..],
        b"Range: bytes=0-0\r\nRange: bytes=1-1\r\n",
        b"Range: bytes=0-0\r\nIf-Range: \xff\r\n",
        b"Range: bytes=0-0\r\nIf-Range: \"stale\"\r\nIf-Range: \"staler\"\r\n",
        b"User-Agent: hf_hub/0.\xff\r\n",
        b"Accept-Encoding: \xff\r\nAccept-Encoding: gzip\r\n",
        b"X-Forwarded-For: \xff, \xfe\r\nForwarded: for=\xff\r\n",
    ] {
        let (status, answer) = story.raw(&file, headers);
        assert_eq!(status, 200, "{}: {answer}", String::from_utf8_lossy(headers));
        assert!(answer.ends_with("{\"text\":\"one\"}\n"), "{answer}");
    }
    let (status, answer) = story.raw(&file, b"Authorization: Bearer another\r\n");
    assert_eq!(status, 400, "{answer}");
    assert!(answer.contains("more than one Authorization header"), "{answer}");
    for long in [vec![b'x'; 20_000], vec![b'x'; 300_000]] {
        let headers = [b"X-Long: ".as_slice(), &long, b"\r\n"].concat();
        let (status, answer) = story.raw(&file, &headers);
        let expected: &[u16] = if long.len() > 100_000 { &[400, 413, 431] } else { &[200] };
        assert!(expected.contains(&status), "{} bytes: {answer}", long.len());
    }
    let many = b"X-Many: 1\r\n".repeat(1000);
    assert!([400, 431].contains(&story.raw(&file, &many).0));
    for broken in [&b"Content-Length: 1\r\nContent-Length: 2\r\n"[..], b"Bad Name: x\r\n", b": x\r\n", b"X: \0\r\n"] {
        let (status, answer) = story.raw(&file, broken);
        assert_eq!(status, 400, "{}: {answer}", String::from_utf8_lossy(broken));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_climb_hide_or_turn_round_are_of_nothing() {
    let story = Story::licensed().await;
    let hub = HubClient::of(&story.app, &story.lab);
    let odd =
        ["..", "%2e%2e", "..%2F..", "a%00b", "%00", "%E2%80%AEsmeop", "%E2%81%A6poems", "%FF%FE", "poems%2F", "%25"];
    for name in odd {
        for path in [
            format!("/datasets/poetry-house/{name}/resolve/main/a.jsonl"),
            format!("/api/datasets/poetry-house/{name}"),
        ] {
            let (status, answer) = story.raw(&path, b"");
            assert_eq!(status, 404, "{path}: {answer}");
        }
        let (status, answer) = story.raw(&format!("{RESOLVE}/{name}/a.jsonl"), b"");
        assert!(status == 404, "{name}: {answer}");
        for method in [Method::GET, Method::HEAD] {
            let file = format!("{RESOLVE}/main/x{name}");
            let answer = hub.send(method, &file, &[], None).await;
            assert!(answer.status == StatusCode::NOT_FOUND, "{file}: {answer:?}");
        }
        let form = format!("paths={name}&paths=a.jsonl");
        let found = hub.send(Method::POST, &format!("{REPO}/paths-info/main"), &[], Some(&form)).await;
        assert_eq!(found.json().as_array().unwrap().len(), 1, "{name}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_is_not_there_is_told_with_the_size() {
    let story = Story::licensed().await;
    if story.is_in_a_bucket() {
        return; // the bucket answers them
    }
    let hub = HubClient::of(&story.app, &story.lab);
    let (file, empty) = (story.file("a.jsonl"), story.file("empty.jsonl"));
    let size = ONE.len();
    let past = format!("bytes={size}-{size}");
    for (file, range, of) in [
        (&empty, "bytes=0-", 0),
        (&empty, "bytes=0-0", 0),
        (&empty, "bytes=-1", 0),
        (&empty, "bytes=-0", 0),
        (&file, past.as_str(), size),
        (&file, "bytes=18446744073709551614-18446744073709551615", size),
        (&file, "bytes=-0", size),
    ] {
        let answer = hub.send(Method::GET, file, &[("Range", range)], None).await;
        assert_eq!(answer.status, StatusCode::RANGE_NOT_SATISFIABLE, "{range}: {answer:?}");
        assert_eq!(answer.header("content-range"), Some(format!("bytes */{of}").as_str()), "{range}");
    }
    assert_eq!(hub.get(&empty).await.body, b"");
    let many = format!("bytes={}", vec!["0-0"; 2000].join(","));
    for range in
        ["bytes=0-1,3-4", "bytes=900-1000,2000-", "bytes=-1,-2", "bytes=", "bytes=-", "bytes=a-b", "=0-1", &many]
    {
        let answer = hub.send(Method::GET, &file, &[("Range", range)], None).await;
        assert_eq!((answer.status, answer.body.as_slice()), (StatusCode::OK, ONE), "{range}");
    }
    let etag = format!("\"{}\"", corpex::types::Digest::of(ONE));
    let weak = format!("W/{etag}");
    for if_range in [weak.as_str(), "\"stale\"", "*", "Thu, 01 Jan 1970 00:00:00 GMT", &etag[1..]] {
        let headers = [("Range", "bytes=0-1"), ("If-Range", if_range)];
        let answer = hub.send(Method::GET, &file, &headers, None).await;
        assert_eq!((answer.status, answer.body.as_slice()), (StatusCode::OK, ONE), "{if_range}");
    }
    let suffix = hub.send(Method::GET, &file, &[("Range", "bytes=-999999"), ("If-Range", &etag)], None).await;
    assert_eq!((suffix.status, suffix.body.as_slice()), (StatusCode::PARTIAL_CONTENT, ONE));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_file_is_delivered_when_it_is_described() {
    let story = Story::licensed().await;
    let hub = HubClient::of(&story.app, &story.lab);
    let licences = story.lab.get("/v1/entitlements").await.unwrap();
    let order = format!("/v1/orders/{}", licences["items"][0]["order_id"].as_str().unwrap());
    let state = async || story.lab.get(&order).await.unwrap()["state"].clone();
    hub.get(&story.file("a.jsonl")).await;
    assert_eq!(state().await, "delivering");
    let unchanged = hub.send(Method::HEAD, &story.file("empty.jsonl"), &[("If-None-Match", "*")], None).await;
    assert_eq!(
        (unchanged.status, state().await),
        (StatusCode::NOT_MODIFIED, "delivering".into()),
        "it is there already"
    );
    let told = hub.send(Method::HEAD, &story.file("empty.jsonl"), &[], None).await;
    assert_eq!((told.status, told.header("x-linked-size")), (StatusCode::OK, Some("0")));
    assert_eq!(state().await, "delivered", "clients do not ask for what they have");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_stops_the_next_request_of_a_download() {
    let story = Story::licensed().await;
    let (file, card) = (story.file("a.jsonl"), story.file("README.md"));
    for is_revoked in [true, false] {
        let made = story.lab.post("/v1/tokens", &token_wish("read", 1)).await.unwrap();
        let hub = HubClient::new(&story.app, made["token"].as_str());
        let part = async |range: &str| hub.send(Method::GET, &file, &[("Range", range)], None).await;
        let begun = part("bytes=0-0").await;
        assert!([StatusCode::PARTIAL_CONTENT, StatusCode::FOUND].contains(&begun.status), "{begun:?}");
        if is_revoked {
            let path = format!("/v1/tokens/{}", made["id"].as_str().unwrap());
            story.lab.client.delete(path).send::<Value>().await.unwrap();
        }
        story.app.clock.advance(if is_revoked { Duration::from_secs(5) } else { DAY });
        for answer in [part("bytes=1-1").await, hub.get(&card).await, hub.send(Method::HEAD, &file, &[], None).await] {
            let why = answer.refused(401, None).header("x-error-message");
            assert_eq!(why, Some("Invalid credentials in Authorization header"), "{is_revoked}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_may_be_long_and_nothing_in_it_is_syntax() {
    let story = Story::licensed().await;
    let hub = HubClient::of(&story.app, &story.lab);
    let long = "x".repeat(10 * 1024);
    for path in
        [format!("{REPO}?{long}"), format!("{REPO}/tree/main?expand={long}"), format!("/api/datasets?filter={long}")]
    {
        assert_eq!(hub.get(&path).await.status, StatusCode::OK);
    }
    let resolved = hub.get(&format!("{}?download={long}", story.file("a.jsonl"))).await;
    assert!(resolved.status.is_success() || resolved.status == StatusCode::FOUND, "{resolved:?}");
    let why = hub.get(&format!("/api/datasets?search={long}")).await;
    assert!(why.refused(422, None).header("x-error-message").unwrap().contains("at most 200 characters"), "{why:?}");
    hub.get(&format!("/api/datasets?cursor={long}")).await.refused(422, None);
    // A name may be long, too, and is not said back whole in a header.
    let (name, turned) = (&long, "%E2%80%AE".repeat(1000));
    for (path, code, why) in [
        (format!("{REPO}/revision/{name}"), "RevisionNotFound", "Invalid rev id: xxx"),
        (format!("{REPO}/tree/main/{turned}"), "EntryNotFound", "Entry not found: \\u{202e}\\u{202e}"),
        (format!("{RESOLVE}/main/{turned}"), "EntryNotFound", "Entry not found: \\u{202e}\\u{202e}"),
    ] {
        let answer = hub.get(&path).await;
        let said = answer.refused(404, Some(code)).header("x-error-message").unwrap();
        assert!(said.starts_with(why) && said.len() <= 1000, "{said}");
    }
    for words in
        ["*:*", "title:\"", "poems AND (", "[a TO z}", "+poems -", "a~^9", "\\", "\u{202e}poems", "' OR 1=1 --", "%"]
    {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("search", words).finish();
        let found = hub.json(&format!("/api/datasets?{query}")).await;
        assert!(found.as_array().unwrap().len() <= 1, "{words}: {found}");
    }
}
