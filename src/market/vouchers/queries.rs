//! The `voucher_programmes` and `voucher_movements` tables.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::{MovementKind, Programme};
use crate::db::Conn;
use crate::schema::{voucher_movements as movements, voucher_programmes as programmes};
use crate::types::{Currency, Instant, MovementId, OrderId, OrganisationId, ProgrammeId};

/// A sum of amounts; the cast brings it back to a BIGINT on both databases.
const SUM: &str = "CAST(COALESCE(SUM(voucher_movements.amount_minor), 0) AS BIGINT)";

diesel::allow_columns_to_appear_in_same_group_by_clause!(programmes::id, programmes::currency);

#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = movements, check_for_backend(crate::db::MultiBackend))]
pub(super) struct Movement {
    pub(super) id: MovementId,
    pub(super) programme_id: ProgrammeId,
    pub(super) kind: MovementKind,
    pub(super) order_id: Option<OrderId>,
    pub(super) buyer_id: Option<OrganisationId>,
    pub(super) amount_minor: i64,
    pub(super) moved_at: Instant,
}

pub(super) fn insert_programme(c: &mut Conn, programme: &Programme) -> QueryResult<usize> {
    diesel::insert_into(programmes::table).values(programme).execute(c)
}

pub(super) fn find_programme(c: &mut Conn, id: ProgrammeId) -> QueryResult<Option<Programme>> {
    programmes::table.find(id).select(Programme::as_select()).first(c).optional()
}

pub(super) fn list_programmes(c: &mut Conn, after: &str, limit: i64) -> QueryResult<Vec<Programme>> {
    programmes::table
        .filter(programmes::id.gt(after))
        .order(programmes::id)
        .limit(limit)
        .select(Programme::as_select())
        .load(c)
}

pub(super) fn insert_movement(c: &mut Conn, movement: &Movement) -> QueryResult<usize> {
    diesel::insert_into(movements::table).values(movement).execute(c)
}

pub(super) fn find_last_movement(c: &mut Conn, programme: ProgrammeId) -> QueryResult<Option<MovementId>> {
    movements::table
        .filter(movements::programme_id.eq(programme))
        .order(movements::id.desc())
        .select(movements::id)
        .first(c)
        .optional()
}

pub(super) fn find_use(c: &mut Conn, order: OrderId) -> QueryResult<Option<Movement>> {
    movements::table
        .filter(movements::order_id.eq(order))
        .filter(movements::kind.eq(MovementKind::Use))
        .select(Movement::as_select())
        .first(c)
        .optional()
}

/// What a buyer has used of a programme and not given back.
pub(super) fn sum_used(c: &mut Conn, programme: ProgrammeId, buyer: OrganisationId) -> QueryResult<i64> {
    let sum: i64 = movements::table
        .filter(movements::programme_id.eq(programme))
        .filter(movements::buyer_id.eq(buyer))
        .select(sql::<BigInt>(SUM))
        .first(c)?;
    Ok(sum.saturating_neg())
}

/// The sum of a programme's movements up to this one.
pub(super) fn sum_through(c: &mut Conn, programme: ProgrammeId, last: &str) -> QueryResult<i64> {
    movements::table
        .filter(movements::programme_id.eq(programme))
        .filter(movements::id.le(last))
        .select(sql::<BigInt>(SUM))
        .first(c)
}

pub(super) fn list_movements(
    c: &mut Conn,
    programme: ProgrammeId,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Movement>> {
    movements::table
        .filter(movements::programme_id.eq(programme))
        .filter(movements::id.gt(after))
        .order(movements::id)
        .limit(limit)
        .select(Movement::as_select())
        .load(c)
}

/// The sum of each programme's movements.
pub(super) fn sum_movements_of_programmes(c: &mut Conn) -> QueryResult<Vec<(ProgrammeId, Currency, i64)>> {
    movements::table
        .inner_join(programmes::table)
        .group_by((programmes::id, programmes::currency))
        .select((programmes::id, programmes::currency, sql::<BigInt>(SUM)))
        .load(c)
}
