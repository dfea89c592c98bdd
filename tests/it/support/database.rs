//! Where one test keeps its rows and objects.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use corpex::config::Config;
use corpex::db::{Conn, Db};
use corpex::error::Result;
use diesel::connection::{InstrumentationEvent, SimpleConnection as _};
use diesel::{Connection as _, PgConnection};
use tokio::task::JoinHandle;

/// How many connections each exchange keeps open at most.
pub const CONNECTIONS: u32 = 4;
/// How often something is looked at that is about to come.
const MOMENT: Duration = Duration::from_millis(5);

/// Points an exchange at the bucket of the environment (`TEST_S3_ENDPOINT`, `TEST_S3_BUCKET`, `TEST_S3_REGION`, and
/// `AWS_*` for the credentials), where there is one. Exchanges share it: they choose keys that never meet.
pub fn use_bucket_of_the_environment(config: &mut Config) {
    let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    if let (Some(endpoint), Some(bucket)) = (variable("TEST_S3_ENDPOINT"), variable("TEST_S3_BUCKET")) {
        config.s3_endpoint = Some(endpoint);
        config.s3_bucket = Some(bucket);
        config.s3_region = variable("TEST_S3_REGION");
    }
}

/// SQLite in the test's folder (`url` is none), or a schema of its own on `TEST_DATABASE_URL`.
pub struct TestDatabase {
    pub url: Option<String>,
    schema: Option<(String, String)>,
}

impl TestDatabase {
    /// Points an exchange at this database.
    pub fn configure(&self, config: &mut Config) {
        config.database_url = self.url.clone();
        // Many exchanges run at once, and a server has some 100 connections for all of them.
        config.database_connections = CONNECTIONS;
    }

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
            // A server that was killed may have left a transaction behind, which ends when PostgreSQL notices: until
            // then it can hold what the removal needs, and each wait for the other.
            let removal = format!("DROP SCHEMA {name} CASCADE");
            let dropped = std::thread::spawn(move || {
                let mut connection = PgConnection::establish(&server).unwrap();
                (0..5).any(|_| connection.batch_execute(&removal).inspect_err(|error| eprintln!("{error}")).is_ok())
            })
            .join();
            let dropped = dropped.ok().filter(|dropped| *dropped).ok_or(());
            if dropped.is_err() && !std::thread::panicking() {
                panic!("the test's schema could not be dropped");
            }
        }
    }
}

/// The statements that are sent on a connection, from when it is [watched](watch) on.
pub type Statements = Arc<Mutex<Vec<String>>>;

/// Takes down every statement of a connection, for as long as it is open.
pub fn watch(c: &mut Conn) -> Statements {
    let seen = Statements::default();
    let noted = seen.clone();
    c.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            noted.lock().unwrap().push(query.to_string());
        }
    });
    seen
}

/// What is read over one snapshot, and with how many statements.
pub async fn counted<T: Send + 'static>(
    db: &Db,
    work: impl FnOnce(&mut Conn) -> Result<T> + Send + 'static,
) -> (T, usize) {
    let read = move |c: &mut Conn| {
        let statements = watch(c);
        let outcome = work(c)?;
        let sent = statements.lock().unwrap().len();
        Ok((outcome, sent))
    };
    db.read(read).await.unwrap()
}

/// Begins a write that ends when it is told to.
pub async fn keep_busy(db: &Db) -> (mpsc::Sender<()>, JoinHandle<Result<bool>>) {
    let ((begin, begun), (release, released)) = (mpsc::channel(), mpsc::channel::<()>());
    let (busy, released) = (db.clone(), Mutex::new(released));
    let wait = move |_: &mut Conn| Ok(begin.send(()).is_ok() && released.lock().unwrap().recv().is_ok());
    let busy = tokio::spawn(async move { busy.write(wait).await });
    while begun.try_recv().is_err() {
        tokio::time::sleep(MOMENT).await;
    }
    (release, busy)
}

/// What is asked for, with so many writes in it that all come while the database is busy, and so are done in one group.
pub async fn in_one_group<T>(db: &Db, writes: usize, asked: impl Future<Output = T>) -> T {
    let (release, busy) = keep_busy(db).await;
    let all_wait = async {
        while db.waiting() < writes {
            tokio::time::sleep(MOMENT).await;
        }
        release.send(()).unwrap();
    };
    let (asked, ()) = tokio::join!(asked, all_wait);
    assert!(busy.await.unwrap().unwrap());
    asked
}
