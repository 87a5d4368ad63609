//! The tables as Diesel knows them; `migrations/` makes them. The one type of our own is an image's id.

use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::Pg,
    query_builder::QueryId,
    serialize::{self, IsNull, Output, ToSql},
    sql_types::{HasSqlType, Nullable, SqlType, Text},
    sqlite::Sqlite,
};
use uuid::Uuid;

use crate::connection::MultiBackend;

/// The SQL type of an image's id: `uuid` in Postgres, lower-case hyphenated TEXT in SQLite; both sort alike.
#[derive(Clone, Copy, Debug, QueryId, SqlType)]
#[diesel(postgres_type(oid = 2950, array_oid = 2951), sqlite_type(name = "Text"))]
pub struct Id;

/// An image's id on its way to or from the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Id)]
pub(crate) struct Key(pub(crate) Uuid);

impl HasSqlType<Id> for MultiBackend {
    fn metadata(lookup: &mut Self::MetadataLookup) -> Self::TypeMetadata {
        Self::lookup_sql_type::<Id>(lookup)
    }
}

impl FromSql<Id, MultiBackend> for Key {
    fn from_sql(value: <MultiBackend as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        value.from_sql::<Self, Id>()
    }
}

impl ToSql<Id, MultiBackend> for Key {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, MultiBackend>) -> serialize::Result {
        out.set_value((Id, self));
        Ok(IsNull::No)
    }
}

impl FromSql<Id, Pg> for Key {
    fn from_sql(value: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        FromSql::<diesel::sql_types::Uuid, Pg>::from_sql(value).map(Self)
    }
}

impl ToSql<Id, Pg> for Key {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        ToSql::<diesel::sql_types::Uuid, Pg>::to_sql(&self.0, out)
    }
}

impl FromSql<Id, Sqlite> for Key {
    fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        let text = <String as FromSql<Text, Sqlite>>::from_sql(value)?;
        Ok(Self(Uuid::try_parse(&text)?))
    }
}

impl ToSql<Id, Sqlite> for Key {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0.as_hyphenated().to_string());
        Ok(IsNull::No)
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::schema::Id;

    image_ids (id) {
        id -> Id,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::schema::Id;

    images (id) {
        id -> Id,
        owner -> Nullable<Text>,
        visibility -> Text,
        status -> Text,
        name -> Nullable<Text>,
        container_format -> Nullable<Text>,
        disk_format -> Nullable<Text>,
        min_disk -> Integer,
        min_ram -> Integer,
        protected -> Bool,
        hidden -> Bool,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::schema::Id;

    image_members (image_id, member_id) {
        image_id -> Id,
        member_id -> Text,
        status -> Text,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        image_created_at -> Timestamp,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::schema::Id;

    image_tags (image_id, tag) {
        image_id -> Id,
        tag -> Text,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::schema::Id;

    image_properties (image_id, name) {
        image_id -> Id,
        name -> Text,
        value -> Text,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::schema::Id;

    events (number) {
        number -> BigInt,
        id -> Id,
        place -> Nullable<BigInt>,
        at -> Timestamp,
        user_id -> Text,
        project_id -> Nullable<Text>,
        request_id -> Text,
        image_id -> Id,
        image_name -> Nullable<Text>,
        owner -> Nullable<Text>,
        member_id -> Nullable<Text>,
        deed -> Text,
        old_status -> Nullable<Text>,
        new_status -> Nullable<Text>,
        member_created_at -> Nullable<Timestamp>,
        image -> Nullable<Text>,
        changed -> Nullable<Text>,
        bytes -> Integer,
    }
}

diesel::table! {
    event_order (only_row) {
        only_row -> Bool,
        last_place -> BigInt,
        first_number -> Nullable<BigInt>,
    }
}

diesel::table! {
    event_sinks (name) {
        name -> Text,
        holder -> Text,
        fence -> BigInt,
        leased_until -> Double,
        settled -> BigInt,
        claimed -> BigInt,
    }
}

diesel::table! {
    event_dead_letters (sink, number) {
        sink -> Text,
        number -> BigInt,
        why -> Text,
        at -> Timestamp,
    }
}

diesel::joinable!(event_dead_letters -> events (number));
diesel::allow_tables_to_appear_in_same_query!(events, event_order, event_sinks, event_dead_letters);
diesel::allow_tables_to_appear_in_same_query!(images, image_members, image_tags, image_properties);

#[diesel::declare_sql_function]
extern "SQL" {
    /// `coalesce` of a text.
    fn coalesce(text: Nullable<Text>, otherwise: Text) -> Text;

    /// Texts in one, in no particular order; NULL for none. Postgres and SQLite 3.44.
    #[aggregate]
    fn string_agg(text: Text, separator: Text) -> Nullable<Text>;
}

#[cfg(test)]
mod tests {
    use diesel::{Connection as _, SqliteConnection, debug_query, dsl::sql, prelude::*};
    use testbed::Postgres;

    use super::*;
    use crate::{Config, migrate};

    /// `table.column` of every table above, in order.
    fn known() -> Vec<String> {
        macro_rules! columns {
            ($($table:ident)*) => { vec![$(
                debug_query::<Sqlite, _>(&$table::table.select($table::all_columns)).to_string()
            ),*] };
        }
        columns!(event_dead_letters event_order event_sinks events image_ids image_members image_properties image_tags images)
            .iter()
            .flat_map(|query| {
                let columns = query.strip_prefix("SELECT ").and_then(|rest| rest.split_once(" FROM "));
                columns
                    .expect("a select")
                    .0
                    .replace('`', "")
                    .split(", ")
                    .map(ToOwned::to_owned)
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn both_databases_have_the_tables_and_columns_that_diesel_knows() {
        let server = Postgres::shared().database();
        migrate(&Config::parse(server.url()).expect("a URL"), &mut |_| ()).expect("a schema");
        let in_postgres = server.query(
            "SELECT table_name || '.' || column_name || CASE is_nullable WHEN 'YES' THEN '?' ELSE '' END \
             FROM information_schema.columns WHERE table_schema = 'public' AND table_name SIMILAR TO '(image|event)%' \
             ORDER BY table_name COLLATE \"C\", ordinal_position",
        );

        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("schema.db");
        let url = format!("sqlite://{}", path.display());
        migrate(&Config::parse(&url).expect("a URL"), &mut |_| ()).expect("a schema");
        let mut sqlite = SqliteConnection::establish(&url).expect("the file");
        let in_sqlite: String = diesel::select(sql::<Text>(
            "(SELECT group_concat(said, ' ') FROM ( \
               SELECT t.name || '.' || c.name || CASE c.\"notnull\" WHEN 1 THEN '' ELSE '?' END AS said \
               FROM sqlite_master t, pragma_table_xinfo(t.name) c \
               WHERE t.type = 'table' AND (t.name LIKE 'image%' OR t.name LIKE 'event%') ORDER BY t.name, c.cid))",
        ))
        .get_result(&mut sqlite)
        .expect("the columns");

        assert_eq!(in_postgres, in_sqlite.split(' ').collect::<Vec<_>>());
        let without_nullability: Vec<_> = in_postgres.iter().map(|column| column.replace('?', "")).collect();
        assert_eq!(without_nullability, known());
    }
}
