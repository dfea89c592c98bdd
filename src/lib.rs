//! Corpus Exchange: a marketplace backend for AI training corpora. Server, worker and client are one program.
//!
//! # A walk through the house
//!
//! A request enters at [`app::routes`]: every route, on one screen. Its handler lives in the `routes.rs` of a domain,
//! which *speaks* HTTP; the domain's `mod.rs` *decides* (nouns, pure rules, actions); its `queries.rs` *remembers*.
//! Routes, jobs, server commands and tests call the same actions.
//!
//! | folder | what it is about |
//! |---|---|
//! | [`identity`] | organisations and who belongs together, members, signing keys, sessions, API tokens, sign-in of devices, who is calling, and the audit trail |
//! | [`ledger`] | double-entry money: deposits, withdrawals, statements of account |
//! | [`provenance`] | signed statements, the transparency log, proofs, passports; its witnesses and monitors; the lot of samples |
//! | [`catalog`] | datasets, versions, shards and what tells them apart, manifests, uploads, what is found in them and drawn as a sample |
//! | [`terms`] | licence terms: the uses they permit, what they ask |
//! | [`assessment`] | compliance assessments and registration certificates |
//! | [`market`] | listings and objections, search, previews, private offers, negotiation, orders, contracts, disputes, vouchers |
//! | [`delivery`] | purchases and entitlements: who may use them and for how long, seats, renewals, subscriptions, links, receipts, usage; evaluations of samples; what becomes of a licence when its order is refunded |
//! | [`models`] | which models were trained on which versions, as labs declare it |
//! | [`compliance`] | traces: where bytes came from and who holds them; the same bytes under two providers; takedowns and recalls; reconciliation |
//! | [`events`] | what each organisation is told of the steps that concern it, in order and by webhook |
//! | [`hub`] | reads as the Hugging Face Hub answers them, for the tools that labs have |
//! | [`exports`] | what is offered, in the vocabularies of others: DCAT, Croissant |
//! | [`ops`] | health, readiness, metrics, the API's description |
//! | [`cli`] | the command line, and the client behind it |
//!
//! Below the domains lie [`store`] (objects), [`db`] (rows), [`jobs`] (queued work; [`worker`] runs it),
//! [`history`] (every step of every life), [`idempotency`] (one key, one effect), [`signing`], [`schemas`],
//! [`leases`] (one process at a time), [`shelf`] (one reading for many), [`keys`] (the exchange's own), [`outgoing`]
//! (HTTP to others), [`schema`] (tables), [`config`], [`error`], [`types`] and [`failpoints`].
//!
//! # Invariants
//!
//! - A state change, its history, its signed statement and its log entry are one transaction.
//! - The steps of a life sort as they were taken, whatever the clocks say.
//! - A row in `objects` means: these bytes were read back from the store and have this digest. Only sealed versions
//!   can be listed, and only listed ones bought: foreign keys say so too.
//! - The lineage of versions has no cycle: only what is sealed can be a parent, and what is sealed gets no other parent.
//! - No link leaves without an active entitlement, or an evaluation of the sample, and a durable receipt, nor any to a version
//!   that is held.
//! - Which records a sample holds is no provider's choice: who has the shards can draw it again.
//! - Postings sum to zero, and no account of an organisation falls below zero.
//! - What an operator has the bank pay is neither taken back nor stopped meanwhile, nor paid by another operator.
//! - A voucher's pool is never below zero, and pays for no purchase of which an affiliate of the buyer has a part.
//! - The log only grows, and every checkpoint is consistent with the one before.
//! - Dependencies point down the table of storeys in `tests/it/tidy.rs`, which executes the house rules.

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
pub mod shelf;
pub mod signing;
pub mod store;
pub mod terms;
pub mod types;
pub mod worker;
