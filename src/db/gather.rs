//! Gathered writes: the rows that the writes of one group append are inserted with one statement for each table.
//!
//! Trades of one moment append to the same tables, and look at the same listing, assessment and keys.
//! [`Db::write_gathered`](super::Db::write_gathered) is for work that only appends rows, and swaps balances that it compared.
//! In a group of such writes the rows that [`append`] is given wait, and are inserted together before the commit; and what
//! [`load_once`] is asked for is loaded once, as it is over the snapshot of a read. Everywhere else both act at once.
//!
//! A list needs the same kinds of things for each row of a page. [`load_ahead`] loads them for all rows together, and each row is
//! then shown as it would be alone: a page takes as many statements as there are kinds of things on it, however many rows it has.
//!
//! A gathered write does not see the rows that wait. It may look for such a row only by a key that the table holds once: if
//! two writes of a group exclude each other (one quote, bought twice), the table refuses the second, and the group starts
//! again with nothing gathered, as it does when a write fails.
//!
//! Invariant: gathered writes change nothing that they ask for with [`load_once`], unless they [`keep`] what it becomes. Before a write
//! of another kind runs in the same transaction, what waits is inserted, and what was loaded is forgotten.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Display;

use diesel::QueryResult;

use super::Conn;
use super::facts::is_remembered;

/// A row that is written once and for all, or another change of a table that need not be made before others of its kind are.
/// [`appends!`](crate::appends) says of rows into which table they are inserted.
pub trait Append: Sized + Send + 'static {
    /// The table's name, and where it is declared.
    fn table() -> &'static str;
    /// Inserts rows, many in one statement; makes changes in their order.
    fn insert(rows: &[Self], c: &mut Conn) -> QueryResult<usize>;
}

/// Says into which table the rows of a type are appended.
///
/// A statement for a certain number of rows is prepared once by each connection, and kept; one for any number would be parsed
/// and planned each time. So there are statements for powers of two: a few of them make up any number.
#[macro_export]
macro_rules! appends {
    ($($row:ty => $table:ident),+ $(,)?) => {$(
        impl $crate::db::Append for $row {
            fn table() -> &'static str {
                std::any::type_name::<$table::table>()
            }
            fn insert(rows: &[Self], c: &mut $crate::db::Conn) -> diesel::QueryResult<usize> {
                $crate::appends!(@by 32, 16, 8, 4, 2; $table, rows, c)
            }
        }
    )+};
    (@by $($together:literal),+; $table:ident, $rows:ident, $c:ident) => {{
        let (mut inserted, rest) = (0, $rows);
        $(
            let (chunks, rest) = rest.as_chunks::<$together>();
            for rows in chunks {
                inserted += $crate::appends!(@insert $table, rows, $c)?;
            }
        )+
        for row in rest {
            inserted += $crate::appends!(@insert $table, row, $c)?;
        }
        Ok(inserted)
    }};
    // By the connection itself: one over both writes the statement's text each time, to see that it has it.
    (@insert $table:ident, $values:ident, $c:ident) => {{
        let insert = diesel::insert_into($table::table).values($values);
        match $c {
            $crate::db::Conn::Pg(pg) => insert.execute(pg),
            $crate::db::Conn::Sqlite(sqlite) => insert.execute(sqlite),
        }
    }};
}

/// What the gathered writes of a transaction have appended and loaded so far.
#[derive(Default)]
pub(super) struct Gathered {
    /// Of each table, in the order in which rows were first appended to them: a row refers to none that comes later.
    rows: Vec<Box<dyn Rows>>,
    loaded: HashMap<(TypeId, String), Box<dyn Any>>,
    /// A query that may have missed rows which wait.
    astray: Option<String>,
    /// Whether no row may wait, because nothing is ever inserted.
    only_loads: bool,
}

/// Rows of one table.
trait Rows: Any {
    /// The table into which some wait to be inserted.
    fn table(&self) -> Option<&'static str>;
    fn insert(&self, c: &mut Conn) -> QueryResult<usize>;
}

