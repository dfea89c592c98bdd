//! A large shard goes and comes over several connections, and arrives whatever happens to them.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::json;

use crate::command_line::{assess, deposit};
use crate::support::process::{Exchange, files, organisation};

const MIB: usize = 1024 * 1024;
/// Two whole segments and a half.
const SIZE: usize = 40 * MIB;
const PATIENCE: Duration = Duration::from_secs(60);

/// Stands where links lead, before the exchange or the bucket, and does to connections what networks do.
struct Network {
    url: String,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    /// How many parts were sent.
    parts: usize,
    /// Where each range began that was asked for.
    asked: Vec<usize>,
    open: usize,
    most_open: usize,
    weather: Weather,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Weather {
    /// The first connection gets through, the others get nothing.
    #[default]
    Stalling,
    /// Nothing goes before two connections are open; then one link is refused, one answer breaks off, and one is a failure.
    Stormy,
}

/// What becomes of a request.
enum Fate {
    Passes,
    IsCutAfter(u64),
    /// Its link has lapsed.
    Lapses,
    /// What answers has a fault, and says so as buckets do: without a problem document.
    Fails,
}

impl Network {
    /// Before what is at this URL.
    fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::<(Mutex<State>, Condvar)>::default();
        let (shared, server) = (state.clone(), server.strip_prefix("http://").unwrap().to_string());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (shared, server) = (shared.clone(), server.clone());
                std::thread::spawn(move || relay(client, &server, &shared));
            }
        });
        Self { url, state }
    }

    /// Where the links of an exchange lead from now on.
    fn where_links_of(exchange: &mut Exchange) -> Self {
        let (server, setting) = match std::env::var("TEST_S3_ENDPOINT") {
            Ok(bucket) => (bucket, "CORPEX_S3_ENDPOINT"),
            Err(_) => (exchange.url.clone(), "CORPEX_PUBLIC_URL"),
        };
        let network = Self::before(&server);
        exchange.set(setting, network.url.clone());
        exchange.stop();
        exchange.start();
        network
    }

    fn turn(&self, weather: Weather) {
        let mut state = self.state.0.lock().unwrap();
        (state.weather, state.asked, state.most_open) = (weather, Vec::new(), 0);
        self.state.1.notify_all();
    }
}

/// Carries one request and its answer.
fn relay(mut client: TcpStream, server: &str, state: &(Mutex<State>, Condvar)) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if client.read_exact(&mut byte).is_err() {
            return;
        }
        head.push(byte[0]);
    }
    let mut head = String::from_utf8(head).unwrap();
    // What the exchange itself asks of a bucket is no matter of this story.
    let is_ours = head.contains("user-agent: corpex/");
    let range = number_after(&head, "range: bytes=").filter(|_| is_ours);
    let fate = match range {
        Some(from) => await_fate(from, state),
        None if is_ours && head.starts_with("PUT ") => fate_of_part(state),
        None => Fate::Passes,
    };
    if let Fate::Lapses = fate {
        // Who refuses a link does not wait for the body, and hangs up on who still sends it.
        let length = number_after(&head, "content-length: ").unwrap_or(0);
        std::io::copy(&mut (&client).take(length as u64), &mut std::io::sink()).unwrap();
        head = lapsed(&head).replacen(&format!("content-length: {length}"), "content-length: 0", 1);
    }
    let most = if let Fate::IsCutAfter(bytes) = fate { bytes } else { u64::MAX };
    // The client may have been killed.
    let _ = match fate {
        Fate::Fails => client.write_all(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"),
        _ => carry(&client, TcpStream::connect(server).unwrap(), &head, most),
    };
    let _ = client.shutdown(Shutdown::Both);
    state.0.lock().unwrap().open -= usize::from(range.is_some());
}

/// Sends a request, its body as it comes, and gives so many bytes of the answer.
fn carry(mut client: &TcpStream, mut upstream: TcpStream, head: &str, most: u64) -> std::io::Result<()> {
    upstream.write_all(head.replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes())?;
    let (mut from, mut to) = (client.try_clone()?, upstream.try_clone()?);
    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
    std::io::copy(&mut upstream.take(most), &mut client).map(drop)
}

/// A request whose link was signed too long ago: the exchange's own, or that to a bucket.
fn lapsed(head: &str) -> String {
    head.replacen("expires=", "expires=1", 1).replacen("sig", "gis", 1).replacen("X-Amz-Date=20", "X-Amz-Date=19", 1)
}

