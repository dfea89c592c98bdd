//! Requests to a whole exchange, over loopback: every route, with whatever names, queries, headers and bodies.
//!
//! Here the parsers are met that are nobody else's: `Range` and other headers, cursors, signed links, access tokens. No
//! request is a fault of the exchange, whatever it says is a problem is told as one, and an access token that the exchange's
//! own key signed is taken only for the session that it was made for.
#![no_main]

mod edits;

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use corpex::cli::client::Client;
use corpex::config::Config;
use corpex::server::Running;
use corpex::signing::{Bytes, SecretKey};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

use edits::{Edit, apply};

const DESCRIPTION: &str = include_str!("../../openapi.yaml");
/// What the description leaves to the Hub's own, and the links that carry their own permission.
const FURTHER: &[&str] = &[
    "/api/datasets",
    "/api/datasets/{a}/{b}",
    "/api/datasets/{a}/{b}/revision/{c}",
    "/api/datasets/{a}/{b}/tree/{c}/{d}",
    "/api/datasets/{a}/{b}/paths-info/{c}",
    "/datasets/{a}/{b}/resolve/{c}/{d}",
    "/api/whoami-v2",
    "/objects/{a}",
    "/{a}",
];
const METHODS: &[&str] = &["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH"];
const HEADERS: &[&str] = &[
    "range",
    "if-match",
    "if-none-match",
    "if-range",
    "idempotency-key",
    "accept",
    "accept-language",
    "content-type",
    "content-range",
    "x-forwarded-for",
    "cookie",
    "user-agent",
    "x-request-id",
];
/// Passwords are hashed slowly on purpose.
const SLOW: &[&str] = &["/v1/users", "/v1/sessions"];

/// An exchange with one person in it, and an organisation of hers.
struct Exchange {
    address: String,
    /// Her API token.
    token: String,
    /// The header and the claims of her access token, and what signed it.
    access: (Value, SecretKey),
    routes: Vec<&'static str>,
}

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    method: u8,
    route: u16,
    names: Vec<&'a str>,
    query: &'a str,
    headers: Vec<(u8, &'a str)>,
    credential: Credential<'a>,
    body: &'a [u8],
}

