//! One migration set on both databases, and tables that never change.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use corpex::app::App;
use corpex::config::Config;
use corpex::db::{APPEND_ONLY, Conn, Db, KEPT_A_WHILE};
use corpex::error::Kind;
use corpex::jobs::{self, Job};
use corpex::types::DAY;
use diesel::connection::SimpleConnection as _;
use diesel::result::{DatabaseErrorKind, Error as Diesel};
use diesel::{Connection as _, PgConnection, RunQueryDsl as _};
use futures_util::future::join_all;
use serde_json::json;

use crate::support::{TestApp, TestDatabase, in_one_group, keep_busy};

#[tokio::test(flavor = "multi_thread")]
async fn migrations_go_down_and_up_again_with_data_in_the_tables() {
    let app = TestApp::start_with(|config| config.no_worker = true).await;
    let _lab = app.lab("verse-lab", 50_000).await;
    let provider = app.provider().await;
    let published = provider.publish("poems", &[("data/a.jsonl", b"{}\n")]).await;
    app.compliance.assess(&published).await;
    let terms = provider.publish_terms(50_000).await;
    provider.list(&published, &terms).await;
    let db = app.app().db.clone();
    db.revert_all_migrations().await.unwrap();
    let emptied = db.read(corpex::jobs::count).await.unwrap_err();
    assert_eq!(emptied.kind, Kind::Internal, "a table outlived its migration: {emptied:?}");
    db.migrate().await.unwrap();
    db.migrate().await.unwrap();
    assert_eq!(db.read(corpex::jobs::count).await.unwrap().live, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_serves_or_migrates_brings_an_old_schema_up_to_date() {
    let app = TestApp::start_with(|config| config.no_worker = true).await;
    let config = (*app.app().config).clone();
    let as_the_version_before_left_it = "DROP TABLE sweeps; \
                                         DELETE FROM __diesel_schema_migrations WHERE version = '20261126000024'";
    app.app().db.write(move |c| Ok(c.batch_execute(as_the_version_before_left_it)?)).await.unwrap();
    for refused in [App::open_standing(config.clone()).await, App::open_or_begin(config.clone()).await] {
        let refused = refused.err().unwrap();
        assert_eq!((refused.kind, refused.detail.contains("lacks 1 migration")), (Kind::WrongState, true), "{refused}");
        assert!(refused.remedy.unwrap().contains("corpex migrate"));
    }
    app.app().db.migrate().await.unwrap();
    App::open_standing(config.clone()).await.unwrap();

    let nowhere = tempfile::tempdir().unwrap();
    let none = Config::embedded(&nowhere.path().join("none"));
    assert_eq!(App::open_standing(none).await.err().unwrap().kind, Kind::NotFound);
    assert!(!nowhere.path().join("none").exists(), "nothing was made");
}

/// SQLite takes one writer at a time, whoever it is.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_background_writes_waits_for_no_request_where_there_is_room_for_both() {
    let app = TestApp::start_with(|config| config.no_worker = true).await;
    let (requests, background) = (app.app().db.clone(), app.app().db.for_background());
    let (release, held) = keep_busy(&requests).await;
    let waiting = background.clone();
    let written = tokio::spawn(async move { background.write(|c| Ok(jobs::count(c)?.live)).await });
    match app.app().config.database_url().starts_with("postgres") {
        true => assert_eq!(written.await.unwrap().unwrap(), 0),
        false => {
            while waiting.waiting() < 1 {
                tokio::task::yield_now().await;
            }
            drop(written);
        }
    }
    release.send(()).unwrap();
    assert!(held.await.unwrap().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_append_only_tables_cannot_be_changed_or_removed() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", 50_000).await;
    provider.publish_from("selection", &[("a.jsonl", b"{}\n")], &[json!({ "url": "https://example.org/" })]).await;
    let lab = app.lab("verse-lab", 50_001).await;
    lab.announce(1, 3000, 1).await;
    let entitlement = lab.buy(&offer).await.unwrap();
    lab.links(&entitlement, &["data/a.jsonl"]).await.unwrap();
    lab.declare_model("Verse", &offer.dataset, &entitlement).await.unwrap();
    app.compliance.get("/v1/trace?subject=poetry-house/poems").await.unwrap();
    app.organisation("rival-house").await.publish("copies", &[("a.jsonl", b"{\"text\":\"one\"}\n")]).await;
    app.drain().await;
    let open = provider.list_again(&offer, &json!({ "evaluation_days": 14 })).await;
    lab.evaluate(&open).await.unwrap();
    app.told().await;
    let closing = "INSERT INTO ledger_closings SELECT account_id, ledger_postings.id, amount_minor, posted_at \
                   FROM ledger_postings JOIN ledger_transactions ON ledger_transactions.id = transaction_id \
                   JOIN ledger_accounts ON ledger_accounts.id = account_id WHERE ledger_accounts.kind = 'bank' \
                   ORDER BY ledger_postings.id LIMIT 1";
    app.app().db.write(move |c| Ok(c.batch_execute(closing)?)).await.unwrap();
    app.clock.advance(DAY);
    corpex::identity::close_days(app.app()).await.unwrap();
    for table in APPEND_ONLY.iter().chain(KEPT_A_WHILE) {
        let column = column(table);
        let mut attempts = vec![format!("UPDATE {table} SET {column} = {column}")];
        attempts.extend(APPEND_ONLY.contains(table).then(|| format!("DELETE FROM {table}")));
        // SQLite has no such statement.
        attempts.extend(app.app().config.database_url.as_ref().map(|_| format!("TRUNCATE {table} CASCADE")));
        for sql in attempts {
            let error = app.app().db.write(move |c| Ok(c.batch_execute(&sql)?)).await.unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains("append-only"), "{table}: {cause}");
        }
    }
}

/// A column that the table has.
fn column(table: &str) -> &'static str {
    match table {
        "audit_days" => "records",
        "log_sequence" => "leaf_index",
        "board_changes" => "position",
        "log_checkpoints" | "log_publications" => "tree_size",
        "seals" | "offered_versions" | "inspections" => "version_id",
        "version_parents" => "child_id",
        "ledger_closings" => "account_id",
        "model_versions" => "model_id",
        _ => "id",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_passes_over_a_failed_statement_keeps_nothing() {
    let app = TestApp::start_with(|config| config.no_worker = true).await;
    let (db, now) = (app.app().db.clone(), app.clock.now());
    let error = db
        .write(move |c| {
            jobs::enqueue(c, Job::SweepObject { storage_key: "objects/00/none".to_string() }, now)?;
            let _ = c.batch_execute("INSERT INTO no_such_table VALUES (1)");
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(format!("{error:?}").contains("no_such_table"), "{error:?}");
    assert_eq!(db.read(jobs::count).await.unwrap().live, 0);
}

/// Only where there is a connection that can break: on PostgreSQL.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_committed_when_the_connection_broke_is_not_done_again() {
    let app = TestApp::start_with(|config| config.no_worker = true).await;
    let db = app.app().db.clone();
    if app.app().config.database_url.is_none() {
        return;
    }
    let ends = "CREATE TABLE fatal (number BIGINT); \
                CREATE FUNCTION end_connection() RETURNS trigger LANGUAGE plpgsql AS \
                    $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$; \
                CREATE CONSTRAINT TRIGGER end_connection AFTER INSERT ON fatal DEFERRABLE INITIALLY DEFERRED \
                    FOR EACH ROW EXECUTE FUNCTION end_connection()";
    db.write(move |c| Ok(c.batch_execute(ends)?)).await.unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let writes = (0..3).map(|number| {
        let runs = runs.clone();
        db.write(move |c| {
            runs.fetch_add(1, Ordering::SeqCst);
            Ok(c.batch_execute(&format!("INSERT INTO fatal VALUES ({number})"))?)
        })
    });
    for outcome in in_one_group(&db, 3, join_all(writes)).await {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind, Kind::OutcomeUnknown, "{error:?}");
        assert!(error.detail.contains("may have been done"), "{error:?}");
    }
    assert_eq!(runs.load(Ordering::SeqCst), 3, "each ran once");
    db.write(|c| Ok(c.batch_execute("DROP TABLE fatal")?)).await.unwrap();
}

/// On PostgreSQL; SQLite never has two who write.
#[tokio::test(flavor = "multi_thread")]
async fn what_met_a_conflict_is_repeated_while_nobody_else_writes_and_so_is_what_follows_begun() {
    #[derive(diesel::QueryableByName)]
    struct Lock {
        #[diesel(sql_type = diesel::sql_types::Text)]
        mode: String,
    }
    let database = TestDatabase::create().await;
    let Some(url) = &database.url else { return };
    let db = Db::open(url, 1).unwrap();
    db.migrate().await.unwrap();
    let turns = Arc::new(Mutex::new(Vec::new()));
    let told = turns.clone();
    let write = move |c: &mut Conn| {
        let own = "SELECT mode FROM pg_locks WHERE relation = 'state_edges'::regclass AND pid = pg_backend_pid()";
        let mut turns = told.lock().unwrap();
        turns.extend(diesel::sql_query(own).load::<Lock>(c)?.into_iter().map(|lock| lock.mode));
        match turns.len() {
            1 => Err(Diesel::DatabaseError(DatabaseErrorKind::SerializationFailure, Box::new(String::new())).into()),
            _ => Ok(()),
        }
    };
    db.write(write.clone()).await.unwrap();
    db.write(write).await.unwrap();
    assert_eq!(*turns.lock().unwrap(), ["RowShareLock", "ExclusiveLock", "ExclusiveLock"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_sorts_by_its_bytes() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let version = provider.draft("poems").await;
    let by_bytes = ["B.jsonl", "a-b.jsonl", "a.jsonl", "a/b.jsonl", "aa.jsonl", "b.jsonl", "e.jsonl", "唐诗.jsonl"];
    for path in by_bytes.iter().rev() {
        provider.put_shard(&version, path, b"{}\n").await.unwrap();
    }
    let listed = provider.get(format!("{version}/shards")).await.unwrap();
    let listed: Vec<_> = listed["items"].as_array().unwrap().iter().map(|shard| shard["path"].clone()).collect();
    assert_eq!(listed, by_bytes);
}

/// Only where `TEST_DATABASE_URL` asks for it; its certificate must not name `localhost`.
#[tokio::test]
async fn a_server_whose_certificate_names_another_host_is_not_talked_to() {
    let database = TestDatabase::create().await;
    let Some(url) = database.url.as_ref().filter(|url| url.contains("sslmode=verify-full")) else { return };
    PgConnection::establish(url).unwrap();
    let elsewhere = url.replace("@127.0.0.1:", "@localhost:");
    assert_ne!(*url, elsewhere);
    let error = PgConnection::establish(&elsewhere).err().expect("the certificate was not looked at");
    assert!(error.to_string().contains("localhost"), "{error}");
}
