//! The HTTP side of every client command: one place for credentials, retries and what the server's problems mean.

use std::time::Duration;

use reqwest::{Method, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::attempts::{Attempts, may_pass};
use super::output::Out;
use crate::config::is_bare;
use crate::error::{Error, Kind, Problem, Result};
use crate::outgoing;
use crate::types::{Cursor, Page};

/// A request is sent this often before the command gives up.
const ATTEMPTS: u32 = 6;
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// The longest wait for an answer to begin, and between two pieces of it.
const READ_LIMIT: Duration = Duration::from_secs(60);
/// A body gets as much more time as it takes at this pace, which is slow for one of several that share a line.
const SLOWEST_BYTES_PER_SECOND: u64 = 8 * 1024;

/// A connection to one exchange, as one caller.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    /// For requests with a body, each with a time limit of its own: a limit to the wait for an answer would count the sending, too.
    sending: reqwest::Client,
    server: String,
    token: Option<String>,
}

/// A request that is being put together.
pub struct Request<'a> {
    client: &'a Client,
    method: Method,
    path: String,
    body: Option<bytes::Bytes>,
    headers: Vec<(&'static str, String)>,
    repeatable: bool,
}

/// Why an attempt failed.
struct Failed {
    error: Error,
    /// Whether the server has certainly done nothing.
    without_effect: bool,
}

impl Client {
    /// A client of the exchange at `server`, with the credential to present, if any.
    pub fn new(server: &str, token: Option<String>) -> Result<Self> {
        let url = base(server).map_err(|error| {
            Error::invalid("--server", format!("{server:?} is not a URL such as https://exchange.example: {error}"))
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Error::invalid("--server", format!("{server:?} must begin with https:// or http://")));
        }
        // It is shown and remembered: what it holds beside the way to the server may be secret.
        if !is_bare(&url) {
            let detail = "the URL of an exchange has no user name, no password and nothing after its path";
            return Err(Error::invalid("--server", detail).remedy("give a token with --token or CORPEX_TOKEN"));
        }
        let http = outgoing::client(|client| client.connect_timeout(CONNECT_LIMIT).read_timeout(READ_LIMIT))?;
        let sending = outgoing::client(|client| client.connect_timeout(CONNECT_LIMIT))?;
        Ok(Self { http, sending, server: server.trim_end_matches('/').to_string(), token })
    }

    /// The same server, with another credential.
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self.clone() }
    }
    /// The credential that it shows, if any.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Where this client's exchange is.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Reads `path`.
    pub fn get(&self, path: impl Into<String>) -> Request<'_> {
        self.request(Method::GET, path, true)
    }
    /// Creates or does something; repeated only when it cannot have had an effect, unless it has a key.
    pub fn post(&self, path: impl Into<String>) -> Request<'_> {
        self.request(Method::POST, path, false)
    }
    /// Puts something in its place.
    pub fn put(&self, path: impl Into<String>) -> Request<'_> {
        self.request(Method::PUT, path, true)
    }
    /// Removes something.
    pub fn delete(&self, path: impl Into<String>) -> Request<'_> {
        self.request(Method::DELETE, path, true)
    }

    /// Reads a whole list, page by page. `path` may carry a query already.
    pub async fn get_all<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut all = Vec::new();
        let mut cursor = None;
        loop {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("limit", "1000").extend_pairs(cursor.iter().map(|cursor: &Cursor| ("cursor", &cursor.0)));
            let page: Page<T> = self.get(format!("{path}{separator}{}", query.finish())).send().await?;
            all.extend(page.items);
            match page.next {
                Some(next) if cursor.as_ref() == Some(&next) => {
                    return Err(Error::new(Kind::Malformed, format!("a page of the list {path} leads to itself")));
                }
                Some(next) => cursor = Some(next),
                None => return Ok(all),
            }
        }
    }

    fn request(&self, method: Method, path: impl Into<String>, repeatable: bool) -> Request<'_> {
        Request { client: self, method, path: path.into(), body: None, headers: Vec::new(), repeatable }
    }
}

