//! The list of images: [`Listing`] said in SQL. `Listing::holds` and its `Comparator` say the same in Rust, and the
//! conformance suite compares the two.
//!
//! A page costs what it holds, not what the catalogue holds (`docs/adr/0007`): the list is cut into [`Range`]s that have
//! no image in common; each is read from an index, in order, behind the marker, up to a limit of its own; the first of
//! them all are the page. All of it is one statement, for a list by tags or properties the last of three at most:
//!
//! ```sql
//! SELECT … FROM (SELECT images.*, row_number() …, sum(memory_bytes) …, lead(id) … FROM (SELECT * FROM (
//!     SELECT * FROM (SELECT … FROM images WHERE visibility = … AND hidden = … ORDER BY … LIMIT 32) AS part
//!     UNION ALL …
//! ) AS images ORDER BY … LIMIT …) AS images WINDOW …) AS images WHERE … ORDER BY …
//! ```
//!
//! It ends where it has as many images, or bytes of records, as a page may have. Until then Postgres carries a pointer in place
//! of what it keeps outside the row; SQLite, which would carry the text, looks up tags and properties for what is left.
//!
//! | order | what is read |
//! |---|---|
//! | by creation (the default), either way | of each range an index range: the page |
//! | by name | the same, but every image shared with the project, for a membership knows no name |
//! | by anything else | everything within reach: an admin's list reads the catalogue |
//!
//! Names, ids, tags and properties to filter by are found by index; other filters are applied along the way, so that a
//! list of what is rare reads on until the page is full or the range ends.
//!
//! Before a list by tags or properties Postgres is asked how frequent they are ([`mod@matching`]). If no more than 1,000 images
//! have them, the statement begins with `WITH images AS MATERIALIZED (SELECT * FROM images WHERE tags @> …)`: these images are
//! read from the tag's or the property's index, once, and the ranges are ranges of them, in any order. If none has, the list
//! is empty.

mod filter;
mod matching;
mod order;
mod range;

use core_domain::{limits::PAGE_BYTES, listing::Listing, store::ImagePage};
use diesel::{
    QueryResult,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Bool},
};

use self::{
    matching::{Matching, ReadFirst, all_of, matching},
    order::Order,
    range::Range,
};
use super::{ImageRow, image};
use crate::{
    connection::{Connection, Dialect, MultiBackend},
    error::Fault,
    schema::images,
};

/// A piece of SQL with its values.
type Fragment<'a> = Box<dyn QueryFragment<MultiBackend> + 'a>;

/// [`core_domain::store::Store::images`].
pub(crate) fn list(connection: &mut Connection, listing: &Listing) -> Result<ImagePage, Fault> {
    let mut page = Page::of(listing);
    if page.parts.is_empty() || page.limit == 0 || listing.matches_nothing {
        return Ok(ImagePage::default());
    }
    let found: Vec<(ImageRow, bool)> = connection.together(|connection| {
        // Each statement sees what is committed when it begins. The answer is still of one moment: the page statement has all
        // conditions itself, so that the count before it only decides on its plan. An empty list is that of the count's moment.
        match matching(connection, listing)? {
            Matching::No => return Ok(Vec::new()),
            Matching::Few => page.read_first = Some(ReadFirst(filter::matching(listing))),
            Matching::Many => {}
        }
        connection.run(|any| page.load(any))
    })?;
    let has_more = found.last().is_some_and(|(_, is_followed)| *is_followed);
    let images = found.into_iter().map(|(row, _)| image(row)).collect::<Result<_, _>>()?;
    Ok(ImagePage { images, has_more })
}

/// The columns of an image but for its tags and properties.
const COLUMNS: &str = "images.id, images.owner, images.visibility, images.status, images.name, images.container_format, \
    images.disk_format, images.min_disk, images.min_ram, images.protected, images.hidden, images.created_at, \
    images.updated_at, images.memory_bytes";

/// Those two in a part.
const REST_OF_PART: Dialect = Dialect { postgres: ", images.tags, images.properties", sqlite: "" };

/// And of the page.
const REST_OF_PAGE: Dialect = Dialect {
    postgres: ", images.tags, images.properties",
    sqlite: ", (SELECT whole.tags FROM images AS whole WHERE whole.id = images.id), \
        (SELECT whole.properties FROM images AS whole WHERE whole.id = images.id)",
};

