//! Where everything with a life is.

use diesel::prelude::*;
use diesel::sql_types::Text;

use super::World;
use crate::model::rules::Book;
use crate::model::sql::listed;

#[derive(Debug, QueryableByName)]
struct Life {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    state: String,
}

impl World {
    /// Everything with a life is where the book says.
    pub(super) async fn compare_lives(&self, book: &Book) -> Result<(), String> {
        for (life, known) in book.lives() {
            let sql = format!("SELECT id, state FROM {life} WHERE id IN ({})", listed(known.keys()));
            for Life { id, state } in self.select::<Life>(sql).await {
                if known[&id] != state {
                    return Err(format!("{life} {id} is {state}, not {}", known[&id]));
                }
            }
        }
        Ok(())
    }
}
