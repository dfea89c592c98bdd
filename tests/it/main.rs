//! Stories of the exchange, told over HTTP against real servers.

#![cfg(test)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::cast_possible_truncation, clippy::print_stdout, unreachable_pub)]

mod api_description;
mod audit;
mod audit_trail;
mod authorisation;
mod catalog;
mod command_line;
mod compliance;
mod crash;
mod database;
mod devices;
mod disputes;
mod entitlements;
mod events;
mod exports;
mod failpoints;
mod faults;
mod hub;
mod hub_bad_input;
mod identity;
mod inspection;
mod interop;
mod keys;
mod ledger;
mod limits;
mod lineage;
mod listings;
mod lives;
mod log;
mod logins;
mod market;
mod model;
mod models;
mod mutations;
mod negotiation;
mod nul;
mod offers;
mod orders;
mod paying;
mod payouts;
mod plans;
mod purchases;
mod races;
mod refusals;
mod registrations;
mod renewals;
mod revocations;
mod search;
mod seats;
mod selection;
mod selling;
mod settlement;
mod statements;
mod store;
mod subscriptions;
mod support;
mod takedowns;
mod telemetry;
mod tidy;
mod transfer;
mod usage;
mod vouchers;
mod webhooks;
