//! One suite for every object store: what the store promises is promised by each of them.
//!
//! It runs on a directory, on an S3 service inside this process, and, where `TEST_S3_ENDPOINT`, `TEST_S3_BUCKET`,
//! `TEST_S3_REGION` and `AWS_*` credentials are set, on a real one.

use std::time::Duration;

use actix_web::web::{self, Data};
use actix_web::{App as HttpApp, HttpRequest, HttpResponse, HttpServer};
use bytes::Bytes;
use corpex::app::App;
use corpex::config::Config;
use corpex::error::Kind;
use corpex::keys::ExchangeKeys;
use corpex::store::{Part, S3Credentials, StorageKey, Store, part_count, part_size_for};
use corpex::types::{Clock, Digest, Instant};
use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::StatusCode;
use reqwest::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE,
    RANGE,
};
use tempfile::TempDir;
use url::Url;

use crate::support::use_bucket_of_the_environment;

const TTL: Duration = Duration::from_secs(300);
const PART: u64 = 5 * 1024 * 1024;

#[tokio::test]
async fn the_local_store_keeps_its_promises() {
    let server = LocalServer::start().await;
    suite(server.store.clone()).await;
    local_answers(&server.store).await;
    let left: Vec<_> = std::fs::read_dir(server.data_dir.path().join("objects/temporary")).unwrap().collect();
    assert!(left.is_empty(), "nothing temporary is left: {left:?}");
}

#[tokio::test]
async fn an_s3_service_in_this_process_keeps_the_promises() {
    let (_root, store) = s3_in_this_process().await;
    suite(store).await;
}

#[tokio::test]
async fn the_s3_service_of_the_environment_keeps_the_promises() {
    let Some(config) = s3_of_the_environment() else { return };
    let store = Store::open(&config, &ExchangeKeys::generate()).await.unwrap();
    suite(store.clone()).await;
    more_parts_than_one_page(&store).await;
}

#[tokio::test]
async fn an_unreachable_s3_service_is_unavailable_and_not_missing() {
    let config = Config { s3_endpoint: Some("http://127.0.0.1:1".into()), ..embedded() };
    let store = Store::open_bucket(&config, "bucket", credentials()).await.unwrap();
    let key = key();
    assert_eq!(store.head(&key).await.unwrap_err().kind, Kind::Unavailable);
    assert_eq!(store.check().await.unwrap_err().kind, Kind::Unavailable);
    assert_eq!(store.complete_multipart(&key, "x", &[part(1, 1)]).await.unwrap_err().kind, Kind::Unavailable);
}

#[tokio::test]
async fn a_completion_that_fails_once_its_answer_has_begun_says_whether_to_try_again() {
    for (code, kind) in [("InternalError", Kind::Unavailable), ("InvalidPart", Kind::WrongState)] {
        let store = s3_that_fails_late(code).await;
        let error = store.complete_multipart(&key(), "upload", &[part(1, 1)]).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error:?}");
    }
}

#[tokio::test]
async fn a_bucket_is_addressed_by_path_or_by_host_as_configured() {
    let endpoint = Config { s3_endpoint: Some("https://s3.example:3900".into()), ..embedded() };
    let virtual_host = Config { s3_virtual_host: true, ..endpoint.clone() };
    let aws = Config { s3_region: Some("eu-west-3".into()), ..embedded() };
    for (config, expected) in [
        (endpoint, "https://s3.example:3900/corpus/objects/"),
        (virtual_host, "https://corpus.s3.example:3900/objects/"),
        (aws, "https://corpus.s3.eu-west-3.amazonaws.com/objects/"),
    ] {
        let store = Store::open_bucket(&config, "corpus", credentials()).await.unwrap();
        let url = store.url(&key(), "text/plain", "a.txt", TTL, now()).await.unwrap();
        assert!(url.as_str().starts_with(expected), "{url}");
        assert!(!url.as_str().to_lowercase().contains("checksum"), "{url}");
        let url = store.part_url(&key(), "upload", 1, 5, TTL, now()).await.unwrap();
        assert!(url.as_str().contains("X-Amz-SignedHeaders=content-length%3Bhost&"), "{url}");
    }
}

