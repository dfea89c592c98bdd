//! How long a trace by digest takes among 10^6 shards and 10^6 receipts, and whether an export's memory grows.
//!
//! `cargo bench --bench trace` fills an SQLite file in a temporary folder, or, with `TEST_DATABASE_URL`, a schema of
//! its own on that PostgreSQL. It then runs the action behind `GET /v1/trace`, its audit record included, prints every
//! query's plan, and fails when one reads a large table from end to end, or when the figures are not met.
//! `CORPEX_BENCH_ROWS` makes both numbers smaller.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::print_stdout, clippy::cast_sign_loss)]

mod measure;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as Stopwatch};

use corpex::compliance::{self, EventQuery, ExportFormat, TraceQuery};
use corpex::db::{Conn, Db};
use corpex::identity::{self, Caller, Credential, PlatformRole, Scope};
use corpex::types::{
    Clock, ContractId, DatasetId, Digest, EntitlementId, EntryId, Instant, ListingId, ObjectId, OrderId,
    OrganisationId, ReceiptBatchId, ReceiptId, StatementId, TermsId, TokenId, TransitionId, UserId, VersionId,
};
use diesel::connection::{InstrumentationEvent, SimpleConnection as _};
use diesel::prelude::*;
use diesel::sql_types::Text;

use measure::Figure;

const SAMPLES: usize = 2000;
const SHARDS_PER_VERSION: usize = 10_000;
const LICENCES_PER_VERSION: usize = 10;
/// Statements and steps about other things, so that these tables are large, too.
const OTHERS_PER_VERSION: usize = 1_000;
/// How much more memory an export of all rows may take than one of the first hundredth.
const MOST_GROWTH_KIB: u64 = 32 * 1024;
const LIMIT: Duration = Duration::from_millis(50);
/// Tables that may not be read from end to end.
const LARGE: &[&str] = &["shards", "objects", "receipts", "statements", "log_entries", "log_sequence", "transitions"];

fn main() {
    // `cargo test --all-targets` and `cargo bench` both run this; only the latter says so.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run());
}

async fn run() {
    let rows = std::env::var("CORPEX_BENCH_ROWS").ok().map_or(1_000_000, |rows| rows.parse().unwrap());
    let place = Place::create();
    let db = Db::open(&place.url, 4).unwrap();
    db.migrate().await.unwrap();
    let clock = Clock::default();
    let started = Stopwatch::now();
    let filled = fill(&db, rows, clock.now()).await;
    println!("{}: {rows} shards and {rows} receipts filled in {:.0?}", place.kind, started.elapsed());

    let officer = officer(&db, clock.now()).await;
    plans(&db, &officer, filled.digests[0], clock.now()).await;
    let read = trace_all(&db, &officer, &filled.digests, &clock).await;
    let read =
        Figure::at_most("p99 of a trace by digest, ms", read.as_secs_f64() * 1000.0, LIMIT.as_secs_f64() * 1000.0);
    measure::require(&[read, export_all(&db, &officer, rows, &clock).await]);
}

/// Where the rows lie for the time of the run.
struct Place {
    kind: &'static str,
    url: String,
    schema: Option<(String, String)>,
    _folder: tempfile::TempDir,
}

impl Place {
    fn create() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let Ok(server) = std::env::var("TEST_DATABASE_URL") else {
            let url = folder.path().join("bench.sqlite3").display().to_string();
            return Self { kind: "SQLite", url, schema: None, _folder: folder };
        };
        let name = format!("bench_{}", uuid::Uuid::now_v7().simple());
        PgConnection::establish(&server).unwrap().batch_execute(&format!("CREATE SCHEMA {name}")).unwrap();
        let separator = if server.contains('?') { '&' } else { '?' };
        let url = format!("{server}{separator}options=-csearch_path%3D{name}");
        Self { kind: "PostgreSQL", url, schema: Some((server, name)), _folder: folder }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((server, name)) = &self.schema {
            PgConnection::establish(server).unwrap().batch_execute(&format!("DROP SCHEMA {name} CASCADE")).unwrap();
        }
    }
}

/// Rows of one table that wait to be inserted.
struct Bulk {
    head: &'static str,
    rows: Vec<String>,
}

impl Bulk {
    fn new(head: &'static str) -> Self {
        Self { head, rows: Vec::new() }
    }
    fn add(&mut self, row: String) {
        self.rows.push(row);
    }
    async fn insert(&mut self, db: &Db) {
        let (head, rows) = (self.head, std::mem::take(&mut self.rows));
        db.write(move |c| {
            for some in rows.chunks(1000) {
                c.batch_execute(&format!("INSERT INTO {head} VALUES {}", some.join(",")))?;
            }
            Ok(())
        })
        .await
        .unwrap();
    }
}

