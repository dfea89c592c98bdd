//! Outgoing HTTP: what all code that sends requests to others has in common.

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};

use crate::error::{Error, Result};

/// Has TLS use ring, in the whole process: the first call installs it, and a later one finds it there.
pub fn prepare_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client that follows no redirect and says what it is, with whatever else `with` wants of it.
///
/// # Errors
/// `Internal` when it cannot be made.
pub fn client(with: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Result<Client> {
    prepare_tls();
    let begun = Client::builder().redirect(Policy::none()).user_agent(concat!("corpex/", env!("CARGO_PKG_VERSION")));
    with(begun).build().map_err(|error| Error::internal("no HTTP client can be made").because(error))
}
