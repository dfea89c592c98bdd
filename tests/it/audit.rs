//! What an audit finds: whatever was changed past the rules, by whoever could write to the database or to the store.

use std::time::Duration;

use corpex::cli::client::Client;
use corpex::db::Conn;
use corpex::{compliance, provenance};
use diesel::connection::SimpleConnection as _;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::process::{Exchange, organisation};

#[tokio::test(flavor = "multi_thread")]
async fn states_without_their_history_and_licences_without_their_trade_are_found() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", 50_000).await;
    let lab = app.lab("verse-lab", 100_000).await;
    let (kept, lost) = (lab.buy(&offer).await.unwrap(), lab.buy(&offer).await.unwrap());
    app.told().await;
    let db = app.app().db.clone();
    assert_eq!(db.read(compliance::audit).await.unwrap(), Vec::<String>::new());

    // Both steps are drawn in the database, and neither was taken by the exchange.
    let changes = format!(
        "UPDATE orders SET state = 'refunded' WHERE id = (SELECT order_id FROM entitlements WHERE id = '{kept}'); \
         DELETE FROM entitlements WHERE id = '{lost}'"
    );
    db.write(move |c| Ok(c.batch_execute(&changes)?)).await.unwrap();
    let found = db.read(compliance::audit).await.unwrap().join("\n");
    for finding in [
        format!("licence {kept} stands, and the price of its order"),
        "is refunded, and its history leads to escrowed".to_string(),
        "is escrowed, and there is no licence".to_string(),
        "the exchange's escrow (escrow): CNY 1000.00 instead of CNY 500.00".to_string(),
    ] {
        assert!(found.contains(&finding), "{finding} is not among {found}");
    }
    app.abandon().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_brought_back_to_life_is_found_whatever_is_taken_away_with_it() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let keys = provider.get("/v1/organisations/poetry-house/keys").await.unwrap();
    let (id, key_id) = (keys["items"][0]["id"].as_str().unwrap(), keys["items"][0]["key_id"].as_str().unwrap());
    provider.post(format!("/v1/organisations/poetry-house/keys/{id}/revocation"), &json!({})).await.unwrap();
    app.sequenced().await;
    let db = app.app().db.clone();
    assert_eq!(db.read(compliance::audit).await.unwrap(), Vec::<String>::new());

    let alive_again = format!("UPDATE signing_keys SET revoked_at = NULL WHERE id = '{id}'");
    db.write(move |c| Ok(c.batch_execute(&alive_again)?)).await.unwrap();
    let found = db.read(compliance::audit).await.unwrap().join("\n");
    assert!(
        found.contains(&format!("the signing key {key_id} of poetry-house is not what the log says of it")),
        "{found}"
    );

    let log = async || {
        let (keys, origin) = (app.app().keys.clone(), app.app().config.log_origin.clone());
        db.read(move |c| provenance::audit::audit(c, &keys, &origin)).await.unwrap().join("\n")
    };
    assert_eq!(log().await, "");
    let unsaid = "DELETE FROM statements WHERE kind = 'key-revocation'";
    let (sqlite, postgres) = (
        format!("DROP TRIGGER statements_refuse_DELETE; {unsaid}"),
        format!("ALTER TABLE statements DISABLE TRIGGER USER; {unsaid}"),
    );
    let unsay = move |c: &mut Conn| match c {
        Conn::Sqlite(c) => c.batch_execute(&sqlite),
        Conn::Pg(c) => c.batch_execute(&postgres),
    };
    db.write(move |c| Ok(unsay(c)?)).await.unwrap();
    let found = log().await;
    assert!(found.starts_with("the log has ") && found.ends_with(" statements: some are lost"), "{found}");
    app.abandon().await;
}

/// How many entries the log shows.
async fn shown(anyone: &Client) -> u64 {
    let checkpoint = anyone.get("/log/checkpoint").text().await;
    checkpoint.map_or(0, |note| note.lines().nth(1).unwrap().parse().unwrap())
}

async fn shows_more_than(anyone: &Client, size: u64) -> u64 {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while shown(anyone).await <= size {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    waited.await.expect("the log does not grow");
    shown(anyone).await
}

/// Only where database and objects lie in a folder of the test's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_set_back_and_objects_of_nobody_are_found() {
    if ["TEST_DATABASE_URL", "TEST_S3_ENDPOINT"].iter().any(|name| std::env::var_os(name).is_some()) {
        return;
    }
    let mut exchange = Exchange::serve().await;
    let operator = exchange.platform("operator");
    let anyone = Client::new(&exchange.url, None).unwrap();
    organisation(&exchange, &operator, "poetry-house");
    let earlier = shows_more_than(&anyone, 0).await;
    exchange.stop();
    let data = exchange.folder.path().join("data");
    let (database, copy) = (data.join("corpex.sqlite3"), data.join("copy.sqlite3"));
    std::fs::copy(&database, &copy).unwrap();
    exchange.start();
    organisation(&exchange, &operator, "verse-lab");
    shows_more_than(&anyone, earlier).await;
    exchange.stop();
    exchange.audit();
    let compared = |args: &[&str]| -> Value {
        let audited = exchange.operate(&[&["audit", "--json"], args].concat());
        serde_json::from_slice(&audited.stdout).unwrap()
    };
    let all = compared(&[])["statements"].as_u64().unwrap();
    assert!(all > 0 && compared(&["--since", "2999-01-01T00:00:00Z"])["statements"] == 0, "{all}");
    assert_eq!(compared(&["--since", "2000-01-01T00:00:00Z"])["statements"], all);

    let stray = data.join("objects/objects/ab/0123456789abcdef0123456789abcdef");
    std::fs::create_dir_all(stray.parent().unwrap()).unwrap();
    std::fs::write(&stray, "of nobody").unwrap();
    assert!(exchange.operate(&["audit"]).status.success(), "it may be just being stored");
    std::fs::copy(&copy, &database).unwrap();
    let audited = exchange.operate(&["audit", "--json", "--orphans-after", "0"]);
    assert_eq!(audited.status.code(), Some(1), "{}", String::from_utf8_lossy(&audited.stderr));
    let said: Value = serde_json::from_slice(&audited.stdout).unwrap();
    let found: Vec<_> = said["findings"].as_array().unwrap().iter().map(|finding| finding.as_str().unwrap()).collect();
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains("it was set back"), "{found:#?}");
    assert!(found[1].contains("objects/ab/0123456789abcdef0123456789abcdef belongs to nothing"), "{found:#?}");
}
