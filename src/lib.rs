//! Corpus Exchange: a marketplace backend for AI training corpora. Server, worker and client are one program.
//!
//! # Code map
//!
//! A request enters at [`server::routes`], which lists every route on one screen. Its handler is in the `routes.rs` of a domain,
//! which *speaks* HTTP; the domain's `mod.rs` *decides* (types, pure rules, actions); its `queries.rs` *remembers* (reads and
//! writes the database). Routes, jobs, server commands and tests call the same actions.
//!
//! | folder | what it is about |
//! |---|---|
//! | [`identity`] | organisations and their affiliates, members, signing keys, sessions, API tokens, sign-in of devices, who is calling, and the audit trail |
//! | [`ledger`] | double-entry money: deposits, withdrawals, statements of account |
//! | [`provenance`] | signed statements, the transparency log, proofs, passports; its witnesses and monitors; the lot that draws samples |
//! | [`catalog`] | datasets, versions, shards and their facets, manifests, uploads, inspection, and the drawing of samples |
//! | [`terms`] | licence terms: the uses they permit, and their price |
//! | [`assessment`] | compliance assessments and registration certificates |
//! | [`market`] | listings and objections, search, previews, private offers, negotiation, orders, contracts, disputes, vouchers |
//! | [`delivery`] | purchases and entitlements: who may use them and for how long, seats, renewals, subscriptions, links, receipts, usage; evaluations of samples; what becomes of a licence when its order is refunded |
//! | [`models`] | which models were trained on which versions, as labs declare it |
//! | [`compliance`] | traces: where bytes came from and who holds them; the same bytes under two providers; takedowns and recalls; reconciliation |
//! | [`events`] | the steps of which each organisation is notified, in order and by webhook |
//! | [`hub`] | the read API of the Hugging Face Hub, for the tools that labs already have |
//! | [`exports`] | the catalogue and versions in published vocabularies: DCAT, Croissant |
//! | [`ops`] | health, readiness, metrics |
//! | [`cli`] | the command line, and the client behind it |
//!
//! All of them are handed the [`app`], what a running exchange is made of. The [`server`] starts it, surrounds the handlers and
//! describes the API; what handlers share in speaking HTTP is in [`http`].
//!
//! Below the domains lie [`store`] (objects), [`db`] (rows), [`jobs`] (queued work; [`worker`] runs it),
//! [`history`] (every change of state), [`idempotency`] (one key, one effect), [`signing`], [`schemas`],
//! [`leases`] (one process at a time), [`shelf`] (a cache of what many read), [`keys`] (the exchange's own), [`outgoing`]
//! (HTTP to others), [`schema`] (tables), [`config`], [`error`], [`types`] and [`failpoints`].
//!
//! # Invariants
//!
//! - A state change, its history, its signed statement and its log entry are one transaction.
//! - The steps of one thing sort in the order in which they were taken, whatever the clocks say.
//! - A row in `objects` means: these bytes were read back from the store and have this digest. Only sealed versions
//!   can be listed, and only listed ones bought: foreign keys enforce it, too.
//! - The lineage of versions has no cycle: only sealed versions can be parents, and a sealed version gets no further parent.
//! - No link leaves without a durable receipt and either an active entitlement or an evaluation of the sample, nor any to a
//!   version that is held.
//! - No provider can choose which records a sample holds: anybody who has the shards can draw it again.
//! - Postings sum to zero, and no account of an organisation falls below zero.
//! - A payout that an operator has taken up for the bank is neither taken back nor stopped, nor paid by another operator.
//! - A voucher programme's pool is never below zero, and pays for no purchase in which an affiliate of the buyer has a share.
//! - The log only grows, and every checkpoint is consistent with the one before.
//! - Dependencies point down the table of storeys in `tests/it/tidy.rs`, which enforces the house rules.

pub mod app;
pub mod assessment;
pub mod catalog;
pub mod cli;
pub mod compliance;
pub mod config;
pub mod db;
pub mod delivery;
pub mod error;
pub mod events;
pub mod exports;
pub mod failpoints;
pub mod history;
pub mod http;
pub mod hub;
pub mod idempotency;
pub mod identity;
pub mod jobs;
pub mod keys;
pub mod leases;
pub mod ledger;
pub mod market;
pub mod models;
pub mod ops;
pub mod outgoing;
pub mod provenance;
pub mod schema;
pub mod schemas;
pub mod server;
pub mod shelf;
pub mod signing;
pub mod store;
pub mod terms;
pub mod types;
pub mod worker;