#[tokio::test]
async fn an_endpoint_without_a_bucket_is_refused_with_what_to_do() {
    let config = Config { s3_endpoint: Some("http://127.0.0.1:3900".into()), ..embedded() };
    let error = Store::open(&config, &ExchangeKeys::generate()).await.unwrap_err();
    assert!(error.remedy.unwrap().contains("--s3-bucket"));
}

/// What every store must do.
async fn suite(store: Store) {
    store.check().await.unwrap();
    parts_come_in_any_order(&store).await;
    an_upload_can_be_resumed_and_a_part_replaced(&store).await;
    completing_twice_is_as_good_as_once(&store).await;
    missing_parts_are_refused_and_lose_nothing(&store).await;
    an_object_may_have_no_bytes(&store).await;
    small_objects_are_put_read_and_deleted(&store).await;
    ranges_are_read_within_the_object(&store).await;
    an_aborted_upload_is_gone(&store).await;
    what_is_not_there_is_missing(&store).await;
    a_download_has_a_type_and_a_name_and_ranges(&store).await;
    links_permit_one_thing_until_they_expire(&store).await;
    a_part_has_the_size_its_link_was_signed_for(&store).await;
    whoever_has_many_links_signed_lets_others_have_their_turn(&store).await;
}

async fn parts_come_in_any_order(store: &Store) {
    let (key, bytes) = (key(), content(2 * PART + 77));
    let upload = Upload::begin(store, &key).await;
    for (number, range) in [(3, 2 * PART..2 * PART + 77), (1, 0..PART), (2, PART..2 * PART)] {
        upload.put(number, slice(&bytes, range)).await;
    }
    let parts = upload.parts().await;
    assert_eq!(parts.iter().map(|p| (p.number, p.size_bytes)).collect::<Vec<_>>(), [(1, PART), (2, PART), (3, 77)]);
    let reversed: Vec<_> = parts.into_iter().rev().collect();
    store.complete_multipart(&key, &upload.id, &reversed).await.unwrap();
    assert_eq!(store.head(&key).await.unwrap().unwrap().size_bytes, 2 * PART + 77);
    assert!(read(store, &key, None).await == bytes, "the object is its parts in their order");
    for range in [PART - 1..PART + 1, 7..2 * PART + 7, PART..2 * PART, 2 * PART + 76..2 * PART + 77, PART..PART] {
        assert!(read(store, &key, Some(range.clone())).await == slice(&bytes, range.clone()), "{range:?}");
    }
    let beyond = store.read(&key, Some(2 * PART..2 * PART + 78)).await.err().unwrap();
    assert_eq!(beyond.kind, Kind::RangeNotSatisfiable);
    let answer = http().get(download(store, &key).await).send().await.unwrap();
    assert!(answer.bytes().await.unwrap() == bytes);
    for _ in ["once", "and again"] {
        store.delete(&key).await.unwrap();
        assert_eq!(store.head(&key).await.unwrap(), None);
    }
}

async fn an_upload_can_be_resumed_and_a_part_replaced(store: &Store) {
    let (key, bytes) = (key(), content(PART + 9));
    let upload = Upload::begin(store, &key).await;
    assert_eq!(upload.parts().await, []);
    upload.put(2, Bytes::from_static(b"too early, and other bytes")).await;
    assert_eq!(upload.parts().await.len(), 1, "a client that comes back learns what stands");
    upload.put(1, slice(&bytes, 0..PART)).await;
    upload.put(2, slice(&bytes, PART..PART + 9)).await;
    let parts = upload.parts().await;
    assert_eq!(parts.iter().map(|p| (p.number, p.size_bytes)).collect::<Vec<_>>(), [(1, PART), (2, 9)]);
    store.complete_multipart(&key, &upload.id, &parts).await.unwrap();
    assert!(read(store, &key, None).await == bytes);
    store.delete(&key).await.unwrap();
}

