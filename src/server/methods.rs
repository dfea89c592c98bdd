//! Which methods a path answers.
//!
//! A path that answers GET also answers HEAD, with the same head and no body. Other methods are refused, and the refusal
//! names those that the path has. A path that does not exist answers none.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpRequest, HttpResponse, ResponseError as _};
use bytes::Bytes;
use utoipa::openapi::PathItem;

use super::routes;
use crate::error::{Error, Kind, Result};

/// Has GET answer HEAD, unless the address has an answer of its own to it.
pub(super) async fn answer_head<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, Untold>>, actix_web::Error> {
    let has_its_own = |pattern: String| described(&pattern).is_some_and(|methods| methods.contains(&Method::HEAD));
    if request.method() != Method::HEAD || request.match_pattern().is_some_and(has_its_own) {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    request.head_mut().method = Method::GET;
    Ok(next.call(request).await?.map_body(|_, body| EitherBody::right(Untold(body.size()))))
}

/// The body of an answer, of which only the size is told.
pub(super) struct Untold(BodySize);

impl MessageBody for Untold {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        self.0
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Poll::Ready(None)
    }
}

/// The answer where no route fits: there is no such address, or it answers other methods.
pub(super) async fn no_route(request: HttpRequest) -> Result<HttpResponse> {
    let (method, path) = (request.method(), request.path());
    let Some(methods) = request.match_pattern().as_deref().and_then(described) else {
        return Err(Error::not_found(format!("{method} {path}")).remedy("the routes are described at /docs"));
    };
    let mut names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    if methods.contains(&Method::GET) && !methods.contains(&Method::HEAD) {
        names.push(Method::HEAD.as_str());
    }
    let names = names.join(", ");
    let refused = Error::new(Kind::MethodNotAllowed, format!("{path} does not answer {method}"));
    let mut response = refused.remedy(format!("it answers {names}")).error_response();
    let allowed = HeaderValue::try_from(names);
    let allowed = allowed.map_err(|error| Error::internal("a header value cannot be written").because(error))?;
    response.headers_mut().insert(header::ALLOW, allowed);
    Ok(response)
}

/// The methods that the routes of a pattern answer, if there are any.
fn described(pattern: &str) -> Option<&'static [Method]> {
    static ALL: OnceLock<BTreeMap<String, Vec<Method>>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let items = [routes::openapi(), routes::hub_openapi()].into_iter().flat_map(|api| api.paths.paths);
        items.map(|(pattern, item)| (pattern, methods(&item))).collect()
    });
    all.get(&without_expressions(pattern)).map(Vec::as_slice)
}

fn methods(item: &PathItem) -> Vec<Method> {
    let each = [
        (Method::GET, &item.get),
        (Method::HEAD, &item.head),
        (Method::POST, &item.post),
        (Method::PUT, &item.put),
        (Method::PATCH, &item.patch),
        (Method::DELETE, &item.delete),
    ];
    each.into_iter().filter(|(_, operation)| operation.is_some()).map(|(method, _)| method).collect()
}

/// A pattern as descriptions have it: the names of its parameters, without what they must look like.
fn without_expressions(pattern: &str) -> String {
    let plain = |piece: &str| match piece.split_once('{') {
        Some((before, name)) => format!("{before}{{{}}}", name.split([':', '}']).next().unwrap_or_default()),
        None => piece.to_string(),
    };
    pattern.split_inclusive('}').map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_found_whatever_its_parameters_must_look_like() {
        assert_eq!(without_expressions("/a/{b}/{c:.*}"), "/a/{b}/{c}");
        assert_eq!(without_expressions("/{b}/urn:c"), "/{b}/urn:c");
        let shards = described("/v1/datasets/{organisation}/{name}/versions/{number}/shards/{path:.*}");
        assert_eq!(shards, Some([Method::PUT, Method::DELETE].as_slice()));
        assert_eq!(described("/api/{kind:models|datasets|spaces}/{rest:.*}"), None);
    }
}
