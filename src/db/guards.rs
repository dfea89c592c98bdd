//! Guards: triggers with which the database itself refuses forbidden changes, whoever makes them; they are created for
//! every table of a list.

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;

use super::Conn;
use crate::error::Result;
use crate::schema::drawn_guards;
use crate::types::Digest;

/// Tables whose rows are facts: corrected by another row, never changed.
pub const APPEND_ONLY: &[&str] = &[
    "transitions",
    "ledger_transactions",
    "ledger_postings",
    "ledger_closings",
    "log_entries",
    "log_sequence",
    "log_checkpoints",
    "log_publications",
    "statements",
    "objects",
    "seals",
    "inspections",
    "evaluations",
    "version_parents",
    "offered_versions",
    "terms",
    "assessments",
    "certificates",
    "board_changes",
    "contracts",
    "receipt_batches",
    "receipts",
    "models",
    "model_versions",
    "audit_records",
    "audit_days",
    "conflicts",
    "voucher_programmes",
    "voucher_movements",
];

/// Tables whose rows never change, and are removed when they have been kept long enough.
pub const KEPT_A_WHILE: &[&str] = &["events"];

/// Tables whose rows live through states. A row enters a state, and leaves it for another, only where `state_edges` draws
/// that edge; triggers refuse every other.
pub const LIVES: &[&str] = &[
    "organisations",
    "versions",
    "deposits",
    "withdrawals",
    "listings",
    "objections",
    "orders",
    "entitlements",
    "takedowns",
    "recalls",
    "disputes",
    "offers",
    "negotiations",
];

/// Draws the guards on the schema that `migrations` made, unless they are drawn already. A migration may have rebuilt a
/// table, and lost its triggers, or added columns of text.
#[allow(clippy::disallowed_methods)] // a transaction of its own, before there is anything to write
pub(super) fn draw(conn: &mut Conn, migrations: &[String]) -> Result<()> {
    let text = match conn {
        Conn::Pg(_) => postgres(),
        Conn::Sqlite(_) => sqlite(),
    };
    let digest = Digest::of(format!("{}\n{text}", migrations.join("\n"))).to_string();
    let is_drawn = diesel::select(diesel::dsl::exists(drawn_guards::table.find(&digest)));
    if is_drawn.get_result(conn)? {
        return Ok(());
    }
    conn.transaction(|conn| {
        conn.batch_execute(&text)?;
        diesel::delete(drawn_guards::table).execute(conn)?;
        diesel::insert_into(drawn_guards::table).values(drawn_guards::sha256.eq(digest)).execute(conn)?;
        Ok(())
    })
}

fn sqlite() -> String {
    let guard = |table: &str, event: &str| {
        format!(
            "DROP TRIGGER IF EXISTS {table}_refuse_{event}; \
             CREATE TRIGGER {table}_refuse_{event} BEFORE {event} ON {table} \
             BEGIN SELECT RAISE(ABORT, '{table} is append-only: correct it with another row'); END;"
        )
    };
    let edge = |table: &str, event: &str, from: &str| {
        format!(
            "DROP TRIGGER IF EXISTS {table}_refuse_edge_of_{event}; \
             CREATE TRIGGER {table}_refuse_edge_of_{event} BEFORE {event} ON {table} \
             WHEN NOT EXISTS (SELECT 1 FROM state_edges \
                              WHERE life = '{table}' AND from_state = {from} AND to_state = NEW.state) \
             BEGIN SELECT RAISE(ABORT, '{table}: state_edges draws no edge to this state'); END;"
        )
    };
    let unchanging = APPEND_ONLY.iter().flat_map(|table| [guard(table, "UPDATE"), guard(table, "DELETE")]);
    let lives = LIVES.iter().flat_map(|table| {
        [
            edge(table, "INSERT", "''"),
            edge(table, "UPDATE", "OLD.state").replace("WHEN ", "WHEN NEW.state <> OLD.state AND "),
        ]
    });
    let kept = KEPT_A_WHILE.iter().map(|table| guard(table, "UPDATE"));
    unchanging.chain(kept).chain(lives).collect()
}

/// Gives every text column the collation that compares bytes, as SQLite does: the order of shards in a manifest and
/// of pages in a list must not depend on the language that a server was set up for.
const POSTGRES_BYTE_ORDER: &str = r#"
    DO $$ DECLARE change TEXT; BEGIN
        FOR change IN
            SELECT format('ALTER TABLE %s %s', attrelid::regclass,
                string_agg(format('ALTER COLUMN %I TYPE TEXT COLLATE pg_catalog."C"', attname), ', '))
            FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
            WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND NOT attisdropped
                AND atttypid = 'TEXT'::regtype AND attcollation <> 'pg_catalog."C"'::regcollation
            GROUP BY attrelid
        LOOP EXECUTE change; END LOOP;
    END $$;"#;

/// Lets a signed document of up to half a page stay in its row. Every trade writes some, which hardly get smaller: to compress them,
/// and to put them into a table beside this one, takes as long as the rest of the row.
const POSTGRES_DOCUMENTS_IN_ROWS: &str = "ALTER TABLE statements SET (toast_tuple_target = 4096);";

fn postgres() -> String {
    let refuse = "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ \
                  BEGIN RAISE EXCEPTION '% is append-only: correct it with another row', TG_TABLE_NAME; END $$;";
    let guard = |table: &&str, events: &str| {
        format!(
            "CREATE OR REPLACE TRIGGER {table}_refuse_change BEFORE {events} ON {table} \
             FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();"
        )
    };
    let unchanging = APPEND_ONLY.iter().map(|table| guard(table, "UPDATE OR DELETE OR TRUNCATE"));
    let kept = KEPT_A_WHILE.iter().map(|table| guard(table, "UPDATE OR TRUNCATE"));
    let refuse_edge = "CREATE OR REPLACE FUNCTION refuse_edge() RETURNS trigger LANGUAGE plpgsql AS $$ \
                       DECLARE before TEXT := CASE WHEN TG_OP = 'INSERT' THEN '' ELSE OLD.state END; BEGIN \
                       IF before <> NEW.state AND NOT EXISTS (SELECT 1 FROM state_edges WHERE life = TG_TABLE_NAME \
                           AND from_state = before AND to_state = NEW.state) \
                       THEN RAISE EXCEPTION '%: state_edges draws no edge to this state', TG_TABLE_NAME; END IF; \
                       RETURN NEW; END $$;";
    let edge = |table: &&str| {
        format!(
            "CREATE OR REPLACE TRIGGER {table}_refuse_edge BEFORE INSERT OR UPDATE OF state ON {table} \
             FOR EACH ROW EXECUTE FUNCTION refuse_edge();"
        )
    };
    let functions = [POSTGRES_BYTE_ORDER, POSTGRES_DOCUMENTS_IN_ROWS, refuse, refuse_edge].map(str::to_string);
    functions.into_iter().chain(unchanging).chain(kept).chain(LIVES.iter().map(edge)).collect()
}
