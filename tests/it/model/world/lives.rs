//! Where everything with a life is, and the steps that led there.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use super::World;
use crate::model::rules::Book;
use crate::model::sql::listed;

/// What happens to something whose state stays as it is.
const NOTES: &[&str] =
    &["acceptance_due", "ending", "renewed", "shortened", "extended", "narrowed", "frozen", "released"];

#[derive(Debug, QueryableByName)]
struct Life {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    state: String,
}

#[derive(Debug, QueryableByName)]
struct Taken {
    #[diesel(sql_type = Text)]
    subject: String,
    #[diesel(sql_type = Nullable<Text>)]
    from_state: Option<String>,
    #[diesel(sql_type = Text)]
    to_state: String,
    /// Whether such a life has such an edge.
    #[diesel(sql_type = BigInt)]
    edges: i64,
    /// How often it lies in the outbox.
    #[diesel(sql_type = BigInt)]
    unsent: i64,
}

impl World {
    /// Everything with a life is where the book says.
    pub(super) async fn compare_lives(&self, book: &Book) -> Result<(), String> {
        for (life, known) in book.lives() {
            let sql = format!("SELECT id, state FROM {life} WHERE id IN ({})", listed(known.keys()));
            let found = self.select::<Life>(sql).await;
            let found: BTreeMap<String, String> = found.into_iter().map(|life| (life.id, life.state)).collect();
            let known: BTreeMap<String, String> =
                known.into_iter().map(|(id, state)| (id, state.to_string())).collect();
            if found != known {
                return Err(format!("{life} are {found:?}, not {known:?}"));
            }
        }
        Ok(())
    }

    /// Every life came to its state along edges that there are, one step after the other, and each of them lies in the outbox.
    pub(super) async fn check_steps(&self, book: &Book) -> Result<(), String> {
        let orders = listed(book.trades.iter().map(|trade| trade.id));
        let of_orders = [("orders", "id"), ("entitlements", "order_id"), ("disputes", "order_id")];
        let of_orders = of_orders.map(|(life, column)| (life, format!("{column} IN ({orders})")));
        let others = book.lives().map(|(life, known)| (life, format!("id IN ({})", listed(known.keys()))));
        for (life, those) in of_orders.into_iter().chain(others) {
            self.check_steps_of(life, &those).await?;
        }
        Ok(())
    }

    async fn check_steps_of(&self, life: &str, those: &str) -> Result<(), String> {
        let steps = format!(
            "SELECT subject, from_state, to_state, \
             (SELECT COUNT(*) FROM state_edges WHERE state_edges.life = '{life}' \
                 AND state_edges.from_state = COALESCE(transitions.from_state, '') \
                 AND state_edges.to_state = transitions.to_state) AS edges, \
             (SELECT COUNT(*) FROM outbox WHERE outbox.transition_id = transitions.id) AS unsent \
             FROM transitions WHERE subject IN (SELECT id FROM {life} WHERE {those}) ORDER BY id"
        );
        let mut states: BTreeMap<String, String> = BTreeMap::new();
        for step in self.select::<Taken>(steps).await {
            let is_note = NOTES.contains(&step.to_state.as_str());
            let goes_on = states.get(&step.subject) == step.from_state.as_ref();
            if !goes_on || (step.edges != 1 && !is_note) || step.unsent != 1 {
                return Err(format!("{life}: {step:?} came after {:?}", states.get(&step.subject)));
            }
            if !is_note {
                states.insert(step.subject, step.to_state);
            }
        }
        let found = self.select::<Life>(format!("SELECT id, state FROM {life} WHERE {those}")).await;
        let found: BTreeMap<String, String> = found.into_iter().map(|life| (life.id, life.state)).collect();
        if found == states { Ok(()) } else { Err(format!("the steps of {life} led to {states:?}, not {found:?}")) }
    }
}