#[derive(Debug, Arbitrary)]
enum Credential<'a> {
    Nobody,
    Text(&'a str),
    Token,
    Forged(Vec<(u16, Edit<'a>)>),
}

static EXCHANGE: LazyLock<Exchange> = LazyLock::new(start);
static CONNECTION: Mutex<Option<BufReader<TcpStream>>> = Mutex::new(None);

fuzz_target!(|input: Input| {
    let exchange = &*EXCHANGE;
    let route = exchange.routes[usize::from(input.route) % exchange.routes.len()];
    let method = METHODS[usize::from(input.method) % METHODS.len()];
    if SLOW.contains(&route) && method == "POST" {
        return;
    }
    let mut names = input.names.iter();
    let filled = |part: &str| match part.starts_with('{') {
        true => names.next().map_or("lab".to_string(), |name| encoded(name, b"/-._~:@")),
        false => part.to_string(),
    };
    let path = route.split('/').map(filled).collect::<Vec<_>>().join("/");
    let mut head =
        format!("{method} {path}?{} HTTP/1.1\r\nhost: corpex.example\r\n", encoded(input.query, b"&=%+-._~:/"));
    for (name, value) in input.headers.iter().take(8) {
        head += &format!("{}: {}\r\n", HEADERS[usize::from(*name) % HEADERS.len()], plain(value));
    }
    let forged = match &input.credential {
        Credential::Forged(edits) => Some(forged(exchange, edits)),
        _ => None,
    };
    let credential = match &input.credential {
        Credential::Nobody => None,
        Credential::Text(text) => Some(plain(text)),
        Credential::Token => Some(format!("Bearer {}", exchange.token)),
        Credential::Forged(_) => forged.as_ref().map(|(_, text)| format!("Bearer {text}")),
    };
    head += &credential.map_or(String::new(), |credential| format!("authorization: {credential}\r\n"));
    head += &format!("content-length: {}\r\n\r\n", input.body.len());
    let (status, type_, body) = ask(exchange, &[head.as_bytes(), input.body].concat(), method);
    assert!(status != 500 && status != 502 && status != 504, "{status} {}", String::from_utf8_lossy(&body));
    if type_.starts_with("application/problem+json") && method != "HEAD" {
        let problem: Value = serde_json::from_slice(&body).expect("a problem is JSON");
        assert!(status >= 400 && problem["status"] == status && problem["title"].is_string(), "{problem}");
    }
    if let Some((token, _)) = forged
        && (route, method, status) == ("/v1/me", "GET", 200)
    {
        let good = &exchange.access.0;
        for claim in ["iss", "aud", "sub", "sid"] {
            assert_eq!(token["claims"][claim], good["claims"][claim]);
        }
        assert_eq!((&token["header"]["alg"], &token["header"]["typ"]), (&json!("EdDSA"), &json!("at+jwt")));
    }
});

fn start() -> Exchange {
    let folder = std::env::temp_dir().join("corpex-fuzz");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder for the exchange");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let runtime = Box::leak(Box::new(runtime));
    runtime.block_on(async {
        let running = Running::start(Config::embedded(&folder)).await.expect("an exchange");
        let running = Box::leak(Box::new(running)); // it ends when it is dropped
        let client = Client::new(&running.url, None).expect("a client");
        let person = json!({ "email": "admin@lab.example", "password": "correct horse battery staple" });
        let post = async |client: &Client, path: &str, body: &Value| -> Value {
            client.post(path).json(body).expect("JSON").send().await.expect("this is granted")
        };
        post(&client, "/v1/users", &person).await;
        let session = post(&client, "/v1/sessions", &person).await;
        let access_token = session["access_token"].as_str().expect("a token").to_string();
        let client = client.with_token(access_token.clone());
        let organisation = json!({
            "handle": "lab", "legal_name": "Lab Ltd", "registration_number": "91310000lab", "country": "CN",
            "affiliations": [],
        });
        post(&client, "/v1/organisations", &organisation).await;
        let until = running.app.clock.now().plus(Duration::from_secs(300 * 24 * 3600));
        let wish = json!({ "name": "fuzz", "scope": "write", "expires_at": until });
        let token = post(&client, "/v1/tokens", &wish).await["token"].as_str().expect("a token").to_string();
        let [header, claims] = [0, 1].map(|part| decoded(access_token.split('.').nth(part).expect("three parts")));
        let access =
            (json!({ "header": header, "claims": claims }), SecretKey::from_seed(running.app.keys.access.seed()));
        let described = DESCRIPTION.lines().filter_map(|line| line.strip_prefix("  /")?.strip_suffix(':'));
        let described = described.map(|path| &*Box::leak(format!("/{path}").into_boxed_str()));
        let routes = described.chain(FURTHER.iter().copied()).collect();
        let address = running.url.strip_prefix("http://").expect("an address").to_string();
        Exchange { address, token, access, routes }
    })
}

/// An access token as the exchange's key signs it, and its text.
fn forged(exchange: &Exchange, edits: &[(u16, Edit)]) -> (Value, String) {
    let (good, key) = &exchange.access;
    let mut token = good.clone();
    for (place, edit) in edits.iter().take(8) {
        apply(&mut token, usize::from(*place), edit);
    }
    let parts = ["header", "claims"].map(|part| url_safe(token[part].to_string().into_bytes()));
    let text = parts.join(".");
    let signature = url_safe(key.sign(text.as_bytes()).to_vec());
    (token, format!("{text}.{signature}"))
}

fn url_safe(bytes: Vec<u8>) -> String {
    Bytes(bytes).to_string().trim_end_matches('=').replace('+', "-").replace('/', "_")
}

fn decoded(part: &str) -> Value {
    let padded = part.replace('-', "+").replace('_', "/") + &"=".repeat((4 - part.len() % 4) % 4);
    serde_json::from_slice(&padded.parse::<Bytes>().expect("base64").0).expect("JSON")
}

/// A text as it may stand in a request's first line, these bytes as they are.
fn encoded(text: &str, kept: &[u8]) -> String {
    let byte = |byte: u8| match byte.is_ascii_alphanumeric() || kept.contains(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// Sends a request, and reads the answer: its status, type and body.
fn ask(exchange: &Exchange, request: &[u8], method: &str) -> (u16, String, Vec<u8>) {
    let mut connection = CONNECTION.lock().expect("one asks at a time");
    // The exchange may close a connection between two requests.
    for _ in 0..3 {
        let mut stream = connection.take().unwrap_or_else(|| {
            let stream = TcpStream::connect(&exchange.address).expect("the exchange is there");
            stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
            BufReader::new(stream)
        });
        let sent = stream.get_mut().write_all(request);
        match sent.and_then(|()| answer(&mut stream, method)) {
            Ok((answer, open)) => {
                *connection = open.then_some(stream);
                return answer;
            }
            Err(error) => assert!(error.kind() != io::ErrorKind::WouldBlock, "no answer"),
        }
    }
    panic!("the exchange does not answer");
}

type Answer = (u16, String, Vec<u8>);

fn answer(stream: &mut BufReader<TcpStream>, method: &str) -> io::Result<(Answer, bool)> {
    let mut line = String::new();
    let mut next = |stream: &mut BufReader<TcpStream>| {
        line.clear();
        match stream.read_line(&mut line)? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            _ => Ok(line.trim_end().to_string()),
        }
    };
    let status: u16 = next(stream)?.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    let (mut length, mut chunked, mut open, mut type_) = (0_usize, false, true, String::new());
    loop {
        let header = next(stream)?.to_ascii_lowercase();
        let Some((name, value)) = header.split_once(": ") else { break };
        match name {
            "content-length" => length = value.parse().expect("a length"),
            "transfer-encoding" => chunked = true,
            "connection" => open = value != "close",
            "content-type" => type_ = value.to_string(),
            _ => {}
        }
    }
    let mut body = Vec::new();
    if method == "HEAD" || matches!(status, 204 | 304) {
        return Ok(((status, type_, body), open));
    }
    loop {
        if chunked {
            length = usize::from_str_radix(&next(stream)?, 16).expect("a length");
        }
        let before = body.len();
        body.resize(before + length, 0);
        stream.read_exact(&mut body[before..])?;
        if chunked {
            next(stream)?;
        }
        if !chunked || length == 0 {
            return Ok(((status, type_, body), open));
        }
    }
}
