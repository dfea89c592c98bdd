//! Lineage over HTTP: what a version was made from, and what was made from it.

use actix_web::get;
use actix_web::web::{Data, Path};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Direction, Parent, Relative};
use crate::app::App;
use crate::catalog::{VersionRef, VersionState};
use crate::error::{Problem, Result};
use crate::http::input::{Json, Query};
use crate::identity::routes::MaybeCaller;
use crate::types::{Digest, Page, PageQuery};

/// A sealed version that another one was made from, or that was made from it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct RelativeView {
    /// The dataset, as `organisation/name`.
    dataset: String,
    /// The version's number.
    version: i32,
    /// Where in its life it is.
    state: VersionState,
    /// The digest of its manifest: how the log knows it.
    manifest_sha256: Digest,
}

impl From<Relative> for RelativeView {
    fn from(relative: Relative) -> Self {
        let dataset = relative.full_name();
        let Relative { number, state, manifest_sha256, .. } = relative;
        Self { dataset, version: number, state, manifest_sha256 }
    }
}

/// A version on the way.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct StepView {
    /// The least number of steps to it.
    distance: u32,
    #[serde(flatten)]
    version: RelativeView,
}

/// What a version was made from, or what was made from it, over any number of steps.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct LineageView {
    /// Each version once, nearest first.
    items: Vec<StepView>,
    /// Whether there are more than the limit allowed.
    truncated: bool,
}

/// How far and which way.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LineageQuery {
    /// `up` to what the version was made from, `down` to what was made from it.
    #[param(inline)]
    direction: Direction,
    /// The most versions wanted, 1 to 1000; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// Lists what a version was made from, in the order of its manifest: versions on this exchange, and outside sources.
#[utoipa::path(tag = "catalog", params(VersionRef, PageQuery),
    responses((status = 200, body = Page<Parent>), (status = 404, body = Problem)))]
#[get("/v1/datasets/{organisation}/{name}/versions/{number}/parents")]
pub(crate) async fn list_parents(
    app: Data<App>,
    caller: MaybeCaller,
    which: Path<VersionRef>,
    page: Query<PageQuery>,
) -> Result<Page<Parent>> {
    let page = app.db.read(move |c| super::list_parents(c, caller.0.as_ref(), &which, &page)).await?;
    Ok(page.map(|link| link.parent))
}

/// Lists the versions that name this one as a parent, as far as you may see them.
#[utoipa::path(tag = "catalog", params(VersionRef, PageQuery),
    responses((status = 200, body = Page<RelativeView>), (status = 404, body = Problem)))]
#[get("/v1/datasets/{organisation}/{name}/versions/{number}/children")]
pub(crate) async fn list_children(
    app: Data<App>,
    caller: MaybeCaller,
    which: Path<VersionRef>,
    page: Query<PageQuery>,
) -> Result<Page<RelativeView>> {
    let page = app.db.read(move |c| super::list_children(c, caller.0.as_ref(), &which, &page)).await?;
    Ok(page.map(RelativeView::from))
}

/// Lists the versions that name bytes with this SHA-256 as an outside source, as far as you may see them.
#[utoipa::path(tag = "catalog", params(("sha256" = Digest, Path, description = "The digest of the source"), PageQuery),
    responses((status = 200, body = Page<RelativeView>)))]
#[get("/v1/sources/{sha256}/children")]
pub(crate) async fn list_children_of_source(
    app: Data<App>,
    caller: MaybeCaller,
    sha256: Path<Digest>,
    page: Query<PageQuery>,
) -> Result<Page<RelativeView>> {
    let page = app.db.read(move |c| super::list_children_of_source(c, caller.0.as_ref(), *sha256, &page)).await?;
    Ok(page.map(RelativeView::from))
}

/// Follows lineage over any number of steps, breadth first, through versions that you may see.
#[utoipa::path(tag = "catalog", params(VersionRef, LineageQuery),
    responses((status = 200, body = LineageView), (status = 404, body = Problem)))]
#[get("/v1/datasets/{organisation}/{name}/versions/{number}/lineage")]
pub(crate) async fn get_lineage(
    app: Data<App>,
    caller: MaybeCaller,
    which: Path<VersionRef>,
    query: Query<LineageQuery>,
) -> Result<Json<LineageView>> {
    let direction = query.direction;
    let limit = PageQuery { cursor: None, limit: query.limit }.limit()?;
    let walk = app.db.read(move |c| super::trace(c, caller.0.as_ref(), &which, direction, limit)).await?;
    let step = |(distance, relative)| StepView { distance, version: RelativeView::from(relative) };
    Ok(Json(LineageView { items: walk.found.into_iter().map(step).collect(), truncated: walk.truncated }))
}