impl Request<'_> {
    /// Sends `body` as JSON.
    pub fn json<T: Serialize>(mut self, body: &T) -> Result<Self> {
        self.body = Some(serde_json::to_vec(body)?.into());
        Ok(self.header(header::CONTENT_TYPE.as_str(), "application/json"))
    }
    /// Sends raw bytes.
    pub fn bytes(mut self, body: impl Into<bytes::Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }
    /// Adds a header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
    /// Makes the request safe to repeat: the server acts once per key.
    pub fn idempotent(self, key: impl Into<String>) -> Self {
        self.safe_to_repeat().header("Idempotency-Key", key)
    }
    /// Says that doing this twice does no harm.
    pub fn safe_to_repeat(self) -> Self {
        Self { repeatable: true, ..self }
    }

    /// Sends the request and reads a JSON answer.
    pub async fn send<T: DeserializeOwned>(self) -> Result<T> {
        let bytes = self.whole().await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            Error::new(
                Kind::Malformed,
                format!("the server's answer is not what this version of corpex expects: {error}"),
            )
        })
    }

    /// Sends the request and gives the answer's text.
    pub async fn text(self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.whole().await?).into_owned())
    }

    /// Sends the request and gives all bytes of the answer.
    pub async fn whole(self) -> Result<bytes::Bytes> {
        self.read(reqwest::Response::bytes).await
    }

    /// Sends the request and gives a successful answer's head: its body may still break off.
    pub async fn response(self) -> Result<reqwest::Response> {
        self.read(|answer| std::future::ready(Ok(answer))).await
    }

    /// Sends the request, again where that is safe and may help, and gives what `read` takes from a successful answer. An answer
    /// that breaks off while it is read is a failed attempt like any other.
    pub(super) async fn read<T, F>(self, read: impl Fn(reqwest::Response) -> F) -> Result<T>
    where
        F: Future<Output = reqwest::Result<T>>,
    {
        let mut attempts = Attempts::at_most(ATTEMPTS);
        loop {
            let Failed { error, without_effect } = match self.attempt().await {
                Ok(answer) => match read(answer).await {
                    Ok(taken) => return Ok(taken),
                    Err(error) => Failed { error: broken(error), without_effect: false },
                },
                Err(failed) => failed,
            };
            if without_effect || self.repeatable && may_pass(&error) {
                attempts.wait_after(error).await?;
            } else if may_pass(&error) && error.remedy.is_none() {
                return Err(error.remedy("this may have been done: look whether it was before you send it again"));
            } else {
                return Err(error);
            }
        }
    }

    /// Sends the request once and gives a successful answer's head: for callers that count the attempts at something larger.
    pub(super) async fn once(self) -> Result<reqwest::Response> {
        self.attempt().await.map_err(|failed| failed.error)
    }

    async fn attempt(&self) -> Result<reqwest::Response, Failed> {
        match self.sent().await {
            Ok(answer) if answer.status().is_success() => Ok(answer),
            Ok(answer) => {
                let busy = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
                let without_effect = busy.contains(&answer.status());
                Err(Failed { error: self.refusal(answer).await, without_effect })
            }
            Err(error) => {
                let without_effect = error.is_connect();
                Err(Failed { error: unreachable(&self.whom(), &error), without_effect })
            }
        }
    }

    async fn sent(&self) -> reqwest::Result<reqwest::Response> {
        // Signed URLs are whole and carry their own permission; the token stays with the exchange's own paths.
        let is_link = self.is_link();
        let url = if is_link { self.path.clone() } else { format!("{}{}", self.client.server, self.path) };
        let http = if self.body.is_some() { &self.client.sending } else { &self.client.http };
        let mut request = http.request(self.method.clone(), url);
        if let (false, Some(token)) = (is_link, &self.client.token) {
            request = request.bearer_auth(token);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        request = match &self.body {
            Some(body) => request.timeout(time_to_send(body.len())).body(body.clone()),
            None if self.method == Method::POST => request.header(header::CONTENT_LENGTH, "0"),
            None => request,
        };
        request.send().await
    }

    /// Whether it goes to a signed URL, on the exchange or in a bucket, rather than to the exchange's own API.
    fn is_link(&self) -> bool {
        !self.path.starts_with('/')
    }

    /// The server that it goes to: of a signed URL the origin alone, for the rest is secret.
    fn whom(&self) -> String {
        match url::Url::parse(&self.path) {
            Ok(link) => link.origin().ascii_serialization(),
            Err(_) => self.client.server.clone(),
        }
    }

    /// The server's own words, where it gave a problem document.
    async fn refusal(&self, response: reqwest::Response) -> Error {
        let status = response.status();
        let wait = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let elsewhere = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let elsewhere = elsewhere.and_then(|url| url.strip_suffix(self.path.as_str()));
        let elsewhere = elsewhere.filter(|server| server.starts_with("http")).map(str::to_string);
        let bytes = response.bytes().await.unwrap_or_default();
        let error = match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => told(problem),
            Err(_) => {
                let detail = format!("the server {} answered {status}", self.whom());
                let error = Error::new(kind_of(status, self.is_link()), detail);
                match elsewhere {
                    Some(server) => error.remedy(format!("the exchange is at {server}: give that as --server")),
                    None => error,
                }
            }
        };
        match wait {
            Some(seconds) => error.retry_after(seconds),
            None => error,
        }
    }
}

