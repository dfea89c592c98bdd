//! Recomputes every state from the steps that led to it.

use super::queries;
use crate::db::{Conn, LIVES};
use crate::error::Result;

/// Every row whose state is not where its steps on record lead from its beginning along the edges of its life. The order of
/// the steps plays no part, for the clocks of several instances do not agree. At most 1,000 of each kind of life.
///
/// # Errors
/// Those of the database.
pub fn audit(c: &mut Conn) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for life in LIVES {
        let astray = queries::list_astray(c, life)?.into_iter();
        found.extend(astray.map(|row| {
            format!(
                "{life} {} is {}, and its history leads to {}",
                row.id,
                row.state,
                row.led_to.as_deref().unwrap_or("nothing")
            )
        }));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection as _;

    use super::*;
    use crate::db::Db;
    use crate::history;
    use crate::types::Instant;

    /// Deposits are the life with the fewest columns.
    fn deposit(id: &str, state: &str) -> String {
        format!("INSERT INTO deposits SELECT '{id}', '{state}'")
    }

    #[tokio::test]
    async fn a_state_that_no_history_leads_to_is_found_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&folder.path().join("db.sqlite3").display().to_string(), 1).unwrap();
        db.migrate().await.unwrap();
        let now = Instant::from_unix_micros(1);
        db.write(move |c| {
            // What these rows refer to plays no part here.
            c.batch_execute("DROP TABLE deposits; CREATE TABLE deposits (id TEXT PRIMARY KEY, state TEXT NOT NULL)")?;
            for (id, state) in
                [("sound", "posted"), ("lost", "posted"), ("behind", "awaiting_approval"), ("forged", "rejected")]
            {
                c.batch_execute(&deposit(id, state))?;
            }
            for id in ["sound", "behind"] {
                history::record(c, id, None, "awaiting_approval", "teller", "filed", now)?;
                history::record(c, id, Some("awaiting_approval"), "posted", "teller", "approved", now)?;
                history::record(c, id, Some("posted"), "reminded", "teller", "a note, and no state", now)?;
            }
            history::record(c, "forged", None, "posted", "teller", "filed", now)?;
            history::record(c, "forged", Some("posted"), "rejected", "teller", "no such edge", now)
        })
        .await
        .unwrap();
        let mut found = db.read(audit).await.unwrap();
        found.sort();
        assert_eq!(
            found,
            [
                "deposits behind is awaiting_approval, and its history leads to posted",
                "deposits forged is rejected, and its history leads to posted",
                "deposits lost is posted, and its history leads to nothing",
            ]
        );
    }
}
