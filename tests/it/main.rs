//! Stories of the exchange, told over HTTP against real servers.

#![allow(missing_docs)]

mod support;
mod tidy;
