//! The market against a model: random trades, step by step, must do what a few plain rules say, and keep the books.
//!
//! 200 sequences of 100 steps run with the rest of the tests; `CORPEX_MODEL_SEQUENCES` asks for more. A sequence
//! that fails is made as short as possible, printed, and kept in `tests/it/model/regressions`, to be run first from
//! then on. What the sequences reached is printed, with how often, and must be what `rules/reached.rs` lists.

mod rules;
mod sequences;
mod sql;
mod staff;
mod steps;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use corpex::error::Kind;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};

use rules::Book;
use rules::reached::{AT_LENGTH, SOON};
use steps::Step;
use world::World;

const LABS: usize = 3;
/// How many actors share the orders of the story without a model, and how many steps each takes.
const ACTORS: usize = 8;
const STEPS_EACH: usize = 40;
const RACES: usize = 1000;
const RACES_AT_ONCE: usize = 50;
/// How often sequences are drawn at most, until what is reached soon was; on a server a draw misses the rarest now and then.
const DRAWS_AT_MOST: usize = 10;
/// How many sequences reach the rest, too, in one draw.
const LONG: u32 = 10_000;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

#[test]
fn every_sequence_of_steps_does_what_the_rules_say() {
    let cases = std::env::var("CORPEX_MODEL_SEQUENCES").ok().map_or(200, |cases| cases.parse().unwrap());
    // A server takes longer over each step than a file, and its stories with eight actors are another test.
    let cases = if std::env::var("TEST_DATABASE_URL").is_ok() { cases / 10 } else { cases };
    let kept = FileFailurePersistence::Direct("tests/it/model/regressions");
    let config =
        Config { cases, failure_persistence: Some(Box::new(kept)), max_shrink_iters: 500, ..Config::default() };
    let runtime = runtime();
    let world = runtime.block_on(World::begin(LABS));
    let (mut missing, draws) =
        if cases >= LONG { ([SOON, AT_LENGTH].concat(), 1) } else { (SOON.to_vec(), DRAWS_AT_MOST) };
    let mut ran = Ok(());
    for _ in 0..draws {
        ran = TestRunner::new(config.clone())
            .run(&sequences::steps(), |steps| runtime.block_on(world.play(&steps)).map_err(TestCaseError::fail));
        let reached = world.reached();
        missing.retain(|what| !reached.contains_key(*what));
        if ran.is_err() || missing.is_empty() {
            break;
        }
    }
    let reached = world.reached();
    let later: Vec<_> = AT_LENGTH.iter().filter(|what| !reached.contains_key(**what)).collect();
    println!("reached, and how often: {reached:#?}; and not yet: {later:#?}");
    runtime.block_on(world.end());
    ran.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(missing.is_empty(), "no sequence reached {missing:?}");
}

/// The buyer accepts, the buyer rejects and the provider refunds, and time runs out, all at the same moment, and the
/// clocks of the three are apart by an hour.
#[test]
fn a_hold_resolves_once_in_a_thousand_races() {
    let runtime = runtime();
    let world = Arc::new(runtime.block_on(World::begin(LABS)));
    runtime.block_on(async {
        let mut ends = BTreeMap::new();
        for round in 0..RACES / RACES_AT_ONCE {
            let orders = world.open_orders(RACES_AT_ONCE).await;
            let mut races = tokio::task::JoinSet::new();
            for (turn, trade) in orders.clone().into_iter().enumerate() {
                let world = world.clone();
                races.spawn(async move {
                    world.deliver(&trade).await;
                    world.race(&trade, round + turn).await;
                });
            }
            while let Some(race) = races.join_next().await {
                race.unwrap();
            }
            world.check_licences(&orders).await.unwrap();
            for trade in &orders {
                *ends.entry(world.end_of(trade).await).or_insert(0) += 1;
            }
        }
        world.check_books().await.unwrap();
        // Money left escrow once for each, and every side won some.
        let ended: Vec<_> = ends.keys().map(|(state, moved)| (state.as_str(), *moved)).collect();
        assert_eq!(ended, [("refunded", 1), ("settled", 1)], "{ends:?}");
        assert_eq!(ends.values().sum::<usize>(), RACES);
        Arc::into_inner(world).unwrap().end().await;
    });
}

/// Whoever comes first wins, and whatever happens, the books balance and a licence stands for money paid.
#[test]
fn actors_who_step_on_each_others_toes_keep_the_books() {
    let runtime = runtime();
    let world = Arc::new(runtime.block_on(World::begin(LABS)));
    let mut script = TestRunner::deterministic();
    let orders = runtime.block_on(world.open_orders(LABS * 4));
    let scripts: Vec<Vec<Step>> = (0..ACTORS)
        .map(|_| {
            let exactly = prop::collection::vec(sequences::steps(), STEPS_EACH);
            let steps = exactly.new_tree(&mut script).unwrap().current();
            let steps = steps.into_iter().filter_map(|steps| steps.into_iter().next());
            // A claim of one would keep all the others from trading.
            steps.filter(|step| !step.is_of_corpus()).collect()
        })
        .collect();
    runtime.block_on(async {
        let mut actors = tokio::task::JoinSet::new();
        for steps in scripts {
            let (world, orders) = (world.clone(), orders.clone());
            actors.spawn(async move {
                let mut book = Book::of(LABS, orders);
                for step in steps {
                    // What becomes of it depends on the others; that it is done whole or refused does not.
                    let refused = world.attempt(&mut book, step.clone()).await.err().map(|error| error.kind);
                    let allowed = [
                        Kind::WrongState,
                        Kind::InsufficientFunds,
                        Kind::Invalid,
                        Kind::AlreadyExists,
                        Kind::NotEntitled,
                    ];
                    assert!(refused.is_none_or(|kind| allowed.contains(&kind)), "{step:?}: {refused:?}");
                }
            });
        }
        while let Some(actor) = actors.join_next().await {
            actor.unwrap();
        }
        world.check_books().await.unwrap();
        world.check_licences(&orders).await.unwrap();
        let paid = world.paid(&orders).await;
        assert!(paid > 0, "none of the orders got far enough to matter");
        Arc::into_inner(world).unwrap().end().await;
    });
}