struct Filled {
    /// Of shards that were downloaded, and of shards that were not, in turn.
    digests: Vec<Digest>,
}

/// A statement in its place in the log.
struct Log {
    entries: Bulk,
    places: Bulk,
    statements: Bulk,
    index: usize,
}

impl Log {
    fn new() -> Self {
        Self {
            entries: Bulk::new("log_entries (id, leaf, recorded_at)"),
            places: Bulk::new("log_sequence (leaf_index, entry_id)"),
            statements: Bulk::new("statements (id, kind, subject, envelope, pae_sha256, entry_id, recorded_at)"),
            index: 0,
        }
    }
    fn add(&mut self, kind: &str, subject: &str, now: Instant) -> StatementId {
        let (id, entry, at) = (StatementId::new(now), EntryId::new(now), time(now));
        self.entries.add(format!("('{entry}', '{{}}', {at})"));
        self.places.add(format!("({}, '{entry}')", self.index));
        let pae = Digest::of(id.to_string());
        self.statements.add(format!("('{id}', '{kind}', '{subject}', '{{}}', '{pae}', '{entry}', {at})"));
        self.index += 1;
        id
    }
    async fn insert(&mut self, db: &Db) {
        self.entries.insert(db).await;
        self.places.insert(db).await;
        self.statements.insert(db).await;
    }
}

fn time(at: Instant) -> String {
    format!("'{}'", at.to_string().replace('T', " ").trim_end_matches('Z'))
}

async fn fill(db: &Db, rows: usize, now: Instant) -> Filled {
    let mut people = Bulk::new(
        "organisations (id, handle, legal_name, registration_number, country, affiliations, state, created_at)",
    );
    let at = time(now);
    let mut organisation = |handle: String| {
        let id = OrganisationId::new(now);
        people.add(format!("('{id}', '{handle}', '{handle} Ltd', '{handle}', 'CN', '[]', 'registered', {at})"));
        id
    };
    let provider = organisation("provider".into());
    let labs: Vec<_> = (0..LICENCES_PER_VERSION).map(|number| organisation(format!("lab-{number}"))).collect();
    people.insert(db).await;
    let (user, dataset, terms) = (UserId::new(now), DatasetId::new(now), TermsId::new(now));
    let mut log = Log::new();
    let published = log.add("terms", &terms.to_string(), now);
    log.insert(db).await;
    let document = r#"{"permitted_uses":["pretrain"],"prohibited_uses":[],"territory":["*"],"duration_days":null,"attribution":true,"affiliates":false,"price":{"model":"free"}}"#;
    let once = format!(
        "UPDATE organisations SET state = 'verified', verified_at = {at};
         INSERT INTO users (id, email, created_at) VALUES ('{user}', 'user@lab.test', {at});
         INSERT INTO datasets (id, organisation_id, name, title, modality, domain, languages, created_at)
            VALUES ('{dataset}', '{provider}', 'corpus', 'Corpus', 'text', 'education', '[]', {at});
         INSERT INTO terms (id, organisation_id, sha256, document, statement_id, published_at)
            VALUES ('{terms}', '{provider}', '{}', '{document}', '{published}', {at})",
        Digest::of(document)
    );
    db.write(move |c| Ok(c.batch_execute(&once)?)).await.unwrap();
    let mut digests = Vec::new();
    for number in 1..=rows.div_ceil(SHARDS_PER_VERSION) {
        let who = Who { user, dataset, provider, terms, labs: &labs };
        version(db, &mut log, &who, number, now, &mut digests).await;
    }
    if std::env::var_os("TEST_DATABASE_URL").is_some() {
        db.write(|c| Ok(c.batch_execute("ANALYZE")?)).await.unwrap();
    }
    Filled { digests }
}

struct Who<'a> {
    user: UserId,
    dataset: DatasetId,
    provider: OrganisationId,
    terms: TermsId,
    labs: &'a [OrganisationId],
}

