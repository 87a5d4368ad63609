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

diesel::allow_tables_to_appear_in_same_query!(images, image_members, image_tags, image_properties);

#[diesel::declare_sql_function]
extern "SQL" {
    /// `coalesce` of a text.
    fn coalesce(text: Nullable<Text>, otherwise: Text) -> Text;

    /// Texts in one, in no particular order; NULL for none. Postgres and SQLite 3.44.
    #[aggregate]
    fn string_agg(text: Text, separator: Text) -> Nullable<Text>;
}