/// The longest that a request with so many bytes of body may take, with its answer.
fn time_to_send(bytes: usize) -> Duration {
    READ_LIMIT + Duration::from_secs(u64::try_from(bytes).unwrap_or(u64::MAX) / SLOWEST_BYTES_PER_SECOND)
}

/// The URL below which a server's paths lie.
fn base(server: &str) -> Result<url::Url, url::ParseError> {
    url::Url::parse(server.trim_end_matches('/'))
}

/// Whether two ways to write a server's URL mean the same server.
pub(super) fn is_same_server(one: &str, other: &str) -> bool {
    base(one).is_ok_and(|one| base(other).is_ok_and(|other| one == other))
}

fn told(problem: Problem) -> Error {
    let kind = Kind::from_problem_type(&problem.r#type).unwrap_or(Kind::Internal);
    let error = Error::new(kind, problem.detail).field(problem.field.unwrap_or_default());
    match problem.remedy {
        Some(remedy) => error.remedy(remedy),
        None => error,
    }
}

/// The kind of error that a status stands for in an answer without a problem document: one of a bucket, or of a proxy.
fn kind_of(status: StatusCode, of_link: bool) -> Kind {
    match status {
        // A link that lapsed is forbidden to most buckets, and a bad request to Garage.
        StatusCode::BAD_REQUEST if of_link => Kind::Forbidden,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Kind::Forbidden,
        StatusCode::REQUEST_TIMEOUT => Kind::Timeout,
        StatusCode::TOO_MANY_REQUESTS => Kind::RateLimited,
        status if status.is_server_error() => Kind::Unavailable,
        _ => Kind::Internal,
    }
}

fn unreachable(server: &str, error: &reqwest::Error) -> Error {
    let mut cause = error as &dyn std::error::Error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Error::new(Kind::Unavailable, format!("the server {server} cannot be reached: {cause}"))
}

/// The error of an answer that broke off. It does not name the URL, which may be a signed one.
pub(super) fn broken(error: reqwest::Error) -> Error {
    Error::new(Kind::Unavailable, format!("the connection broke: {}", error.without_url()))
}

/// Whether an answer is declared to be one JSON document, rather than lines of JSON.
pub(super) fn is_json(answer: &reqwest::Response) -> bool {
    let said = answer.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = said.split(';').next().unwrap_or_default().trim();
    kind == "application/json" || kind.ends_with("+json")
}

/// Passes an answer of any length on to standard output, for as long as somebody reads it.
pub(super) async fn pass_on(mut answer: reqwest::Response, out: &Out) -> Result<()> {
    while let Some(piece) = answer.chunk().await.map_err(broken)? {
        if !out.bytes(&piece)? {
            break;
        }
    }
    Ok(())
}

/// The text at a JSON pointer of an answer; empty when there is none.
pub fn text_at<'a>(answer: &'a serde_json::Value, pointer: &str) -> &'a str {
    answer.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default()
}

