//! Request bodies that arrive too slowly, or that no handler reads to the end.
//!
//! The time that a body may take to arrive is bounded: its reader gets an error when it is over.
//!
//! Where a handler has answered without reading the whole body, the server reads and drops the rest before the next request. It
//! bounds how long that may take if the body has a length; for a body in chunks it would wait for ever, and so let anybody hold
//! as many connections as it likes. It closes a connection whose body is still held by somebody when the last byte of the
//! answer has gone out: the answer itself holds it.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::HttpMessage as _;
use actix_web::body::{BodySize, BoxBody, EitherBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_util::Stream;
use tokio::time::Sleep;

/// A body that is still to come; its clones are the same.
#[derive(Clone)]
pub(super) struct Held(Rc<RefCell<Arriving>>);

struct Arriving {
    payload: Payload,
    too_late: Pin<Box<Sleep>>,
}

/// Holds the body of a request, if it has one. The handler reads it as it would without, for so long.
pub(super) fn hold(request: &mut ServiceRequest, at_most: Duration) -> Option<Held> {
    let payload = match request.take_payload() {
        Payload::None => return None,
        payload => payload,
    };
    let held = Held(Rc::new(RefCell::new(Arriving { payload, too_late: Box::pin(tokio::time::sleep(at_most)) })));
    request.set_payload(Payload::Stream { payload: Box::pin(held.clone()) });
    Some(held)
}

/// Lets an answer hold the body of its request, if it had one, until it has gone out.
pub(super) fn until_answered<B: MessageBody + 'static>(held: Option<Held>, body: B) -> EitherBody<B, Answer> {
    match held {
        None => EitherBody::left(body),
        Some(held) => EitherBody::right(Answer { body: body.boxed(), _request: held }),
    }
}

/// The body of an answer, which holds that of its request.
pub(super) struct Answer {
    body: BoxBody,
    _request: Held,
}

impl MessageBody for Answer {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}

impl Stream for Held {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let arriving = &mut *self.0.borrow_mut();
        match Pin::new(&mut arriving.payload).poll_next(cx) {
            Poll::Pending => arriving
                .too_late
                .as_mut()
                .poll(cx)
                .map(|()| Some(Err(PayloadError::Io(io::ErrorKind::TimedOut.into())))),
            piece => piece,
        }
    }
}
