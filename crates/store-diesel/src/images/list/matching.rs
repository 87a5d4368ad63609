//! How frequent the tags and properties of a list are. Postgres only: it decides on the plan of the list, never on its content.
//!
//! If `ANALYZE` did not see a tag, Postgres assumes that one image in 200 has it. It then expects to find such images early in a
//! walk through the ranges of a list, and walks them to their end (`docs/adr/0011`). So the store asks Postgres how many images
//! it expects ([`Expected`] reads no image). Unless many are expected, the store has them counted up to a limit ([`Counted`]), and
//! has them read first if they are few ([`ReadFirst`]). A common tag is not counted: its index entries are many, and a walk is short.

use core_domain::listing::Listing;
use diesel::{
    QueryResult,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Text},
};
use serde_json::Value;

use super::{Fragment, filter};
use crate::{
    connection::{AnyConnection, Connection, MultiBackend},
    error::Fault,
};

/// The largest number of images that a list reads first. Each costs an index entry and a row in the count, and again in the
/// list. Of a tag of more images, `ANALYZE` sees some: its sample is 30,000 rows.
const MOST_READ_FIRST: i64 = 1_000;

/// If Postgres expects more than one image in 64 to match, they are not counted. What it assumes without statistics is less:
/// one in 200 for a tag and one in 100 for a property.
const COMMON: f64 = 64.0;

/// How many images have the tags and the properties of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Matching {
    /// None.
    No,
    /// So few that they are read first.
    Few,
    /// More, or unknown: the list is planned by the server's statistics.
    Many,
}

/// Asks how many images have the tags and properties of `listing`.
pub(super) fn matching(connection: &mut Connection, listing: &Listing) -> Result<Matching, Fault> {
    let conditions = filter::matching(listing);
    // Ids lead to few images, whatever the rest is expected to do.
    if conditions.is_empty() || !listing.ids.is_empty() {
        return Ok(Matching::Many);
    }
    connection.run(|any| {
        if matches!(any, AnyConnection::Sqlite(_)) || is_common(any, &conditions)? {
            return Ok(Matching::Many);
        }
        Ok(match counted(any, &conditions)? {
            0 => Matching::No,
            1..=MOST_READ_FIRST => Matching::Few,
            _ => Matching::Many,
        })
    })
}

/// Whether Postgres expects more than one image in [`COMMON`] to match.
fn is_common(any: &mut AnyConnection, conditions: &[Fragment<'_>]) -> QueryResult<bool> {
    let plan: String = Expected(conditions).get_result(any)?;
    Ok(share(&plan).is_some_and(|share| share * COMMON > 1.0))
}

/// The share of all images that match, by the plan of [`Expected`]; `None` if the plan does not say.
fn share(plan: &str) -> Option<f64> {
    let plan: Value = serde_json::from_str(plan).ok()?;
    let plan = plan.get(0)?.get("Plan")?;
    let rows = |node: &Value| node.get("Plan Rows").and_then(Value::as_f64);
    let is_whole = |node: &&Value| node.get("Parent Relationship").is_some_and(|kind| kind == "InitPlan");
    let whole = plan.get("Plans")?.as_array()?.iter().find(is_whole).and_then(rows)?;
    Some(rows(plan)? / whole.max(1.0))
}

/// How many images match; of more than [`MOST_READ_FIRST`], one more than that.
fn counted(any: &mut AnyConnection, conditions: &[Fragment<'_>]) -> QueryResult<i64> {
    Counted(conditions).get_result(any)
}

/// A plan that is not carried out. Its rows are the images that are expected to match. The uncorrelated `EXISTS` has a plan of its
/// own, whose rows are all images. It may be kept prepared: `EXPLAIN` plans for the values of each call.
struct Expected<'a>(&'a [Fragment<'a>]);

impl QueryFragment<MultiBackend> for Expected<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        out.push_sql("EXPLAIN (FORMAT JSON) SELECT FROM images WHERE EXISTS (SELECT FROM images) AND ");
        all_of(self.0, out)
    }
}

impl Query for Expected<'_> {
    type SqlType = Text;
}

impl QueryId for Expected<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Conn> RunQueryDsl<Conn> for Expected<'_> {}

/// The count. Without `MATERIALIZED` Postgres may expect to reach the limit early in a scan of the whole table.
struct Counted<'a>(&'a [Fragment<'a>]);

impl QueryFragment<MultiBackend> for Counted<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        // A plan for any tags, or for any properties, reads their index. With both, which index to read depends on the values.
        if self.0.len() > 1 {
            out.unsafe_to_cache_prepared();
        }
        out.push_sql("WITH matching AS MATERIALIZED (SELECT FROM images WHERE ");
        all_of(self.0, out.reborrow())?;
        out.push_sql(") SELECT count(*) FROM (SELECT FROM matching LIMIT ");
        out.push_sql(&(MOST_READ_FIRST + 1).to_string());
        out.push_sql(") AS matching");
        Ok(())
    }
}

impl Query for Counted<'_> {
    type SqlType = BigInt;
}

impl QueryId for Counted<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Conn> RunQueryDsl<Conn> for Counted<'_> {}

/// What the list statement begins with to read the matching images first, and once. They get the name of the table, so that
/// the ranges of the statement are ranges of them. Which images the list holds does not change: the ranges still have all conditions.
pub(super) struct ReadFirst<'a>(pub(super) Vec<Fragment<'a>>);

impl QueryFragment<MultiBackend> for ReadFirst<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        out.push_sql("WITH images AS MATERIALIZED (SELECT * FROM images WHERE ");
        all_of(&self.0, out.reborrow())?;
        out.push_sql(") ");
        Ok(())
    }
}

/// `(…) AND (…)`
pub(super) fn all_of<'b>(
    conditions: &'b [Fragment<'_>],
    mut out: AstPass<'_, 'b, MultiBackend>,
) -> QueryResult<()> {
    for (number, condition) in conditions.iter().enumerate() {
        out.push_sql(if number == 0 { "(" } else { " AND (" });
        condition.walk_ast(out.reborrow())?;
        out.push_sql(")");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn a_share_is_what_is_expected_of_what_there_is() {
        let plan =
            |rows: u64, plans: &str| format!(r#"[{{"Plan": {{"Plan Rows": {rows}, "Plans": [{plans}]}}}}]"#);
        let whole = r#"{"Parent Relationship": "InitPlan", "Plan Rows": 1000}"#;
        let scan = r#"{"Parent Relationship": "Outer", "Plan Rows": 20}"#;
        assert_eq!(share(&plan(20, &format!("{scan}, {whole}"))), Some(0.02));
        // Nothing to go by: the images are counted.
        assert_eq!(share(&plan(20, scan)), None);
        assert_eq!(share("Seq Scan"), None);
    }
}