/// The items of a list that an answer holds.
pub fn items(answer: &serde_json::Value) -> &[serde_json::Value] {
    answer.pointer("/items").and_then(serde_json::Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A relative path as part of a URL, its slashes kept.
pub fn in_path(path: &str) -> String {
    let segment = |part| percent_encoding::utf8_percent_encode(part, percent_encoding::NON_ALPHANUMERIC).to_string();
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
pub(super) mod tests {
    use std::fmt::Display;
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn whoever_does_not_answer_is_named_and_a_signature_is_not() {
        let client = Client::new("https://exchange.example/cx/", None).unwrap();
        let link = "https://bucket.example:9000/key?X-Amz-Signature=secret";
        assert_eq!(client.get(link).whom(), "https://bucket.example:9000");
        assert_eq!(client.get("/v1/me").whom(), "https://exchange.example/cx");
    }

    #[test]
    fn the_url_of_a_server_holds_nothing_secret() {
        for secret in
            ["https://li:secret@exchange.example", "https://exchange.example/cx?key=secret", "https://a.example#secret"]
        {
            let error = Client::new(secret, None).map(drop).unwrap_err();
            assert_eq!(error.field.as_deref(), Some("--server"));
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    /// A server that gives one answer after the other, each when it has read a whole request.
    pub(in crate::cli) fn serving<A, const N: usize>(answers: [A; N]) -> (Client, std::thread::JoinHandle<()>)
    where
        A: Display + Send + 'static,
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Client::new(&format!("http://{}", listener.local_addr().unwrap()), None).unwrap();
        let served = std::thread::spawn(move || {
            for answer in answers {
                let mut client = listener.accept().unwrap().0;
                let mut request = Vec::new();
                while !is_whole(&request) {
                    let mut piece = [0; 4096];
                    let read = client.read(&mut piece).unwrap();
                    assert!(read > 0, "a request broke off");
                    request.extend_from_slice(&piece[..read]);
                }
                write!(client, "HTTP/1.1 {answer}").unwrap();
            }
        });
        (client, served)
    }

    fn is_whole(request: &[u8]) -> bool {
        let Some((head, body)) = std::str::from_utf8(request).unwrap().split_once("\r\n\r\n") else { return false };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        body.len() >= length.map_or(0, |length| length.parse().unwrap())
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_asked_for_again() {
        let (client, served) = serving([
            "200 OK\r\nContent-Length: 100\r\n\r\n{\"a\": 1}",
            "200 OK\r\nContent-Length: 8\r\n\r\n{\"a\": 1}",
        ]);
        let answer: serde_json::Value = client.get("/v1/me").send().await.unwrap();
        served.join().unwrap();
        assert_eq!(answer["a"], 1);
    }

    #[tokio::test]
    async fn who_asked_for_something_once_is_told_that_it_may_have_been_done() {
        let (client, served) = serving(["200 OK\r\nContent-Length: 100\r\n\r\n{\"a\": 1}"]);
        let error = client.post("/v1/orders").send::<serde_json::Value>().await.unwrap_err();
        served.join().unwrap();
        assert!(error.remedy.as_deref().unwrap().contains("this may have been done"), "{error}");
    }

    #[tokio::test]
    async fn a_page_that_leads_to_itself_is_not_read_for_ever() {
        const PAGE: &str = "200 OK\r\nContent-Length: 27\r\n\r\n{\"items\": [1], \"next\": \"1\"}";
        let (client, served) = serving([PAGE, PAGE]);
        let error = client.get_all::<i32>("/v1/tokens").await.unwrap_err();
        served.join().unwrap();
        assert!(error.detail.contains("leads to itself"), "{error}");
    }

    #[tokio::test]
    async fn who_is_sent_elsewhere_is_told_where_the_exchange_is() {
        let moved = "301 Moved Permanently\r\nLocation: https://exchange.example/cx/v1/me\r\nContent-Length: 0\r\n\r\n";
        let (client, served) = serving([moved]);
        let error = client.get("/v1/me").send::<serde_json::Value>().await.unwrap_err();
        served.join().unwrap();
        let remedy = error.remedy.unwrap();
        assert_eq!(remedy, "the exchange is at https://exchange.example/cx: give that as --server");
    }

    #[test]
    fn eight_parts_have_the_time_that_a_slow_line_takes_for_them() {
        const PART: usize = 8 * 1024 * 1024;
        let bytes_per_second = 1_000_000 / 8;
        assert!(time_to_send(PART) > Duration::from_secs(8 * PART as u64 / bytes_per_second));
        assert_eq!(time_to_send(100), READ_LIMIT);
    }

    #[test]
    fn a_bucket_that_gives_no_problem_document_is_understood_by_its_status() {
        let of_link = |status: u16| kind_of(StatusCode::from_u16(status).unwrap(), true);
        assert_eq!([400, 401, 403].map(of_link), [Kind::Forbidden; 3], "another link may do");
        assert_eq!([500, 502, 503, 504].map(of_link), [Kind::Unavailable; 4]);
        assert_eq!([404, 408, 416].map(of_link), [Kind::Internal, Kind::Timeout, Kind::Internal]);
        assert_eq!(kind_of(StatusCode::BAD_REQUEST, false), Kind::Internal);
    }
}