async fn completing_twice_is_as_good_as_once(store: &Store) {
    let key = key();
    let upload = Upload::begin(store, &key).await;
    upload.put(1, Bytes::from_static(b"once")).await;
    let parts = upload.parts().await;
    store.complete_multipart(&key, &upload.id, &parts).await.unwrap();
    let first = store.head(&key).await.unwrap();
    store.complete_multipart(&key, &upload.id, &parts).await.unwrap();
    assert_eq!(store.head(&key).await.unwrap(), first, "the object was not touched again");
    assert!(upload.try_put(1, Bytes::from_static(b"late")).await.is_client_error(), "the links are dead");
    assert_eq!(read(store, &key, None).await, "once");
    match store.parts(&key, &upload.id).await {
        Ok(parts) => assert_eq!(parts, []),
        Err(error) => assert_eq!(error.kind, Kind::NotFound),
    }
    store.delete(&key).await.unwrap();
}

async fn missing_parts_are_refused_and_lose_nothing(store: &Store) {
    let key = key();
    let upload = Upload::begin(store, &key).await;
    upload.put(2, Bytes::from_static(b"second")).await;
    for (parts, kind) in [(upload.parts().await, Kind::Invalid), (vec![], Kind::WrongState)] {
        let error = store.complete_multipart(&key, &upload.id, &parts).await.unwrap_err();
        assert_eq!((error.kind, error.field.as_deref()), (kind, Some("parts")));
    }
    assert_eq!(store.head(&key).await.unwrap(), None);
    assert_eq!(upload.parts().await.len(), 1);
    store.abort_multipart(&key, &upload.id).await.unwrap();
}

async fn an_object_may_have_no_bytes(store: &Store) {
    let (uploaded, put) = (key(), key());
    assert_eq!(part_count(0, part_size_for(0)), 0, "there is nothing to send");
    let upload = Upload::begin(store, &uploaded).await;
    for _ in ["once", "and again"] {
        store.complete_multipart(&uploaded, &upload.id, &[]).await.unwrap();
    }
    store.put(&put, Bytes::new()).await.unwrap();
    for key in [uploaded, put] {
        assert_eq!(store.head(&key).await.unwrap().unwrap().size_bytes, 0);
        assert_eq!(read(store, &key, None).await, "");
        assert_eq!(read(store, &key, Some(0..0)).await, "");
        let answer = http().get(download(store, &key).await).send().await.unwrap();
        assert_eq!((answer.status(), answer.bytes().await.unwrap()), (StatusCode::OK, Bytes::new()));
        store.delete(&key).await.unwrap();
    }
}

async fn small_objects_are_put_read_and_deleted(store: &Store) {
    let key = key();
    store.put(&key, Bytes::from_static(b"first")).await.unwrap();
    let first = store.head(&key).await.unwrap().unwrap();
    store.put(&key, Bytes::from_static(b"second")).await.unwrap();
    let second = store.head(&key).await.unwrap().unwrap();
    assert_ne!(first.etag, second.etag, "other content has another mark");
    assert_eq!(read(store, &key, None).await, "second");
    store.delete(&key).await.unwrap();
    store.delete(&key).await.unwrap();
    assert_eq!(store.head(&key).await.unwrap(), None);
}

async fn ranges_are_read_within_the_object(store: &Store) {
    let (key, bytes) = (key(), content(3_000_000));
    store.put(&key, bytes.clone()).await.unwrap();
    for range in [0..1, 2_999_999..3_000_000, 1_000_000..2_500_000, 7..7, 0..3_000_000] {
        assert!(read(store, &key, Some(range.clone())).await == slice(&bytes, range.clone()), "{range:?}");
    }
    for range in [0..3_000_001, 3_000_000..3_000_001, 4_000_000..4_000_000, 4_000_000..5_000_000] {
        let error = store.read(&key, Some(range.clone())).await.err().unwrap();
        assert_eq!(error.kind, Kind::RangeNotSatisfiable, "{range:?}");
    }
    let mut pieces = store.read(&key, None).await.unwrap();
    pieces.next().await.unwrap().unwrap();
    drop(pieces); // A reader may leave early.
    store.delete(&key).await.unwrap();
}