/// The statement.
struct Page<'a> {
    /// Only in Postgres.
    read_first: Option<ReadFirst<'a>>,
    parts: Vec<Part<'a>>,
    order: Order<'a>,
    limit: i64,
    /// One more than its limit: whether there is one says whether more follow.
    rows: i64,
    is_common: bool,
}

/// One range of it, with a limit of its own.
struct Part<'a> {
    range: Range<'a>,
    conditions: Vec<Fragment<'a>>,
    order: Order<'a>,
    limit: i64,
}

impl<'a> Page<'a> {
    fn of(listing: &'a Listing) -> Self {
        let limit = i64::try_from(listing.limit).unwrap_or(i64::MAX);
        let rows = limit.saturating_add(1);
        let parts = range::ranges(listing).into_iter().map(|range| Part::of(listing, range, rows)).collect();
        Self {
            read_first: None,
            parts,
            order: Order::of_page(listing),
            limit,
            rows,
            is_common: filter::is_common(listing) && order::is_by_creation(listing),
        }
    }
}

impl<'a> Part<'a> {
    fn of(listing: &'a Listing, range: Range<'a>, rows: i64) -> Self {
        let mut conditions = range.conditions(listing);
        conditions.extend(filter::conditions(listing));
        conditions.extend(order::behind(listing, range));
        Self { range, conditions, order: Order::of_range(listing, range), limit: step(rows) }
    }
}

/// The limit of a part, which the statement says as a literal: of a bound one Postgres assumes that it lets a tenth of
/// everything pass, and plans for that. Rounded up, so that there are few different statements; a part is read no
/// further than the page asks.
fn step(rows: i64) -> i64 {
    let mut step = 32_i64;
    while step < rows {
        step = step.saturating_mul(8);
    }
    step
}

/// The largest page whose statement is kept prepared: [`step`] has three values up to here.
const LARGEST_COMMON: i64 = 2048;

impl QueryFragment<MultiBackend> for Page<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        // A kept statement is planned once, for any values. That suits index ranges. A name or a tag is worth a plan of its
        // own, which knows how frequent it is; and every number of values would be another statement to keep, for ever.
        if !self.is_common || self.rows > LARGEST_COMMON {
            out.unsafe_to_cache_prepared();
        }
        if let Some(images) = &self.read_first {
            images.walk_ast(out.reborrow())?;
        }
        // Under the table's own name, so that columns are called here what they are called everywhere.
        out.push_sql("SELECT ");
        out.push_sql(COLUMNS);
        REST_OF_PAGE.walk_ast(out.reborrow())?;
        out.push_sql(", images.is_followed FROM (SELECT images.*, row_number() OVER page AS place, ");
        out.push_sql("sum(images.memory_bytes) OVER page AS bytes, ");
        out.push_sql("lead(images.id) OVER page IS NOT NULL AS is_followed FROM (SELECT * FROM (");
        for (number, part) in self.parts.iter().enumerate() {
            if number > 0 {
                out.push_sql(" UNION ALL ");
            }
            part.walk_ast(out.reborrow())?;
        }
        out.push_sql(") AS images ORDER BY ");
        self.order.walk_ast(out.reborrow())?;
        out.push_sql(" LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.rows)?;
        out.push_sql(") AS images WINDOW page AS (ORDER BY ");
        self.order.walk_ast(out.reborrow())?;
        out.push_sql(" ROWS UNBOUNDED PRECEDING)) AS images WHERE images.place <= ");
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        out.push_sql(" AND (images.place = 1 OR images.bytes <= ");
        out.push_sql(&PAGE_BYTES.to_string());
        out.push_sql(") ORDER BY ");
        self.order.walk_ast(out)
    }
}

impl QueryFragment<MultiBackend> for Part<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        // Twice SELECT: SQLite takes no ORDER BY in a part of a UNION.
        out.push_sql("SELECT * FROM (SELECT ");
        out.push_sql(self.range.columns());
        REST_OF_PART.walk_ast(out.reborrow())?;
        out.push_sql(" FROM ");
        out.push_sql(self.range.tables());
        out.push_sql(" WHERE ");
        all_of(&self.conditions, out.reborrow())?;
        out.push_sql(" ORDER BY ");
        self.order.walk_ast(out.reborrow())?;
        out.push_sql(" LIMIT ");
        out.push_sql(&self.limit.to_string());
        out.push_sql(") AS part");
        Ok(())
    }
}

impl Query for Page<'_> {
    type SqlType = (images::SqlType, Bool);
}

impl QueryId for Page<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Conn> RunQueryDsl<Conn> for Page<'_> {}
