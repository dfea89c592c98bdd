//! Bodies that nobody reads to their end.
//!
//! Where a handler has answered without reading the whole body, the server reads and drops the rest before the next request. It
//! bounds how long that may take if the body has a length; for a body in chunks it would wait for ever, and so let anybody hold
//! as many connections as it likes. It closes a connection whose body is still held by somebody when the answer goes out:
//! the answer itself holds it.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::HttpMessage as _;
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::http::header;
use bytes::Bytes;
use futures_util::Stream;

/// A body that comes in chunks; its clones are the same.
#[derive(Clone)]
pub(super) struct Held(Rc<RefCell<Payload>>);

/// Holds the body of a request, if it comes in chunks. The handler reads it as it would without.
pub(super) fn keep(request: &mut ServiceRequest) -> Option<Held> {
    if !request.headers().contains_key(header::TRANSFER_ENCODING) {
        return None;
    }
    let held = Held(Rc::new(RefCell::new(request.take_payload())));
    request.set_payload(Payload::Stream { payload: Box::pin(held.clone()) });
    Some(held)
}

impl Stream for Held {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(cx)
    }
}
