//! A database for one test.

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};

/// SQLite in the test's folder (`url` is none), or a schema of its own on `TEST_DATABASE_URL`.
pub struct TestDatabase {
    pub url: Option<String>,
    schema: Option<(String, String)>,
}

impl TestDatabase {
    pub async fn create() -> Self {
        let Ok(server) = std::env::var("TEST_DATABASE_URL") else { return Self { url: None, schema: None } };
        let name = format!("test_{}", uuid::Uuid::now_v7().simple());
        let sql = format!("CREATE SCHEMA {name}");
        let at = server.clone();
        tokio::task::spawn_blocking(move || PgConnection::establish(&at).unwrap().batch_execute(&sql).unwrap())
            .await
            .unwrap();
        let separator = if server.contains('?') { '&' } else { '?' };
        let url = format!("{server}{separator}options=-csearch_path%3D{name}");
        Self { url: Some(url), schema: Some((server, name)) }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Some((server, name)) = self.schema.take() {
            let dropped = std::thread::spawn(move || {
                PgConnection::establish(&server)
                    .unwrap()
                    .batch_execute(&format!("DROP SCHEMA {name} CASCADE"))
                    .unwrap();
            })
            .join();
            if dropped.is_err() && !std::thread::panicking() {
                panic!("the test's schema could not be dropped");
            }
        }
    }
}
