//! A long past: the first purchases, repeated in the database under other identifiers.
//!
//! Every row that a purchase leaves is repeated but two kinds: places in the log, for the sequencer would have to sign
//! them, and what the queues held for a moment. Documents are left out; nobody reads them again.

use corpex::app::App;
use corpex::db::Conn;
use corpex::error::Result;
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::Text;

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    name: String,
}

const STATEMENTS: &str = "SELECT statement_id FROM contracts WHERE order_id IN (SELECT id FROM past) \
                          UNION ALL SELECT statement_id FROM entitlements WHERE order_id IN (SELECT id FROM past)";
const SUBJECTS: &str =
    "SELECT id FROM past UNION ALL SELECT id FROM entitlements WHERE order_id IN (SELECT id FROM past)";
const PAYMENTS: &str =
    "SELECT id FROM ledger_transactions WHERE kind = 'payment' AND reference IN (SELECT id FROM past)";

/// Repeats the first `few` purchases so often that there are `times` as many.
pub async fn repeat_past(app: &App, few: usize, times: usize) {
    let digits = "SELECT '0' AS n UNION ALL SELECT '1' UNION ALL SELECT '2' UNION ALL SELECT '3' UNION ALL SELECT '4' UNION ALL \
                  SELECT '5' UNION ALL SELECT '6' UNION ALL SELECT '7' UNION ALL SELECT '8' UNION ALL SELECT '9'";
    let prepare = format!(
        "CREATE TABLE past AS SELECT id FROM orders ORDER BY id LIMIT {few}; \
         CREATE TABLE digits AS {digits}; \
         CREATE TABLE repeats AS SELECT a.n || b.n || c.n AS n FROM digits a, digits b, digits c ORDER BY 1 LIMIT {times};"
    );
    app.db.write(move |c| Ok(c.batch_execute(&prepare)?)).await.unwrap();
    let statements_of_past = format!("id IN ({STATEMENTS})");
    let tables: [(&str, String, &[&str]); 9] = [
        ("orders", "id IN (SELECT id FROM past)".into(), &["id"]),
        ("log_entries", format!("id IN (SELECT entry_id FROM statements WHERE {statements_of_past})"), &["id"]),
        ("statements", statements_of_past, &["id", "subject", "entry_id"]),
        ("contracts", "order_id IN (SELECT id FROM past)".into(), &["id", "order_id", "statement_id"]),
        ("ledger_transactions", format!("id IN ({PAYMENTS})"), &["id", "reference"]),
        ("ledger_postings", format!("transaction_id IN ({PAYMENTS})"), &["id", "transaction_id"]),
        ("transitions", format!("subject IN ({SUBJECTS})"), &["id", "subject"]),
        ("events", format!("subject IN ({SUBJECTS})"), &["id", "subject", "position"]),
        ("entitlements", "order_id IN (SELECT id FROM past)".into(), &["id", "order_id", "statement_id"]),
    ];
    for (table, past, renamed) in tables {
        app.db.write(move |c| repeat(c, table, &past, renamed)).await.unwrap();
    }
    let done = "DROP TABLE repeats; DROP TABLE digits; DROP TABLE past; ANALYZE;";
    app.db.write(move |c| Ok(c.batch_execute(done)?)).await.unwrap();
}

/// Repeats the rows of a table that are `past`. What names another thing of the same purchase is `renamed`.
fn repeat(c: &mut Conn, table: &str, past: &str, renamed: &[&str]) -> Result<()> {
    if let Conn::Pg(pg) = c {
        // A million rows would be more than a serialisable transaction can remember.
        pg.batch_execute(
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0",
        )?;
    }
    let columns = match c {
        Conn::Pg(_) => format!(
            "SELECT CAST(column_name AS TEXT) AS name FROM information_schema.columns \
             WHERE table_schema = current_schema() AND table_name = '{table}'"
        ),
        Conn::Sqlite(_) => format!("SELECT name FROM pragma_table_info('{table}')"),
    };
    let columns: Vec<Column> = diesel::sql_query(columns).load(c)?;
    let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
    let values: Vec<_> = names
        .iter()
        .map(|name| match *name {
            "position" => "position + 1000000 * (1 + CAST(n AS BIGINT))".to_string(),
            "contract_document" | "envelope" | "leaf" => "'{}'".to_string(),
            name if renamed.contains(&name) => format!("{name} || n"),
            name => name.to_string(),
        })
        .collect();
    let (names, values) = (names.join(", "), values.join(", "));
    // The original stays: the repeats are one less than `times`, and differ in identifiers only.
    let sql = format!(
        "INSERT INTO {table} ({names}) SELECT {values} FROM {table} CROSS JOIN repeats WHERE ({past}) AND n <> '000'"
    );
    Ok(c.batch_execute(&sql)?)
}