fn number_after(head: &str, words: &str) -> Option<usize> {
    let rest = head.split_once(words)?.1;
    rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// The link of the first part that is sent has lapsed.
fn fate_of_part((state, _): &(Mutex<State>, Condvar)) -> Fate {
    let mut now = state.lock().unwrap();
    now.parts += 1;
    if now.parts == 1 { Fate::Lapses } else { Fate::Passes }
}

fn await_fate(from: usize, (state, changed): &(Mutex<State>, Condvar)) -> Fate {
    let mut now = state.lock().unwrap();
    let (turn, weather) = (now.asked.len(), now.weather);
    now.asked.push(from);
    now.open += 1;
    now.most_open = now.most_open.max(now.open);
    changed.notify_all();
    let waits = |now: &mut State| match weather {
        Weather::Stalling => turn > 0 && now.weather == Weather::Stalling,
        Weather::Stormy => now.most_open < 2,
    };
    let (_now, waited) = changed.wait_timeout_while(now, PATIENCE, waits).unwrap();
    assert!(!waited.timed_out(), "a single connection is open");
    match (weather, turn) {
        (Weather::Stormy, 0) => Fate::Lapses,
        (Weather::Stormy, 1) => Fate::IsCutAfter(MIB as u64),
        (Weather::Stormy, 2) => Fate::Fails,
        _ => Fate::Passes,
    }
}

fn write_corpus(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let bytes: Vec<u8> = (0..SIZE as u64).map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect();
    std::fs::write(folder.join("large.bin"), bytes).unwrap();
}

#[tokio::test]
async fn a_large_shard_goes_by_parts_and_comes_by_ranges_that_outlast_cuts_lapsed_links_and_a_killed_client() {
    let mut exchange = Exchange::serve().await;
    let network = Network::where_links_of(&mut exchange);
    let (operator, compliance) = (exchange.platform("operator"), exchange.platform("compliance"));
    let provider = organisation(&exchange, &operator, "poetry-house");
    let lab = organisation(&exchange, &operator, "verse-lab");
    deposit(&operator, "verse-lab", 1_000_000);
    let work = tempfile::tempdir().unwrap();
    let at = |name: &str| work.path().join(name).display().to_string();
    write_corpus(&work.path().join("source"));
    std::fs::write(at("terms.json"), crate::support::terms(50_000).to_string()).unwrap();
    std::fs::write(at("provenance.json"), crate::support::provenance().to_string()).unwrap();
    let (dataset, source, terms, provenance) =
        ("poetry-house/large", at("source"), at("terms.json"), at("provenance.json"));
    let papers = ["--terms", &terms, "--provenance", &provenance, "--language", "zh-Hant"];
    let published = provider.json(&[&["publish", &source, "--dataset", dataset], &papers[..]].concat());
    assert_eq!(network.state.0.lock().unwrap().parts, 6, "five parts, and again for a link");
    assess(&compliance, dataset, &published["version"]);
    let listing = json!({ "dataset": dataset, "version": 1, "terms_id": published["terms_id"] });
    provider.api("POST", "/v1/listings", &listing);
    lab.json(&["buy", dataset, "--use", "pretraining of a small language model"]);

    let to = at("target");
    let download = ["download", dataset, "--to", &to, "--jobs", "3"];
    let mut killed = lab.begin(&download);
    let partial = Path::new(&to).join(".corpex/partial");
    let is_noted = || {
        let entries = std::fs::read_dir(&partial).into_iter().flatten().map_while(Result::ok);
        let notes = entries.into_iter().filter(|entry| entry.path().extension().is_some_and(|name| name == "done"));
        // A note that is just being made says nothing yet.
        notes.into_iter().any(|note| std::fs::read_to_string(note.path()).is_ok_and(|text| text.contains('\n')))
    };
    for _ in 0..600 {
        if is_noted() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let second = lab.refused(&download);
    assert!(second.contains(&format!("process {} is downloading into {to} already", killed.id())), "{second}");
    let arrived = network.state.0.lock().unwrap().asked[0];
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(is_noted(), "the first segment did not arrive");

    network.turn(Weather::Stormy);
    lab.json(&download);
    assert_eq!(files(Path::new(&source)), files(Path::new(&to)));
    assert!(!partial.exists(), "nothing is left over");
    lab.done(&["verify", &to]);
    let state = network.state.0.lock().unwrap();
    assert!(state.most_open > 1, "one connection after the other");
    assert!(!state.asked.contains(&arrived), "what had arrived was fetched again: {:?}", state.asked);
    let inside: HashSet<_> = state.asked.iter().filter(|from| *from % (16 * MIB) != 0).collect();
    assert_eq!(inside.len(), 1, "what broke off goes on where it stopped: {:?}", state.asked);
    assert!(state.asked.len() >= 5, "two segments, and again for a link, a cut and a failure: {:?}", state.asked);
}