async fn an_aborted_upload_is_gone(store: &Store) {
    let key = key();
    let upload = Upload::begin(store, &key).await;
    upload.put(1, Bytes::from_static(b"in vain")).await;
    let parts = upload.parts().await;
    store.abort_multipart(&key, &upload.id).await.unwrap();
    assert!(store.complete_multipart(&key, &upload.id, &parts).await.is_err());
    assert_eq!(store.head(&key).await.unwrap(), None);
    assert!(upload.try_put(1, Bytes::from_static(b"in vain")).await.is_client_error());
}

async fn what_is_not_there_is_missing(store: &Store) {
    let key = key();
    assert_eq!(store.head(&key).await.unwrap(), None);
    for range in [None, Some(0..1), Some(0..0)] {
        assert_eq!(store.read(&key, range).await.err().unwrap().kind, Kind::NotFound);
    }
    let answer = http().get(download(store, &key).await).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}

async fn a_download_has_a_type_and_a_name_and_ranges(store: &Store) {
    let (key, bytes) = (key(), content(2_500_000));
    store.put(&key, bytes.clone()).await.unwrap();
    let url = store.url(&key, "application/jsonl", "训练 \"1\".jsonl", TTL, now()).await.unwrap();
    let whole = http().get(url.clone()).send().await.unwrap();
    assert_eq!(whole.status(), StatusCode::OK);
    assert_eq!(whole.headers()[CONTENT_TYPE], "application/jsonl");
    assert_eq!(whole.headers()[CONTENT_LENGTH], "2500000");
    assert!(whole.headers().get(CONTENT_ENCODING).is_none());
    let disposition = whole.headers()[CONTENT_DISPOSITION].to_str().unwrap();
    assert_eq!(
        disposition,
        "attachment; filename=\"__ _1_.jsonl\"; filename*=UTF-8''%E8%AE%AD%E7%BB%83%20%221%22.jsonl"
    );
    assert!(whole.bytes().await.unwrap() == bytes);
    for (range, start, end) in [
        ("bytes=5-8", 5, 9),
        ("bytes=2499999-", 2_499_999, 2_500_000),
        ("bytes=-3", 2_499_997, 2_500_000),
        ("bytes=9-9999999", 9, 2_500_000),
    ] {
        let answer = http().get(url.clone()).header(RANGE, range).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(answer.headers()[CONTENT_RANGE], format!("bytes {start}-{}/2500000", end - 1), "{range}");
        assert!(answer.bytes().await.unwrap() == slice(&bytes, start..end), "{range}");
    }
    let beyond = http().get(url).header(RANGE, "bytes=2500000-").send().await.unwrap();
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    store.delete(&key).await.unwrap();
}

async fn links_permit_one_thing_until_they_expire(store: &Store) {
    let (key, other) = (key(), key());
    for key in [&key, &other] {
        store.put(key, Bytes::from_static(b"secret")).await.unwrap();
    }
    let good = download(store, &key).await;
    let elsewhere = Url::parse(&good.as_str().replace(key.as_str(), other.as_str())).unwrap();
    let renamed = Url::parse(&good.as_str().replace("a.jsonl", "b.jsonl")).unwrap();
    let mut unsigned = good.clone();
    unsigned.set_query(None);
    let expired = store.url(&key, "application/jsonl", "a.jsonl", TTL, long_ago()).await.unwrap();
    for (what, url) in [("elsewhere", elsewhere), ("renamed", renamed), ("unsigned", unsigned), ("expired", expired)] {
        let answer = http().get(url).send().await.unwrap();
        assert!(answer.status().is_client_error(), "{what}: {}", answer.status());
        assert!(!answer.text().await.unwrap().contains("secret"), "{what}");
    }
    let put = http().put(good.clone()).body("other").send().await.unwrap();
    assert!(put.status().is_client_error(), "a link to read is not one to write");
    assert_eq!(http().get(good).send().await.unwrap().bytes().await.unwrap(), "secret");
    let upload = Upload::begin(store, &key).await;
    let link = store.part_url(&key, &upload.id, 1, 5, TTL, now()).await.unwrap();
    let expired = store.part_url(&key, &upload.id, 1, 5, TTL, long_ago()).await.unwrap();
    let other_part = match store {
        Store::Local(_) => link.as_str().replace("/1?", "/2?"),
        Store::S3(_) => link.as_str().replace("partNumber=1", "partNumber=2"),
    };
    assert_ne!(other_part, link.as_str());
    for (what, url) in [("expired", expired), ("another part", Url::parse(&other_part).unwrap())] {
        let answer = http().put(url).body("12345").send().await.unwrap();
        assert!(answer.status().is_client_error(), "{what}: {}", answer.status());
    }
    assert_eq!(upload.parts().await, []);
    store.abort_multipart(&key, &upload.id).await.unwrap();
    store.delete(&key).await.unwrap();
    store.delete(&other).await.unwrap();
}