impl<R: Append> Rows for Vec<R> {
    fn table(&self) -> Option<&'static str> {
        let name = R::table();
        let name = name.strip_suffix("::table").and_then(|path| path.rsplit("::").next()).unwrap_or(name);
        (!self.is_empty()).then_some(name)
    }
    fn insert(&self, c: &mut Conn) -> QueryResult<usize> {
        if self.is_empty() { Ok(0) } else { R::insert(self, c) }
    }
}

thread_local! {
    /// What is gathered while a gathered write runs on this thread.
    static GATHERED: RefCell<Option<Gathered>> = const { RefCell::new(None) };
}

impl Gathered {
    /// For reads.
    pub(super) fn of_reads() -> Self {
        Self { only_loads: true, ..Self::default() }
    }

    /// Runs a read or a gathered write, and keeps what it appends and loads. Of one that panics nothing is left to the thread,
    /// which goes on to other transactions.
    pub(super) fn within<T>(&mut self, work: impl FnOnce() -> T) -> T {
        struct Forgets;
        impl Drop for Forgets {
            fn drop(&mut self) {
                GATHERED.set(None);
            }
        }
        GATHERED.set(Some(std::mem::take(self)));
        let _forgets = Forgets;
        let done = work();
        *self = GATHERED.take().unwrap_or_default();
        debug_assert!(self.astray.is_none(), "a gathered write asked for rows that may wait: {:?}", self.astray);
        done
    }

    /// Inserts what waits, and forgets what was loaded.
    pub(super) fn flush(&mut self, c: &mut Conn) -> QueryResult<()> {
        let Self { rows, .. } = std::mem::take(self);
        rows.iter().try_for_each(|rows| rows.insert(c).map(drop))
    }

    fn add<R: Append>(&mut self, row: R) {
        match self.waiting() {
            Some(rows) => rows.push(row),
            None => self.rows.push(Box::new(vec![row])),
        }
    }

    /// The rows of a type, if any were appended.
    fn waiting<R: Append>(&mut self) -> Option<&mut Vec<R>> {
        self.rows.iter_mut().find_map(|rows| (&mut **rows as &mut dyn Any).downcast_mut())
    }
}

/// Notes a query of a table into which rows wait to be inserted: in builds that check, the group fails by it.
pub(super) fn note_query(query: &dyn Display) {
    GATHERED.with_borrow_mut(|gathered| {
        let Some(gathered) = gathered else { return };
        let sql = query.to_string();
        let asks = |rows: &dyn Rows| {
            rows.table()
                .is_some_and(|name| ["\"", "`"].iter().any(|quote| sql.contains(&format!("{quote}{name}{quote}"))))
        };
        if !sql.starts_with("INSERT") && gathered.rows.iter().any(|rows| asks(&**rows)) {
            gathered.astray = Some(sql);
        }
    });
}

/// Inserts what waits of one type, which refers to nothing else that waits: for a gathered write that is about to ask the table.
///
/// # Errors
/// Those of the database.
pub fn flush_of<R: Append>(c: &mut Conn) -> QueryResult<()> {
    let waiting = GATHERED.with_borrow_mut(|gathered| Some(std::mem::take(gathered.as_mut()?.waiting::<R>()?)));
    waiting.filter(|rows| !rows.is_empty()).map_or(Ok(()), |rows| R::insert(&rows, c).map(drop))
}

/// Inserts what waits: for a gathered write that goes on to more than appending.
///
/// # Errors
/// Those of the database.
pub fn flush(c: &mut Conn) -> QueryResult<()> {
    let waiting = GATHERED.with_borrow_mut(Option::take);
    let Some(mut waiting) = waiting else { return Ok(()) };
    let flushed = waiting.flush(c);
    GATHERED.set(Some(waiting));
    flushed
}

