//! The house rules, executed. What a machine can check, nobody has to remember.

use std::fs;
use std::path::{Path, PathBuf};

const MOST_LINES: usize = 500;
/// The last migration of the first release: no program of a release lacks it.
const FIRST_RELEASE: &str = "2026-11-26-000023_audit_trail";

/// Every Rust file below `src`, as (path from `src/`, text).
pub fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(found.len() > 20, "the sources were not found");
    found
}

/// The text without its comments and without its tests.
fn code(text: &str) -> String {
    let before_tests = text.split("#[cfg(test)]").next().unwrap_or_default();
    before_tests.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Refuses `word` in every file whose path `may_use` does not allow.
fn only_in(word: &str, may_use: impl Fn(&str) -> bool) {
    let trespassers: Vec<_> = sources()
        .into_iter()
        .filter(|(name, text)| !may_use(name) && code(text).contains(word))
        .map(|(n, _)| n)
        .collect();
    assert!(trespassers.is_empty(), "`{word}` does not belong in {trespassers:?}");
}

fn is_routes(name: &str) -> bool {
    name.ends_with("/routes.rs") || name.contains("/routes/")
}

#[test]
fn only_routes_and_the_server_speak_http() {
    only_in("actix_web", |name| {
        is_routes(name) || name == "error.rs" || ["http/", "server/"].iter().any(|room| name.starts_with(room))
    });
}

/// Nouns may derive what makes them rows; statements are written where the tables are remembered.
#[test]
fn only_queries_speak_diesel() {
    let may = |name: &str| {
        name.ends_with("queries.rs") || name.contains("/queries/") || name.starts_with("db") || name == "schema.rs"
    };
    for word in [
        "insert_into(",
        "diesel::update",
        "diesel::delete",
        "diesel::select",
        "diesel::dsl",
        "sql_query",
        "diesel::prelude",
    ] {
        only_in(word, may);
    }
    // Column types belong to the values they store, and database errors to the table of errors.
    only_in("diesel::serialize", |name| may(name) || name.starts_with("types"));
    only_in("diesel::result", |name| may(name) || name == "error.rs");
}

/// A row whose absent values may be defaults makes another statement each time, which no connection keeps prepared.
#[test]
fn rows_are_inserted_as_they_are() {
    for (name, text) in sources() {
        let derived = text.split("#[derive(").skip(1).filter_map(|rest| rest.split_once(")]"));
        for (_, rest) in derived.filter(|(derived, _)| derived.contains("Insertable")) {
            let attributes = rest.split("struct ").next().unwrap_or_default();
            let says = attributes.contains("#[diesel(treat_none_as_default_value = false)]");
            assert!(says, "src/{name}: a row to insert lacks #[diesel(treat_none_as_default_value = false)]");
        }
    }
}

#[test]
fn only_the_s3_store_knows_the_aws_sdk() {
    only_in("aws_sdk_s3", |name| name == "store/s3.rs" || name.starts_with("store/s3/"));
}

/// Upper storeys first: a folder may call those below it, never those above.
const STOREYS: &[&[&str]] = &[
    &["cli"],
    &["server"],
    &["exports", "hub", "worker", "app", "ops"],
    &["events"],
    &["compliance"],
    &["models"],
    &["delivery"],
    &["market"],
    &["assessment", "terms"],
    &["catalog"],
    &["identity", "ledger"],
    &["provenance"],
    &["jobs", "history", "idempotency", "store", "keys", "schemas", "leases"],
    &["signing", "db", "config", "types", "error", "outgoing", "schema", "shelf", "failpoints", "http"],
];

fn storey(room: &str) -> Option<usize> {
    STOREYS.iter().position(|rooms| rooms.contains(&room))
}

#[test]
fn dependencies_point_down() {
    let mut climbs = Vec::new();
    for (name, text) in sources() {
        // Routes, and actions that move objects as well as rows, are handed the App that holds them all.
        let from = name.split(['/', '.']).next().unwrap_or_default().to_string();
        let Some(floor) = storey(&from) else { continue };
        for room in STOREYS.iter().flat_map(|rooms| rooms.iter()) {
            let used =
                code(&text).contains(&format!("crate::{room}::")) || code(&text).contains(&format!("crate::{room};"));
            let handed = *room == "app";
            if used && !handed && *room != from && storey(room).unwrap() < floor {
                climbs.push(format!("{name} calls {room}"));
            }
        }
    }
    assert!(climbs.is_empty(), "dependencies point upwards: {climbs:#?}");
}

#[test]
fn a_domain_never_calls_another_domains_queries() {
    for (name, text) in sources() {
        for line in code(&text).lines() {
            assert!(!(line.contains("crate::") && line.contains("::queries")), "{name}: {line}");
        }
    }
}

#[test]
fn files_stay_readable() {
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|(name, text)| name != "schema.rs" && text.lines().count() > MOST_LINES)
        .map(|(name, text)| format!("{name}: {} lines", text.lines().count()))
        .collect();
    assert!(long.is_empty(), "longer than {MOST_LINES} lines: {long:#?}");
}

#[test]
fn every_module_says_what_it_is() {
    for (name, text) in sources() {
        assert!(text.starts_with("//!"), "src/{name} must begin with what it is and why it is so");
    }
}

#[test]
fn nothing_is_left_unfinished() {
    for word in ["TODO", "FIXME", "XXX", "unimplemented!", "#[ignore", "allow(dead_code"] {
        only_in(word, |_| false);
    }
}

/// What stands last in each row of its tables of threats: files, and after some of them what is in it.
#[test]
fn code_and_tests_that_security_md_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let (_, threats) = text.split_once("## Threats").unwrap();
    let mut files = 0;
    for row in threats.lines().filter(|line| line.starts_with('|')) {
        let last = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let mut file = root.to_path_buf();
        for name in last.split('`').skip(1).step_by(2) {
            if name.contains('/') {
                file = root.join(name);
                assert!(file.exists(), "SECURITY.md names {name}, which is not there");
                files += 1;
            } else {
                let has = fs::read_to_string(&file).unwrap().contains(&format!("fn {name}("));
                assert!(has, "SECURITY.md names {name}, which is not in {}", file.display());
            }
        }
    }
    assert!(files > 20, "the tables were not found");
}

/// While a version is rolled out, instances of the one before it go on.
#[test]
fn what_the_release_before_uses_is_taken_away_only_by_a_migration_that_says_so() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    assert!(folder.join(FIRST_RELEASE).exists(), "there is no migration {FIRST_RELEASE}");
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.as_str() <= FIRST_RELEASE || name.contains("_drop_") {
            continue;
        }
        let sql = fs::read_to_string(folder.join(&name).join("up.sql")).unwrap().to_uppercase();
        for word in ["DROP TABLE", "DROP COLUMN", "RENAME"] {
            assert!(
                !sql.contains(word),
                "migrations/{name}: {word}; expand first, and let a `_drop_` of a later release contract"
            );
        }
    }
}

#[test]
fn no_io_inside_a_transaction() {
    for (name, text) in sources() {
        let code = code(&text);
        for (at, _) in code.match_indices("db.write(").chain(code.match_indices("db.read(")) {
            let work: String = code[at..].chars().take_while(|c| *c != ';').collect();
            let closure = work.split(".await").next().unwrap_or_default();
            for word in ["store.", "http.", "block_on"] {
                assert!(!closure.contains(word), "{name}: `{word}` inside a database closure:\n{closure}");
            }
        }
    }
}
