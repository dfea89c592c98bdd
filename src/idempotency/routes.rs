//! The `Idempotency-Key` header, and the effects that it stands for.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use serde::{Serialize, de::DeserializeOwned};

use super::IdempotencyKey;
use crate::app::App;
use crate::db::{Ahead, Conn};
use crate::error::{Error, Result};

/// The `Idempotency-Key` header of a request, if it carries one. Whether it must is for
/// [`IdempotencyKey::new`](super::IdempotencyKey::new) to say.
#[derive(Debug, Clone)]
pub struct KeyHeader(Option<String>);

impl KeyHeader {
    /// The header's value.
    pub fn value(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl FromRequest for KeyHeader {
    type Error = Error;
    type Future = Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let values: Vec<_> = request.headers().get_all("Idempotency-Key").map(|value| value.to_str()).collect();
        ready(match values.as_slice() {
            [] => Ok(Self(None)),
            [Ok(key)] => Ok(Self(Some((*key).to_string()))),
            [Err(_)] => Err(Error::invalid("Idempotency-Key", "a key is visible ASCII characters only")),
            _ => Err(Error::invalid("Idempotency-Key", "send one key, not several")),
        })
    }
}

/// Runs an effect in a transaction, once per key, and gives its answer every time.
pub(crate) async fn once<T, F>(app: &App, key: IdempotencyKey, effect: F) -> Result<T>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    F: Fn(&mut Conn) -> Result<T> + Send + 'static,
{
    let now = app.clock.now();
    app.db.write(move |c| key.once(c, now, &effect)).await
}

/// As [`once`], for an effect that only appends, and is about to ask for what is `ahead`
/// ([`Db::write_gathered`](crate::db::Db::write_gathered)).
pub(crate) async fn once_gathered<T, F>(app: &App, key: IdempotencyKey, mut ahead: Vec<Ahead>, effect: F) -> Result<T>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    F: Fn(&mut Conn) -> Result<T> + Send + 'static,
{
    let now = app.clock.now();
    ahead.push(key.ahead());
    app.db.write_gathered(ahead, move |c| key.once(c, now, &effect)).await
}
