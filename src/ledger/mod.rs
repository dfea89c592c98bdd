//! Money: double entry, append-only.
//!
//! Every movement is one transaction of two postings or more in one currency, which sum to zero. A posting above
//! zero credits its account, one below zero debits it; so the bank account, which stands for money held outside, is
//! at or below zero, and what the exchange owes to others is above it.
//!
//! A balance is the sum of an account's postings. Only a wallet, what is held for payout and the pool of a voucher programme
//! also keep their balance beside them, because it gates spending: two buyers' trades therefore never write the same row, unless
//! one programme subsidises both. Of what is owed to a provider, which many buyers' trades credit, a job writes down a closing
//! balance (`closings.rs`) now and then; the rest is summed.
//!
//! Money comes in by a [deposit](deposits) and goes out by a [withdrawal](withdrawals), which an operator takes up before the bank
//! pays it; an operator records both with the bank's reference, and what is beyond one operator's amount for a day takes two. What was
//! wrong is reversed by its opposite, never changed.
//!
//! Invariant: the postings of every transaction sum to zero.
//! Invariant: a gated balance, and a closing balance, equal the sum of their postings, and no account of an organisation is below zero.
//! Invariant: a kind and a reference occur together once, ever.
//! Invariant: nothing moves for a step that waits for a second operator, who is never the one whose step it is.

mod accounts;
mod approval;
mod audit;
mod closings;
pub mod deposits;
mod postings;
mod queries;
pub mod routes;
pub mod statements;
pub mod withdrawals;

pub use accounts::{AccountBalance, AccountKind, AccountRef, accounts, ahead_of_wallets, balance};
pub use audit::{Difference, Rule, audit, compare, escrow, extent, frozen, pools};
pub use closings::close_accounts;
pub use deposits::{Deposit, DepositState};
pub use postings::{Posting, TransactionKind, lines_of, post, postings};
pub use statements::Amount;
pub use withdrawals::{Withdrawal, WithdrawalState};
