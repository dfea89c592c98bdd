//! Usage over HTTP.

use actix_web::get;
use actix_web::web::{Data, Path};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Under, Usage, UsageQuery, UsageSide};
use crate::app::App;
use crate::catalog;
use crate::db::Conn;
use crate::error::{Problem, Result};
use crate::http::input::Query;
use crate::identity::Caller;
use crate::types::{EntitlementId, ListingId, Page, PageQuery};

/// Which usage, and which page of it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsageParams {
    /// `licensee`: what the organisation downloaded, by licence; `provider`: what was downloaded of its corpora, by listing.
    #[param(inline)]
    side: UsageSide,
    /// The first day (UTC), as 2026-01-31; the first of the present month when absent.
    from: Option<String>,
    /// The last day; today when absent. At most 366 days.
    to: Option<String>,
    /// The `next` of the page before; absent for the first page.
    cursor: Option<String>,
    /// The most items wanted, 1 to 1000; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// What was downloaded of a version in the period.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageView {
    /// Under which licence; to the licensee.
    #[serde(skip_serializing_if = "Option::is_none")]
    entitlement: Option<EntitlementId>,
    /// The listing under which it was bought; shown to the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    listing: Option<ListingId>,
    /// `org/name`.
    dataset: String,
    /// The version's number.
    version: i32,
    /// Under how many licences.
    licences: i64,
    /// How many shards, each once a day (UTC) and licence, however many links to it were given.
    shards: i64,
    /// The sum of their sizes.
    bytes: i64,
    /// The sum of their records, as far as shards say how many they hold.
    records: i64,
}

fn view(c: &mut Conn, usage: &Usage) -> Result<UsageView> {
    let name = catalog::name_of(c, usage.version_id)?;
    let (entitlement, listing) = match usage.under {
        Under::Licence(id) => (Some(id), None),
        Under::Listing(id) => (None, Some(id)),
    };
    let Usage { licences, shards, bytes, records, .. } = *usage;
    Ok(UsageView {
        entitlement,
        listing,
        dataset: name.dataset,
        version: name.number,
        licences,
        shards,
        bytes,
        records,
    })
}

/// Sums up what an organisation downloaded, or what was downloaded of its corpora, in a period of days. For its members.
///
/// Under each licence a shard counts once a day, whole, however many links to it were given, and whatever part was read.
#[utoipa::path(tag = "delivery", security(("bearer" = [])), params(("handle" = String, Path, description = "The organisation's handle"), UsageParams), responses(
    (status = 200, body = Page<UsageView>),
    (status = 403, body = Problem, description = "Not your organisation"),
    (status = 404, body = Problem, description = "No such organisation"),
    (status = 422, body = Problem, description = "A parameter is not acceptable")))]
#[get("/v1/organisations/{handle}/usage")]
pub(crate) async fn get_usage(
    app: Data<App>,
    caller: Caller,
    handle: Path<String>,
    params: Query<UsageParams>,
) -> Result<Page<UsageView>> {
    let UsageParams { side, from, to, cursor, limit } = params.into_inner();
    let query = UsageQuery { organisation: handle.into_inner(), side, from, to };
    let (page, now) = (PageQuery { cursor, limit }, app.clock.now());
    let show = move |c: &mut Conn| {
        let Page { items, next } = super::usage(c, &caller, &query, &page, now)?;
        catalog::load_names(c, items.iter().map(|usage| usage.version_id))?;
        let items = items.iter().map(|usage| view(c, usage)).collect::<Result<_>>()?;
        Ok(Page { items, next })
    };
    app.db.read(show).await
}