/// Appends a row: at once, or with others before the commit.
///
/// # Errors
/// Those of the database, when the row is inserted at once.
pub fn append<R: Append>(c: &mut Conn, row: R) -> QueryResult<()> {
    let alone = GATHERED.with_borrow_mut(|gathered| match gathered {
        Some(gathered) if !gathered.only_loads => {
            gathered.add(row);
            None
        }
        _ => Some(row),
    });
    alone.map_or(Ok(()), |row| R::insert(std::slice::from_ref(&row), c).map(drop))
}

/// What `load` finds, asked for once by the gathered writes of a transaction, or over the snapshot of a read, under the same
/// `key` and type.
///
/// # Errors
/// Those of `load`.
pub fn load_once<T, E>(c: &mut Conn, key: impl Display, load: impl FnOnce(&mut Conn) -> Result<T, E>) -> Result<T, E>
where
    T: Clone + 'static,
{
    if GATHERED.with_borrow(Option::is_none) {
        return load(c);
    }
    let key = key.to_string();
    if let Some(known) = loaded(&key) {
        return Ok(known);
    }
    let found = load(c)?;
    keep_loaded([(key, found.clone())]);
    Ok(found)
}

/// As [`load_once`], by the query with which [`load_ahead`] loads the same for many: the `T` of one key, if there is one.
///
/// # Errors
/// Those of `load`.
pub fn load_one<K, T, E>(
    c: &mut Conn,
    key: &K,
    load: impl FnOnce(&mut Conn, &[K]) -> Result<Vec<(K, T)>, E>,
) -> Result<Option<T>, E>
where
    K: Display,
    T: Clone + 'static,
{
    load_once(c, key, |c| Ok(load(c, std::slice::from_ref(key))?.pop().map(|(_, found)| found)))
}

/// What was loaded under this key and type.
pub(super) fn loaded<T: Clone + 'static>(key: &str) -> Option<T> {
    GATHERED.with_borrow(|gathered| {
        let found = gathered.as_ref()?.loaded.get(&(TypeId::of::<T>(), key.to_string()));
        found?.downcast_ref::<T>().cloned()
    })
}

/// What [`load_once`] gives from now on under this key: a gathered write has just made it so.
pub fn keep<T: 'static>(key: impl Display, value: T) {
    keep_loaded([(key.to_string(), value)]);
}

fn keep_loaded<T: 'static>(found: impl IntoIterator<Item = (String, T)>) {
    GATHERED.with_borrow_mut(|gathered| {
        if let Some(gathered) = gathered {
            for (key, value) in found {
                gathered.loaded.insert((TypeId::of::<T>(), key), Box::new(value));
            }
        }
    });
}

/// Loads together what [`load_once`] or [`fact`](super::fact) is about to be asked for, one by one: the `T` of each of these
/// keys, which they give as an `Option<T>`, but for what was loaded before and the facts that are remembered. What is not found is
/// looked for again when it is asked for; so is everything outside of reads and gathered writes.
///
/// # Errors
/// Those of `load`.
pub fn load_ahead<K, T, E>(
    c: &mut Conn,
    keys: impl IntoIterator<Item = K>,
    load: impl FnOnce(&mut Conn, &[K]) -> Result<Vec<(K, T)>, E>,
) -> Result<(), E>
where
    K: Display + Ord,
    T: Clone + 'static,
{
    if GATHERED.with_borrow(Option::is_none) {
        return Ok(());
    }
    let is_new = |key: &K| {
        let key = key.to_string();
        loaded::<Option<T>>(&key).is_none() && !is_remembered::<T>(&key)
    };
    let mut keys: Vec<K> = keys.into_iter().filter(is_new).collect();
    keys.sort_unstable();
    keys.dedup();
    if keys.is_empty() {
        return Ok(());
    }
    keep_loaded(load(c, &keys)?.into_iter().map(|(key, value)| (key.to_string(), Some(value))));
    Ok(())
}