async fn a_part_has_the_size_its_link_was_signed_for(store: &Store) {
    let key = key();
    let upload = Upload::begin(store, &key).await;
    let link = store.part_url(&key, &upload.id, 1, 5, TTL, now()).await.unwrap();
    for body in ["1234", "123456", ""] {
        let answer = http().put(link.clone()).body(body).send().await.unwrap();
        assert!(answer.status().is_client_error(), "{body:?}: {}", answer.status());
    }
    assert_eq!(upload.parts().await, []);
    let answer = http().put(link).body("12345").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(upload.parts().await.len(), 1);
    for number in [0, 10_001] {
        let error = store.part_url(&key, &upload.id, number, 5, TTL, now()).await.unwrap_err();
        assert_eq!(error.field.as_deref(), Some("number"));
    }
    store.abort_multipart(&key, &upload.id).await.unwrap();
}

async fn whoever_has_many_links_signed_lets_others_have_their_turn(store: &Store) {
    let key = key();
    let upload = Upload::begin(store, &key).await;
    let other = tokio::spawn(async {});
    for number in 1..=1000 {
        store.part_url(&key, &upload.id, number, 5, TTL, now()).await.unwrap();
    }
    assert!(other.is_finished(), "the test has one thread");
    let other = tokio::spawn(async {});
    for _ in 1..=1000 {
        download(store, &key).await;
    }
    assert!(other.is_finished());
    store.abort_multipart(&key, &upload.id).await.unwrap();
}

/// A listing of S3 has at most 1,000 parts a page.
async fn more_parts_than_one_page(store: &Store) {
    let key = key();
    let upload = &Upload::begin(store, &key).await;
    let numbers = futures_util::stream::iter(1..=255);
    numbers.for_each_concurrent(16, |number| upload.put(number, Bytes::from_static(b"x"))).await;
    let parts = upload.parts().await;
    assert_eq!(parts.iter().map(|part| part.number).collect::<Vec<_>>(), (1..=255).collect::<Vec<_>>());
    store.abort_multipart(&key, &upload.id).await.unwrap();
}