/// A version of 10,000 shards with ten licences, under each of which a thousand shards were downloaded.
async fn version(db: &Db, log: &mut Log, who: &Who<'_>, number: usize, now: Instant, digests: &mut Vec<Digest>) {
    let Who { user, dataset, provider, terms, labs } = who;
    let (at, version, listing) = (time(now), VersionId::new(now), ListingId::new(now));
    let mut objects = Bulk::new("objects (id, sha256, size_bytes, storage_key, etag, verified_at)");
    let mut shards = Bulk::new("shards (version_id, path, object_id, sha256, size_bytes, media_type)");
    let sha256 = |index: usize| Digest::of(format!("{number}/{index}"));
    for index in 0..SHARDS_PER_VERSION {
        let (object, sha256) = (ObjectId::new(now), sha256(index));
        objects.add(format!("('{object}', '{sha256}', 1, 'objects/00/{}', 'etag', {at})", &sha256.to_string()[..32]));
        shards.add(format!("('{version}', 'data/{index:05}.jsonl', '{object}', '{sha256}', 1, 'application/jsonl')"));
    }
    let manifest = log.add("manifest", &version.to_string(), now);
    let mut steps = Bulk::new("transitions (id, subject, to_state, actor, reason, at)");
    for _ in 0..OTHERS_PER_VERSION {
        let other = ListingId::new(now);
        log.add("listing-change", &other.to_string(), now);
        steps.add(format!("('{}', '{other}', 'paused', '{user}', 'paused', {at})", TransitionId::new(now)));
    }
    log.insert(db).await;
    steps.insert(db).await;
    let sealed = format!(
        "INSERT INTO versions (id, dataset_id, number, state, card, created_at) VALUES ('{version}', '{dataset}', {number}, 'draft', '', {at});
         INSERT INTO seals (version_id, statement_id, manifest_sha256, shard_count, total_bytes, sealed_at)
            VALUES ('{version}', '{manifest}', '{}', {SHARDS_PER_VERSION}, {SHARDS_PER_VERSION}, {at});
         UPDATE versions SET state = 'sealed' WHERE id = '{version}';
         UPDATE versions SET state = 'assessing' WHERE id = '{version}';
         UPDATE versions SET state = 'assessed' WHERE id = '{version}'",
        Digest::of(version.to_string())
    );
    db.write(move |c| Ok(c.batch_execute(&sealed)?)).await.unwrap();
    objects.insert(db).await;
    shards.insert(db).await;
    offer(db, log, who, version, listing, now).await;
    let mut receipts = Bulk::new(
        "receipts (id, batch_id, batch_index, entitlement_id, version_id, user_id, path, sha256, document, issued_at)",
    );
    let mut batches = Bulk::new("receipt_batches (id, root_sha256, receipt_count, statement_id, committed_at)");
    let mut trades = Trades::new();
    let each = SHARDS_PER_VERSION / LICENCES_PER_VERSION;
    for lab in *labs {
        let entitlement = trades.add(log, (version, listing, *terms, *provider), *lab, now);
        let batch = ReceiptBatchId::new(now);
        let statement = log.add("receipt-batch", &batch.to_string(), now);
        batches.add(format!("('{batch}', '{}', {each}, '{statement}', {at})", Digest::of("root")));
        for index in 0..each {
            let (receipt, sha256) = (ReceiptId::new(now), sha256(index));
            receipts.add(format!(
                "('{receipt}', '{batch}', {index}, '{entitlement}', '{version}', '{user}', 'data/{index:05}.jsonl', '{sha256}', '{{}}', {at})"
            ));
        }
    }
    log.insert(db).await;
    trades.insert(db).await;
    batches.insert(db).await;
    receipts.insert(db).await;
    digests.extend((0..each.min(10)).flat_map(|index| [sha256(index), sha256(each + index)]));
}

/// Puts a version on the board.
async fn offer(db: &Db, log: &mut Log, who: &Who<'_>, version: VersionId, listing: ListingId, now: Instant) {
    let (at, assessment) = (time(now), corpex::types::AssessmentId::new(now));
    let assessed = log.add("assessment", &assessment.to_string(), now);
    log.insert(db).await;
    let Who { user, provider, terms, .. } = who;
    let sql = format!(
        "INSERT INTO assessments (id, version_id, checklist, decision, assessor_id, statement_id, assessed_at, valid_until)
            VALUES ('{assessment}', '{version}', '[]', 'passed', '{user}', '{assessed}', {at}, {at});
         INSERT INTO listings (id, version_id, terms_id, assessment_id, provider_id, state, notice_ends_at, created_at)
            VALUES ('{listing}', '{version}', '{terms}', '{assessment}', '{provider}', 'public_notice', {at}, {at});
         UPDATE listings SET state = 'listed' WHERE id = '{listing}';
         INSERT INTO transitions (id, subject, to_state, actor, reason, at)
            VALUES ('{}', '{listing}', 'listed', '{user}', 'listed', {at})",
        TransitionId::new(now)
    );
    db.write(move |c| Ok(c.batch_execute(&sql)?)).await.unwrap();
}

