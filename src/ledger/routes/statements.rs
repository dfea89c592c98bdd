//! Statements of account over HTTP.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::app::App;
use crate::error::{Problem, Result};
use crate::http::answers::attachment;
use crate::http::input::Query;
use crate::identity::Caller;
use crate::ledger::statements::{self, AccountStatement, StatementFile, StatementQuery};
use crate::types::csv::{self, ListFormat};
use crate::types::{Currency, Instant, PageQuery};

/// Which statement.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StatementParams {
    /// Of the accounts in this currency.
    currency: Currency,
    /// Since when.
    from: Instant,
    /// Until when, that moment excluded.
    to: Instant,
    /// `json`, a page of lines, when absent; `csv`: the whole period as one file.
    #[param(inline)]
    format: Option<ListFormat>,
    /// The `next` of the page before; absent for the first page. Of `json` only.
    cursor: Option<String>,
    /// The most lines wanted, 1 to 1000; 100 when absent. Of `json` only.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// Returns the statement of account for a period: opening balance, every line, closing balance.
///
/// For the organisation's members, operators and compliance staff. The CSV file is streamed; it ends with the rows
/// `closing`, so that a truncated file can be recognised.
#[utoipa::path(tag = "ledger", security(("bearer" = [])), params(("handle" = String, Path, description = "The organisation's handle"), StatementParams), responses(
    (status = 200, description = "The statement", content((AccountStatement = "application/json"), (String = "text/csv"))),
    (status = 404, body = Problem, description = "No such organisation, or not yours"),
    (status = 422, body = Problem, description = "A parameter is not acceptable"),
))]
#[get("/v1/organisations/{handle}/statements")]
pub(crate) async fn get_statement(
    app: Data<App>,
    caller: Caller,
    handle: Path<String>,
    query: Query<StatementParams>,
) -> Result<HttpResponse> {
    let StatementParams { currency, from, to, format, cursor, limit } = query.into_inner();
    let query = StatementQuery { handle: handle.into_inner(), currency, from, to };
    if format.unwrap_or(ListFormat::Json) == ListFormat::Json {
        let page = PageQuery { cursor, limit };
        let statement = app.db.read(move |c| statements::statement(c, &caller, &query, &page)).await?;
        return Ok(HttpResponse::Ok().json(statement));
    }
    let name = format!("{}-{currency}.csv", query.handle);
    let file = app.db.read(move |c| statements::statement_file(c, &caller, query)).await?;
    Ok(attachment(app, (&name, csv::MEDIA_TYPE), file, StatementFile::next))
}
