//! Orders without a book: what happens to them at once, and what is to be seen of it afterwards.

use corpex::error::{Error, Kind};
use corpex::types::{DAY, Instant};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use proptest::arbitrary::any;
use proptest::sample::Index;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::{HOUR, World};
use crate::model::rules::{Book, PRICE, Trade};
use crate::model::steps::Step;

#[derive(Debug, QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// What a step says of its order where the order is known anyway.
fn any_order() -> Index {
    any::<Index>().new_tree(&mut TestRunner::deterministic()).unwrap().current()
}

impl World {
    /// Takes one step, whatever becomes of it; orders that are placed are added to the book.
    pub async fn attempt(&self, book: &mut Book, step: Step) -> Result<(), Error> {
        let before = book.clone();
        self.take(&before, &step, book).await
    }

    /// Orders whose contracts wait for their signatures, for labs that can pay.
    pub async fn open_orders(&self, number: usize) -> Vec<Trade> {
        let mut book = self.open_book().await;
        for order in 0..number {
            let lab = order % self.labs.len();
            for step in [Step::Deposit { lab, fen: PRICE }, Step::Place { lab }] {
                self.attempt(&mut book, step).await.unwrap();
            }
        }
        book.trades
    }

    /// How many of the orders were paid.
    pub async fn paid(&self, trades: &[Trade]) -> usize {
        let mut paid = 0;
        for trade in trades {
            paid += usize::from(self.standing(trade).await.licence_state.is_some());
        }
        paid
    }

    /// Makes a placed order one that was paid and delivered, and waits for its buyer.
    pub async fn deliver(&self, trade: &Trade) {
        let any = any_order();
        for step in [Step::Sign(any), Step::Pay(any), Step::Begin(any), Step::Complete(any)] {
            self.trade(trade, &step, self.begun_at()).await.unwrap();
        }
    }

    /// Everything that can end a delivered order, at once, when its time is just up for some and not yet for others; who
    /// is first depends on `turn`.
    pub async fn race(&self, trade: &Trade, turn: usize) {
        let (any, due) = (any_order(), self.begun_at().plus(DAY * 14));
        let before = Instant::from_unix_micros(due.unix_micros() - HOUR);
        let after = Instant::from_unix_micros(due.unix_micros() + HOUR);
        let refund = async {
            let _ = self.trade(trade, &Step::Reject(any), before).await;
            self.trade(trade, &Step::OfferRefund { order: any, fen: PRICE }, before).await
        };
        let (accept, look) = (Step::Accept(any), Step::PassDeadline(any));
        let mut racers =
            [refund.boxed(), self.trade(trade, &accept, before).boxed(), self.trade(trade, &look, after).boxed()];
        racers.rotate_left(turn % 3);
        for refused in join_all(racers).await.into_iter().filter_map(Result::err) {
            assert_eq!(refused.kind, Kind::WrongState, "{refused:?}");
        }
    }

    /// Where an order ended, and how often money left escrow for it.
    pub async fn end_of(&self, trade: &Trade) -> (String, i64) {
        let sql = format!(
            "SELECT COUNT(*) AS count FROM ledger_transactions WHERE kind IN ('settlement', 'refund') AND reference = '{}'",
            trade.id
        );
        let moved: Count = self.app.app().db.read(move |c| Ok(diesel::sql_query(sql).get_result(c)?)).await.unwrap();
        (self.standing(trade).await.order_state, moved.count)
    }
}