/// Orders with their contracts and entitlements.
struct Trades {
    orders: Bulk,
    contracts: Bulk,
    entitlements: Bulk,
}

impl Trades {
    fn new() -> Self {
        Self {
            orders: Bulk::new(
                "orders (id, listing_id, buyer_id, provider_id, version_id, terms_id, permitted_use, purpose, price_minor, \
                 fee_minor, currency, contract_document, state, shard_count, download_days, acceptance_days, cure_days, \
                 dispute_days, created_at)",
            ),
            contracts: Bulk::new("contracts (id, order_id, sha256, statement_id, agreed_at)"),
            entitlements: Bulk::new(
                "entitlements (id, order_id, organisation_id, version_id, terms_id, state, statement_id, granted_at)",
            ),
        }
    }

    fn add(
        &mut self,
        log: &mut Log,
        (version, listing, terms, provider): (VersionId, ListingId, TermsId, OrganisationId),
        lab: OrganisationId,
        now: Instant,
    ) -> EntitlementId {
        let (at, order, contract) = (time(now), OrderId::new(now), ContractId::new(now));
        let entitlement = EntitlementId::new(now);
        let agreed = log.add("contract", &contract.to_string(), now);
        let granted = log.add("entitlement", &entitlement.to_string(), now);
        self.orders.add(format!(
            "('{order}', '{listing}', '{lab}', '{provider}', '{version}', '{terms}', 'pretrain', 'pretraining', 0, 0, 'CNY', \
             '{{}}', 'escrowed', {SHARDS_PER_VERSION}, 1, 1, 1, 1, {at})"
        ));
        self.contracts
            .add(format!("('{contract}', '{order}', '{}', '{agreed}', {at})", Digest::of(contract.to_string())));
        self.entitlements
            .add(format!("('{entitlement}', '{order}', '{lab}', '{version}', '{terms}', 'active', '{granted}', {at})"));
        entitlement
    }

    async fn insert(&mut self, db: &Db) {
        self.orders.insert(db).await;
        self.contracts.insert(db).await;
        self.entitlements.insert(db).await;
    }
}

async fn officer(db: &Db, now: Instant) -> Caller {
    let role = PlatformRole::Compliance;
    let user = db.write(move |c| identity::create_platform_user(c, "officer@exchange.test", role, now)).await.unwrap();
    Caller {
        user_id: user.id,
        email: user.email,
        platform_role: Some(role),
        scope: Scope::Read,
        credential: Credential::Token(TokenId::new(now)),
        memberships: Vec::new(),
    }
}

/// Puts a read on record, as the request layer does, and gives who makes it.
async fn audited(db: &Db, officer: &Caller, what: String, now: Instant) -> Caller {
    let reader = officer.clone();
    db.write(move |c| identity::record_read(c, &reader, &what, now)).await.unwrap();
    officer.clone()
}

/// Gives the 99th percentile of the whole: the audit record, and the trace.
async fn trace_all(db: &Db, officer: &Caller, digests: &[Digest], clock: &Clock) -> Duration {
    let (mut whole, mut reads) = (Vec::new(), Vec::new());
    for sample in 0..SAMPLES {
        // Seven and any count of digests that is no multiple of it: all of them, in no order.
        let subject = digests[sample * 7 % digests.len()].to_string();
        let query = TraceQuery { subject, ..TraceQuery::default() };
        let now = clock.now();
        let begun = Stopwatch::now();
        let caller = audited(db, officer, format!("GET /v1/trace?subject={}", query.subject), now).await;
        let recorded = begun.elapsed();
        let traced = db.read(move |c| compliance::trace(c, &caller, &query, now)).await.unwrap();
        whole.push(begun.elapsed());
        reads.push(begun.elapsed() - recorded);
        assert_eq!((traced.chains.len(), traced.chains[0].licences.len()), (1, LICENCES_PER_VERSION));
    }
    for (what, times) in [("audit record and trace", &mut whole), ("trace alone", &mut reads)] {
        times.sort();
        println!("{SAMPLES} × {what}: p50 {:.2?}, p99 {:.2?}", times[SAMPLES / 2], times[SAMPLES * 99 / 100]);
    }
    whole[SAMPLES * 99 / 100]
}