/// What the exchange's own server says, beyond what S3 does.
async fn local_answers(store: &Store) {
    let key = key();
    let upload = Upload::begin(store, &key).await;
    let link = store.part_url(&key, &upload.id, 1, 5, TTL, now()).await.unwrap();
    let answer = http().put(link.clone()).body("12345").send().await.unwrap();
    let mark = Digest::of("12345").to_string();
    assert_eq!(answer.headers()[ETAG], format!("\"{mark}\""));
    assert_eq!(upload.parts().await[0].etag, mark);

    // A body without a declared length is counted as it comes.
    for (chunks, expected) in [(&["123", "456"][..], 413), (&["123"], 422), (&["12", "345"], 200)] {
        let chunks = chunks.iter().map(|chunk| Ok::<_, std::io::Error>(Bytes::from_static(chunk.as_bytes())));
        let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks.collect::<Vec<_>>()));
        let answer = http().put(link.clone()).body(body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), expected);
    }
    let late = store.part_url(&key, &upload.id, 1, 5, TTL, long_ago()).await.unwrap();
    let refusal = http().put(late).body("12345").send().await.unwrap();
    assert_eq!(refusal.status(), StatusCode::FORBIDDEN);
    let problem: serde_json::Value = refusal.json().await.unwrap();
    assert_eq!(problem["detail"], "this link has expired");
    assert_eq!(problem["remedy"], "ask the exchange for a new link");
    store.complete_multipart(&key, &upload.id, &upload.parts().await).await.unwrap();

    let url = download(store, &key).await;
    let head = http().head(url.clone()).send().await.unwrap();
    assert_eq!((head.status(), head.headers()[CONTENT_LENGTH].to_str().unwrap()), (StatusCode::OK, "5"));
    assert_eq!(head.headers()[ACCEPT_RANGES], "bytes");
    assert_eq!(head.headers()["x-content-type-options"], "nosniff");
    let mark = head.headers()[ETAG].clone();
    for (mark, expected) in [(mark.to_str().unwrap(), 206), ("\"another\"", 200)] {
        let request = http().get(url.clone()).header(RANGE, "bytes=1-2").header(IF_RANGE, mark);
        assert_eq!(request.send().await.unwrap().status().as_u16(), expected);
    }
    let several = http().get(url.clone()).header(RANGE, "bytes=0-0,2-2").send().await.unwrap();
    assert_eq!((several.status(), several.text().await.unwrap()), (StatusCode::OK, "12345".into()));
    let beyond = http().get(url.clone()).header(RANGE, "bytes=5-").send().await.unwrap();
    assert_eq!(beyond.headers()[CONTENT_RANGE], "bytes */5");
    assert_eq!(beyond.headers()[CONTENT_TYPE], "application/problem+json");

    for trick in [
        "/objects/../uploads/x",
        "/objects/..%2f..%2fcorpex.sqlite3",
        "/objects/ab/..%2F..",
        "/objects/parts/..%2f..%2fx/1",
    ] {
        let mut url = url.clone();
        let query = url.query().unwrap().to_string();
        url = Url::parse(&format!("{}{trick}?{query}", url.origin().ascii_serialization())).unwrap();
        assert!(http().get(url.clone()).send().await.unwrap().status().is_client_error(), "{trick}");
        assert!(http().put(url).body("x").send().await.unwrap().status().is_client_error(), "{trick}");
    }
    let other = self::key();
    assert_eq!(store.parts(&other, "../../x").await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(store.parts(&other, &upload.id).await.unwrap_err().kind, Kind::NotFound);
    store.delete(&key).await.unwrap();
}

/// An upload through its links, as a client makes it.
struct Upload<'a> {
    store: &'a Store,
    key: &'a StorageKey,
    id: String,
}

impl<'a> Upload<'a> {
    async fn begin(store: &'a Store, key: &'a StorageKey) -> Self {
        Self { store, key, id: store.begin_multipart(key).await.unwrap() }
    }
    async fn try_put(&self, number: u32, bytes: Bytes) -> StatusCode {
        let size_bytes = bytes.len().try_into().unwrap();
        let url = self.store.part_url(self.key, &self.id, number, size_bytes, TTL, now()).await.unwrap();
        let answer = http().put(url).body(bytes).send().await.unwrap();
        assert!(!answer.status().is_success() || answer.headers().contains_key(ETAG));
        answer.status()
    }
    async fn put(&self, number: u32, bytes: Bytes) {
        assert_eq!(self.try_put(number, bytes).await, StatusCode::OK, "part {number}");
    }
    async fn parts(&self) -> Vec<Part> {
        self.store.parts(self.key, &self.id).await.unwrap()
    }
}

async fn download(store: &Store, key: &StorageKey) -> Url {
    store.url(key, "application/jsonl", "a.jsonl", TTL, now()).await.unwrap()
}

