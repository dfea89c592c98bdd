//! A board of so many listings, straight in the tables of an SQLite file: only what search reads is there.

use std::fmt::Write as _;
use std::path::Path;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;

/// How many texts there are; each listing takes one for its title and another one for its card.
const TEXTS: usize = 10_000;
const PROVIDERS: usize = 5_000;
/// What precedes twelve digits in an identifier.
const ID: &str = "01jcm9qf80e5wv";
const AT: &str = "'2026-01-01 00:00:00.000000'";
/// Uses and a price in fen; nothing where it is free.
const TERMS: &[(&str, Option<u64>)] = &[
    ("\"pretrain\"", None),
    ("\"pretrain\",\"finetune\"", Some(50_000)),
    ("\"evaluate\",\"retrieve\",\"derive\"", Some(5_000_000)),
    ("\"pretrain\",\"finetune\",\"evaluate\"", Some(200_000_000)),
];

#[derive(QueryableByName)]
struct Trigger {
    #[diesel(sql_type = diesel::sql_types::Text)]
    name: String,
}

/// Fills a migrated file, without the steps by which its rows would have come to their states; `text` makes titles and cards.
pub(crate) fn fill(file: &Path, rows: usize, mut text: impl FnMut() -> (String, String)) {
    let mut c = SqliteConnection::establish(&file.display().to_string()).unwrap();
    let triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger'";
    let triggers: Vec<Trigger> = diesel::sql_query(triggers).load(&mut c).unwrap();
    let mut run = |sql: String| c.batch_execute(&sql).unwrap();
    triggers.iter().for_each(|trigger| run(format!("DROP TRIGGER {}", trigger.name)));
    run("PRAGMA foreign_keys = OFF; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN; \
         CREATE TEMP TABLE texts (n INTEGER PRIMARY KEY, title TEXT, card TEXT)"
        .to_string());
    for n in 0..TEXTS {
        let (title, card) = text();
        run(format!("INSERT INTO texts VALUES ({n}, '{title}', '{card}')"));
    }
    run(format!(
        "CREATE TEMP TABLE numbers AS WITH RECURSIVE t (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM t WHERE n < {rows} - 1) \
         SELECT n, n * 7919 % {TEXTS} AS titled, n * 104729 % {TEXTS} AS told FROM t"
    ));
    for (n, (uses, price)) in TERMS.iter().enumerate() {
        let price = price.map_or(r#"{"model":"free"}"#.to_string(), |fen| {
            format!(r#"{{"model":"one_off","amount":{{"amount_minor":{fen},"currency":"CNY"}}}}"#)
        });
        let document = format!(
            r#"{{"permitted_uses":[{uses}],"prohibited_uses":[],"territory":["*"],"duration_days":null,"attribution":true,"affiliates":false,"price":{price}}}"#
        );
        run(format!(
            "INSERT INTO terms VALUES (printf('terms_{ID}%012d', {n}), '{}', '{n}', '{document}', '{}', {AT})",
            id("org", 0),
            id("statement", 0)
        ));
    }
    tables(rows).into_iter().for_each(run);
}

/// Each table that search reads, a row for each number.
fn tables(rows: usize) -> Vec<String> {
    let modality = choice("n / 5", &["text", "image", "audio", "video"]);
    let domain = choice("n / 7", &["education", "finance", "manufacturing", "biomedicine", "robotics", "design"]);
    let language = choice("n / 3", &["[\"zh-Hans\"]", "[\"en\"]", "[\"zh-Hant\"]", "[\"de\"]", "[\"ja\"]"]);
    let format = choice("n / 2", &["application/jsonl", "application/vnd.apache.parquet", "application/x-tar"]);
    let checklist = r#"[{"key":"personal_information","finding":"not_applicable","evidence":[]}]"#;
    let statement = id("statement", 0);
    let own = |kind: &str| format!("printf('{kind}_{ID}%012d', n)");
    let (dataset, version, listing, assessment) = (own("dataset"), own("version"), own("listing"), own("assessment"));
    let provider = format!("printf('org_{ID}%012d', n % {PROVIDERS})");
    let terms = format!("printf('terms_{ID}%012d', n % {})", TERMS.len());
    vec![
        format!(
            "INSERT INTO organisations (id, handle, legal_name, registration_number, country, affiliations, state, created_at, verified_at) \
             SELECT {provider}, 'provider-' || n, 'Provider ' || n || ' Ltd', n, 'CN', '[]', 'verified', {AT}, {AT} \
             FROM numbers WHERE n < {}",
            PROVIDERS.min(rows)
        ),
        format!(
            "INSERT INTO datasets (id, organisation_id, name, title, modality, domain, languages, created_at) \
             SELECT {dataset}, {provider}, 'corpus-' || numbers.n, title, {modality}, {domain}, {language}, {AT} \
             FROM (SELECT n, titled FROM numbers) numbers JOIN (SELECT n AS at, title FROM texts) ON at = titled"
        ),
        format!(
            "INSERT INTO versions (id, dataset_id, number, state, card, created_at) \
             SELECT {version}, {dataset}, 1, 'assessed', card, {AT} \
             FROM (SELECT n, told FROM numbers) numbers JOIN (SELECT n AS at, card FROM texts) ON at = told"
        ),
        format!(
            "INSERT INTO seals (version_id, statement_id, manifest_sha256, shard_count, total_bytes, sealed_at) \
             SELECT {version}, '{statement}', '{}', 1, 1 << (n * 31 % 44), {AT} FROM numbers",
            "00".repeat(32)
        ),
        format!(
            "INSERT INTO shards (version_id, path, object_id, sha256, size_bytes, media_type) \
             SELECT {version}, 'data/a', '{}', '{}', 1, {format} FROM numbers",
            id("object", 0),
            "00".repeat(32)
        ),
        format!(
            "INSERT INTO assessments (id, version_id, checklist, decision, assessor_id, statement_id, assessed_at, valid_until) \
             SELECT {assessment}, {version}, '{checklist}', 'passed', '{}', '{statement}', {AT}, {AT} FROM numbers",
            id("user", 0)
        ),
        format!(
            "INSERT INTO listings (id, version_id, terms_id, assessment_id, provider_id, state, notice_ends_at, created_at) \
             SELECT {listing}, {version}, {terms}, {assessment}, {provider}, 'listed', {AT}, {AT} FROM numbers"
        ),
        "COMMIT".to_string(),
    ]
}

fn id(kind: &str, n: usize) -> String {
    format!("{kind}_{ID}{n:012}")
}

fn choice(of: &str, values: &[&str]) -> String {
    let mut sql = format!("CASE {of} % {}", values.len());
    for (n, value) in values.iter().enumerate() {
        write!(sql, " WHEN {n} THEN '{value}'").unwrap();
    }
    sql + " END"
}