/// Exports everything, and compares the memory in use after the first hundredth with that at the end.
async fn export_all(db: &Db, officer: &Caller, rows: usize, clock: &Clock) -> Figure {
    let caller = audited(db, officer, "export".to_string(), clock.now()).await;
    let (now, begun) = (clock.now(), Stopwatch::now());
    let everything = EventQuery { kind: Some("delivery".to_string()), ..EventQuery::default() };
    let opened = move |c: &mut Conn| compliance::export(c, &caller, &everything, ExportFormat::Csv, now);
    let mut export = db.read(opened).await.unwrap();
    let (mut lines, mut early) = (0, 0);
    loop {
        let (piece, rest) = db.read(move |c| Ok((export.next(c)?, export))).await.unwrap();
        export = rest;
        let Some(piece) = piece else { break };
        lines += piece.iter().filter(|byte| **byte == b'\n').count();
        if lines > rows / 100 && early == 0 {
            early = measure::resident_kib("self");
        }
    }
    let grown = measure::resident_kib("self").saturating_sub(early);
    println!(
        "{} deliveries exported in {:.1?}; memory after 1 %: {early} KiB, at the end {grown} KiB more",
        lines - 1,
        begun.elapsed()
    );
    assert_eq!(lines - 1, rows.div_ceil(SHARDS_PER_VERSION) * SHARDS_PER_VERSION);
    Figure::at_most("KiB by which an export's memory grows", grown as f64, MOST_GROWTH_KIB as f64)
}

#[derive(QueryableByName)]
struct SqlitePlan {
    #[diesel(sql_type = Text)]
    detail: String,
}

#[derive(QueryableByName)]
struct PostgresPlan {
    #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
    line: String,
}

/// Prints how the database runs each query of a trace by digest.
async fn plans(db: &Db, officer: &Caller, digest: Digest, now: Instant) {
    let caller = audited(db, officer, "plans".to_string(), now).await;
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let collected = seen.clone();
    let query = TraceQuery { subject: digest.to_string(), ..TraceQuery::default() };
    let plans = db
        .read(move |c| {
            let noted = collected.clone();
            c.set_instrumentation(move |event: InstrumentationEvent<'_>| {
                if let InstrumentationEvent::StartQuery { query, .. } = event {
                    noted.lock().unwrap().push(query.to_string());
                }
            });
            compliance::trace(c, &caller, &query, now)?;
            c.set_instrumentation(|_: InstrumentationEvent<'_>| {});
            let queries: BTreeSet<String> =
                collected.lock().unwrap().iter().map(|query| without_binds(query)).collect();
            queries.into_iter().map(|query| Ok((plan(c, &query)?, query))).collect::<corpex::error::Result<Vec<_>>>()
        })
        .await
        .unwrap();
    let mut bad = String::new();
    for (lines, query) in plans {
        println!("\n{query}");
        for line in lines {
            println!("    {line}");
            let scans = |table: &&&str| {
                line.contains(&format!("Seq Scan on {table} ")) || line.starts_with(&format!("SCAN {table}"))
            };
            if LARGE.iter().any(|table| scans(&table)) {
                writeln!(bad, "{line} in {query}").unwrap();
            }
        }
    }
    println!();
    assert!(bad.is_empty(), "these read a large table from end to end:\n{bad}");
}

fn without_binds(query: &str) -> String {
    query.split(" -- binds:").next().unwrap_or_default().to_string()
}

fn plan(c: &mut Conn, query: &str) -> corpex::error::Result<Vec<String>> {
    match c {
        Conn::Sqlite(sqlite) => {
            let rows: Vec<SqlitePlan> = diesel::sql_query(format!("EXPLAIN QUERY PLAN {query}")).load(sqlite)?;
            Ok(rows.into_iter().map(|row| row.detail).collect())
        }
        Conn::Pg(pg) => {
            // Prepared, it can be explained without its values: by the plan that holds for any of them.
            let count = (1..100).take_while(|number| query.contains(&format!("${number}"))).count();
            let nothing = if count == 0 { String::new() } else { format!("({})", vec!["NULL"; count].join(", ")) };
            pg.batch_execute(&format!("SET LOCAL plan_cache_mode = force_generic_plan; PREPARE explained AS {query}"))?;
            let rows: Vec<PostgresPlan> = diesel::sql_query(format!("EXPLAIN EXECUTE explained{nothing}")).load(pg)?;
            pg.batch_execute("DEALLOCATE explained")?;
            Ok(rows.into_iter().map(|row| row.line).collect())
        }
    }
}
