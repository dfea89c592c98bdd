//! Events over HTTP.

use actix_web::get;
use actix_web::web::Data;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Message;
use crate::app::App;
use crate::error::{Problem, Result};
use crate::http::input::{Json, Query};
use crate::identity::Caller;
use crate::types::{Cursor, PageQuery};

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventFeedParams {
    /// The handle of the organisation whose events these are.
    organisation: String,
    /// Types of event, separated by commas: `order.escrowed,entitlement.revoked`. All, when absent.
    types: Option<String>,
    /// The `next` of an earlier answer; absent to begin with the first event that is kept.
    cursor: Option<String>,
    /// The most events wanted, 1 to 1000; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// Some of an organisation's events, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct EventFeed {
    /// The events.
    items: Vec<Message>,
    /// The `cursor` to ask with for what comes after these and what `types` leaves out, now or later. There always is one.
    next: Cursor,
}

/// Lists the events of an organisation after a cursor, for its members.
///
/// Each event appears at least once, with an `id` that never changes, and none ever appears before a cursor that was handed
/// out: ask again with `next` for what happened since.
#[utoipa::path(tag = "events", security(("bearer" = [])), params(EventFeedParams),
    responses((status = 200, body = EventFeed),
        (status = 403, body = Problem, description = "not a member of the organisation"),
        (status = 404, body = Problem, description = "no such organisation, or not one you may know of"),
        (status = 410, body = Problem, description = "what comes after the cursor is no longer kept"),
        (status = 422, body = Problem, description = "a parameter is not acceptable")))]
#[get("/v1/events")]
pub(crate) async fn replay_events(
    app: Data<App>,
    caller: Caller,
    query: Query<EventFeedParams>,
) -> Result<Json<EventFeed>> {
    let EventFeedParams { organisation, types, cursor, limit } = query.into_inner();
    let types: Vec<String> = types.iter().flat_map(|text| text.split(',')).map(str::to_string).collect();
    let replay = move |c: &mut crate::db::Conn| {
        let page = PageQuery { cursor, limit };
        let (found, next) = super::events(c, &caller, &organisation, &types, &page)?;
        let items = found.into_iter().map(|event| event.message(&organisation)).collect();
        Ok(EventFeed { items, next: Cursor(next.to_string()) })
    };
    Ok(Json(app.db.read(replay).await?))
}