async fn read(store: &Store, key: &StorageKey, range: Option<std::ops::Range<u64>>) -> Bytes {
    let pieces: Vec<Bytes> = store.read(key, range).await.unwrap().try_collect().await.unwrap();
    pieces.concat().into()
}

fn http() -> reqwest::Client {
    corpex::outgoing::prepare_tls();
    reqwest::Client::new()
}

fn now() -> Instant {
    Clock::default().now()
}
fn long_ago() -> Instant {
    Instant::from_unix_micros(now().unix_micros() - 3_600_000_000)
}
fn key() -> StorageKey {
    StorageKey::new(now())
}
fn part(number: u32, size_bytes: u64) -> Part {
    Part { number, size_bytes, etag: String::new() }
}
/// Bytes of which no two pieces are alike.
fn content(size: u64) -> Bytes {
    (0..size)
        .flat_map(|n| {
            (n / 8).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes().into_iter().nth(usize::try_from(n % 8).unwrap())
        })
        .collect()
}
fn slice(bytes: &Bytes, range: std::ops::Range<u64>) -> Bytes {
    bytes.slice(range.start as usize..range.end as usize)
}
fn embedded() -> Config {
    Config::embedded(std::path::Path::new("/nonexistent"))
}
fn credentials() -> S3Credentials {
    S3Credentials { access_key_id: "AKIAIOSFODNN7EXAMPLE".into(), secret_access_key: "not-a-secret".into() }
}

/// The store's own routes on a free port of this machine.
struct LocalServer {
    store: Store,
    data_dir: TempDir,
    running: actix_web::dev::ServerHandle,
}

impl LocalServer {
    async fn start() -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let config = Config { listen: listener.local_addr().unwrap(), ..Config::embedded(data_dir.path()) };
        let app = App::open(config).await.unwrap();
        let (store, data) = (app.store.clone(), Data::new(app));
        let routes = move || HttpApp::new().app_data(data.clone()).configure(corpex::server::routes::own);
        let server = HttpServer::new(routes).workers(1).disable_signals().listen(listener).unwrap().run();
        let running = server.handle();
        tokio::spawn(server);
        Self { store, data_dir, running }
    }
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        drop(self.running.stop(false));
    }
}

/// An S3 service over a directory, in this process.
async fn s3_in_this_process() -> (TempDir, Store) {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("corpus")).unwrap();
    let S3Credentials { access_key_id, secret_access_key } = credentials();
    let mut service = s3s::service::S3ServiceBuilder::new(s3s_fs::FileSystem::new(root.path()).unwrap());
    service.set_auth(s3s::auth::SimpleAuth::from_single(access_key_id, secret_access_key));
    let service = service.build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let executor = hyper_util::rt::TokioExecutor::new();
        let http = hyper_util::server::conn::auto::Builder::new(executor);
        while let Ok((socket, _)) = listener.accept().await {
            let connection = http.serve_connection(hyper_util::rt::TokioIo::new(socket), service.clone()).into_owned();
            tokio::spawn(connection);
        }
    });
    let config = Config { s3_endpoint: Some(endpoint), ..embedded() };
    let store = Store::open_bucket(&config, "corpus", credentials()).await.unwrap();
    (root, store)
}

/// An S3 service that answers 200 to every completion, with this error in the body, and holds no object.
async fn s3_that_fails_late(code: &'static str) -> Store {
    let answer = move |request: HttpRequest| async move {
        match request.method().as_str() {
            "POST" => HttpResponse::Ok().content_type("application/xml").body(format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>It failed</Message></Error>"
            )),
            _ => HttpResponse::NotFound().finish(),
        }
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let routes = move || HttpApp::new().default_service(web::to(answer));
    tokio::spawn(HttpServer::new(routes).workers(1).disable_signals().listen(listener).unwrap().run());
    let config = Config { s3_endpoint: Some(endpoint), ..embedded() };
    Store::open_bucket(&config, "corpus", credentials()).await.unwrap()
}

fn s3_of_the_environment() -> Option<Config> {
    let mut config = embedded();
    use_bucket_of_the_environment(&mut config);
    config.s3_bucket.is_some().then_some(config)
}
