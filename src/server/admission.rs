//! Which requests are let through to the handlers: those of clients who have some of their share left.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use crate::app::App;
use crate::http::limits::{Share, client_address};
use crate::identity;

/// The beginnings of paths that are not counted. Questions whether the process is well are always answered; the address of an
/// object is a credential of its own, whose issue was counted.
const UNCOUNTED: &[&str] = &["/healthz", "/readyz", "/metrics", "/objects/"];

/// Lets a request pass while its sender has some of its share left.
pub(super) async fn admit<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, actix_web::Error> {
    let share = match request.app_data::<Data<App>>() {
        Some(app) => share_of(app, request.request()),
        None => None,
    };
    match share {
        None => Ok(next.call(request).await?.map_into_left_body()),
        Some(Ok(share)) => {
            let mut response = next.call(request).await?.map_into_left_body();
            share.tell(response.headers_mut());
            Ok(response)
        }
        Some(Err(share)) => {
            let refused = HttpResponse::from_error(share.refusal());
            let mut response = request.into_response(refused).map_into_right_body();
            share.tell(response.headers_mut());
            Ok(response)
        }
    }
}

fn share_of(app: &App, request: &HttpRequest) -> Option<Result<Share, Share>> {
    if is_uncounted(request.path()) {
        return None;
    }
    match identity::lately_known(app, request) {
        Some((credential, user_id)) => app.limits.request_of(&credential, &user_id),
        None => app.limits.request_from(client_address(request, app.config.trusted_proxies)),
    }
}

/// Whether requests of this path are not counted.
pub(super) fn is_uncounted(path: &str) -> bool {
    UNCOUNTED.iter().any(|uncounted| path.starts_with(uncounted))
}
