//! Datasets over HTTP: searched on the board, or listed as they were registered.

use std::collections::BTreeMap;

use actix_web::body::BoxBody;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, Responder, get};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Counted, Found, Hit, Piece, SearchQuery, search};
use crate::app::App;
use crate::catalog::datasets::{self, DatasetQuery};
use crate::catalog::routes::DatasetView;
use crate::error::{Problem, Result};
use crate::http::answers::page_response;
use crate::http::input::Query;
use crate::identity::routes::MaybeCaller;
use crate::terms::Use;
use crate::types::{Cursor, ListingId, Money, Page, TermsId};

/// A dataset, and what a search found about it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct DatasetItem {
    #[serde(flatten)]
    dataset: DatasetView,
    /// Its listing on the board; absent in a list that was not searched.
    #[serde(skip_serializing_if = "Option::is_none")]
    offer: Option<FoundOffer>,
    /// Where the words were found.
    #[serde(skip_serializing_if = "Option::is_none")]
    highlights: Option<Highlights>,
}

/// A listing that was found.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct FoundOffer {
    /// The listing.
    listing: ListingId,
    /// The number of the version.
    version: i32,
    /// On which terms.
    terms_id: TermsId,
    /// What it costs.
    price: Money,
    /// The uses that the terms permit.
    permitted_uses: Vec<Use>,
    /// The sum of the sizes of its shards.
    size_bytes: u64,
    /// How its shards are written.
    formats: Vec<String>,
}

/// Where the words of a search were found.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Highlights {
    /// The title in pieces, if a word was found in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<Vec<Piece>>,
    /// The part of the card around the first word that was found there.
    #[serde(skip_serializing_if = "Option::is_none")]
    card: Option<Vec<Piece>>,
}

/// A page of datasets.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct DatasetPage {
    /// The datasets, in the list's order.
    items: Vec<DatasetItem>,
    /// The `cursor` that asks for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Cursor>,
    /// How many a search found, on all pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    /// How many of those that a search found have each value of each facet, at most 50 values.
    #[serde(skip_serializing_if = "Option::is_none")]
    facets: Option<BTreeMap<String, Vec<Counted>>>,
}

impl Responder for DatasetPage {
    type Body = BoxBody;
    fn respond_to(self, request: &HttpRequest) -> HttpResponse {
        page_response(request, self.next.as_ref(), &self)
    }
}

impl From<Page<DatasetView>> for DatasetPage {
    fn from(page: Page<DatasetView>) -> Self {
        let item = |dataset| DatasetItem { dataset, offer: None, highlights: None };
        Self { items: page.items.into_iter().map(item).collect(), next: page.next, total: None, facets: None }
    }
}

impl From<Found> for DatasetPage {
    fn from(found: Found) -> Self {
        let facets = found.facets.into_iter().map(|(facet, values)| (facet.to_string(), values)).collect();
        let items = found.hits.into_iter().map(DatasetItem::from).collect();
        Self { items, next: found.next, total: Some(found.total), facets: Some(facets) }
    }
}

impl From<Hit> for DatasetItem {
    fn from(Hit { entry, title, card }: Hit) -> Self {
        let offer = FoundOffer {
            listing: entry.listing,
            version: entry.version,
            terms_id: entry.terms_id,
            price: entry.price,
            permitted_uses: entry.uses,
            size_bytes: entry.size_bytes,
            formats: entry.formats,
        };
        let highlights = (title.is_some() || card.is_some()).then_some(Highlights { title, card });
        Self { dataset: entry.dataset.into(), offer: Some(offer), highlights }
    }
}

/// Searches what is on the board, with `q`, `sort` or any facet. Without these, it lists the datasets that you may see,
/// newest first, including those that are not on the board yet.
#[utoipa::path(tag = "market", params(SearchQuery), responses(
    (status = 200, body = DatasetPage),
    (status = 422, body = Problem, description = "A parameter was refused"),
    (status = 503, body = Problem, description = "The search index is being built")))]
#[get("/v1/datasets")]
pub(crate) async fn list_datasets(
    app: Data<App>,
    caller: MaybeCaller,
    query: Query<SearchQuery>,
) -> Result<DatasetPage> {
    let query = query.into_inner();
    if query.is_search() {
        return Ok(search(&app, &query).await?.into());
    }
    let wanted = DatasetQuery { cursor: query.cursor, limit: query.limit, organisation: query.organisation };
    let page = app.db.read(move |c| datasets::list(c, caller.0.as_ref(), &wanted)).await?;
    Ok(page.map(DatasetView::from).into())
}
