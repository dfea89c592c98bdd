//! One migration set on both databases, and tables that never change.

use corpex::db::APPEND_ONLY;
use diesel::connection::SimpleConnection as _;

use crate::support::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn migrations_go_down_and_up_again_with_data_in_the_tables() {
    let app = TestApp::start_with(|config| config.no_worker = true).await;
    let _lab = app.lab("verse-lab", 50_000).await;
    let db = app.app().db.clone();
    db.revert_all_migrations().await.unwrap();
    let emptied = db.read(corpex::jobs::count).await.unwrap_err();
    assert_eq!(emptied.kind, corpex::error::Kind::Internal, "a table outlived its migration: {emptied:?}");
    db.migrate().await.unwrap();
    db.migrate().await.unwrap();
    assert_eq!(db.read(corpex::jobs::count).await.unwrap().live, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_append_only_tables_cannot_be_changed_or_removed() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", 50_000).await;
    let lab = app.lab("verse-lab", 50_000).await;
    let entitlement = lab.buy(&offer).await.unwrap();
    lab.links(&entitlement, &["data/a.jsonl"]).await.unwrap();
    app.compliance.get("/v1/trace?subject=poetry-house/poems").await.unwrap();
    for table in APPEND_ONLY {
        let column = column(table);
        for sql in [format!("DELETE FROM {table}"), format!("UPDATE {table} SET {column} = {column}")] {
            let error = app.app().db.write(move |c| Ok(c.batch_execute(&sql)?)).await.unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains("append-only"), "{table}: {cause}");
        }
    }
}

/// A column that the table has.
fn column(table: &str) -> &'static str {
    match table {
        "log_sequence" => "leaf_index",
        "log_checkpoints" => "tree_size",
        "seals" => "version_id",
        _ => "id",
    }
}
