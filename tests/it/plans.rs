//! By which indexes SQLite, which keeps no statistics here, finds what is asked for again and again.

use corpex::db::{Conn, Db};
use corpex::error::Result;
use corpex::jobs::{self, Lane};
use corpex::ledger::{self, AccountRef, withdrawals};
use corpex::market::{self, disputes, orders};
use corpex::types::{Currency, Instant, Money, OrganisationId, UserId};
use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::support::watch;

type Question = fn(&mut Conn, Instant) -> Result<()>;

#[tokio::test]
async fn what_is_asked_for_again_and_again_is_found_by_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&folder.path().join("db.sqlite3").display().to_string(), 1).unwrap();
    db.migrate().await.unwrap();
    let questions: [(Question, &str); 6] = [
        (|c, now| jobs::is_any_due(c, Lane::Short, now).map(drop), "jobs_by_time (state=? AND is_long=? AND run_at<?)"),
        (|c, now| orders::list_due(c, now, "", 1).map(drop), "orders_by_deadline (due_at>? AND due_at<?)"),
        (|c, now| disputes::list_due(c, now, "", 1).map(drop), "disputes_by_deadline (due_at>? AND due_at<?)"),
        (|c, _| market::listed_datasets(c, None, 1).map(drop), "sqlite_autoindex_listings_2 (version_id=?)"),
        (|c, _| ledger::balance(c, AccountRef::Escrow, Currency::CNY).map(drop), "ledger_accounts_of_exchange"),
        (stop_payouts, "withdrawals_not_taken_up (organisation_id=?)"),
    ];
    for (question, lookup) in questions {
        let plan = db.read(move |c| plan(c, question)).await.unwrap();
        assert!(plan.iter().any(|step| step.contains(lookup)), "not by {lookup}: {plan:#?}");
    }
}

fn stop_payouts(c: &mut Conn, now: Instant) -> Result<()> {
    let (organisation, opener) = (OrganisationId::new(now), UserId::new(now));
    withdrawals::stop(c, organisation, Money::new(1, Currency::CNY), (opener, "it is disputed"), now).map(drop)
}

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    detail: String,
}

/// How the database finds an answer.
fn plan(c: &mut Conn, question: Question) -> Result<Vec<String>> {
    let statements = watch(c);
    question(c, Instant::from_unix_micros(1))?;
    let asked = statements.lock().unwrap().clone();
    let Conn::Sqlite(sqlite) = c else { panic!("this is a file of SQLite") };
    let mut plan = Vec::new();
    for query in asked {
        let query = query.split(" -- binds:").next().unwrap_or_default();
        let steps: Vec<Step> = diesel::sql_query(format!("EXPLAIN QUERY PLAN {query}")).load(sqlite)?;
        plan.extend(steps.into_iter().map(|step| step.detail));
    }
    Ok(plan)
}
