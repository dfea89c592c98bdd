//! Looking for many values at once, with statements that a connection keeps.
//!
//! The text of diesel's `eq_any` depends on how many values there are, and SQLite parses and plans it each time. Here as many
//! are bound as the next power of two, the last one again and again: nothing is found twice by that, and a connection keeps
//! a statement for each of a few lengths.

use diesel::QueryResult;
use diesel::backend::Backend;
use diesel::expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping};
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{Bool, HasSqlType};

/// Of statements that look for more values than this none is kept.
const MOST_KEPT: usize = 1024;

/// What can be one of many values: a column.
pub trait Among: Expression + Sized {
    /// That it is one of these values; of no values none is.
    fn among<T>(self, values: impl IntoIterator<Item = T>) -> IsAmong<Self, T> {
        IsAmong { column: self, values: values.into_iter().collect() }
    }
}

impl<C: Expression> Among for C {}

/// That a column is one of some values.
#[derive(Debug, Clone)]
pub struct IsAmong<C, T> {
    column: C,
    values: Vec<T>,
}

impl<C, T> Expression for IsAmong<C, T> {
    type SqlType = Bool;
}

impl<C: AppearsOnTable<S>, T, S> AppearsOnTable<S> for IsAmong<C, T> {}

impl<C: SelectableExpression<S>, T, S> SelectableExpression<S> for IsAmong<C, T> {}

impl<C: ValidGrouping<G>, T, G> ValidGrouping<G> for IsAmong<C, T> {
    type IsAggregate = C::IsAggregate;
}

impl<C, T> QueryId for IsAmong<C, T> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false; // it is told by its text
}

impl<C, T, DB> QueryFragment<DB> for IsAmong<C, T>
where
    DB: Backend + HasSqlType<C::SqlType>,
    C: Expression + QueryFragment<DB>,
    T: ToSql<C::SqlType, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        let Some(last) = self.values.last() else {
            out.push_sql("1=0");
            return Ok(());
        };
        let mut length = self.values.len();
        if length > MOST_KEPT {
            out.unsafe_to_cache_prepared();
        } else {
            length = length.next_power_of_two();
        }
        self.column.walk_ast(out.reborrow())?;
        out.push_sql(" IN (");
        for (index, value) in self.values.iter().chain(std::iter::repeat(last)).take(length).enumerate() {
            if index > 0 {
                out.push_sql(", ");
            }
            out.push_bind_param::<C::SqlType, T>(value)?;
        }
        out.push_sql(")");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use diesel::connection::{InstrumentationEvent, SimpleConnection as _};
    use diesel::prelude::*;

    use super::*;
    use crate::db::{Conn, Db};
    use crate::schema::sweeps;

    fn find(c: &mut Conn, names: &[&str]) -> Vec<String> {
        sweeps::table.filter(sweeps::name.among(names)).order(sweeps::name).select(sweeps::name).load(c).unwrap()
    }

    #[tokio::test]
    async fn every_value_is_looked_for_and_a_statement_kept_for_each_of_a_few_lengths() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&folder.path().join("db.sqlite3").display().to_string(), 1).unwrap();
        db.migrate().await.unwrap();
        let rows = "INSERT INTO sweeps VALUES ('a', '2026-01-01 00:00:00'), ('b', '2026-01-01 00:00:00'), \
                    ('c', '2026-01-01 00:00:00')";
        db.write(move |c| Ok(c.batch_execute(rows)?)).await.unwrap();
        let kept = Arc::<Mutex<Vec<String>>>::default();
        let noted = kept.clone();
        let asked = db.read(move |c| {
            c.set_instrumentation(move |event: InstrumentationEvent<'_>| {
                if let InstrumentationEvent::CacheQuery { sql, .. } = event {
                    noted.lock().unwrap().push(sql.to_string());
                }
            });
            assert_eq!(find(c, &[]), [""; 0]);
            assert_eq!(find(c, &["b"]), ["b"]);
            assert_eq!(find(c, &["c", "x", "a"]), ["a", "c"]);
            assert_eq!(find(c, &["c", "x", "a", "b"]), ["a", "b", "c"]);
            let many: Vec<&str> = std::iter::repeat_n("x", MOST_KEPT).chain(["b"]).collect();
            assert_eq!(find(c, &many), ["b"]);
            Ok(())
        });
        asked.await.unwrap();
        let kept = kept.lock().unwrap().iter().filter(|sql| sql.contains(" IN (")).count();
        assert_eq!(kept, 2, "one for one value, and one for up to four");
    }
}
