//! Types of columns and parameters that the two databases keep differently: ids, arrays and JSON.

use std::collections::BTreeMap;

use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::Pg,
    query_builder::QueryId,
    serialize::{self, IsNull, Output, ToSql},
    sql_types::{Array, HasSqlType, SqlType, Text},
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

/// The SQL type of several ids: `uuid[]` in Postgres, a JSON array in SQLite. One parameter, however many there are.
#[derive(Clone, Copy, Debug, QueryId, SqlType)]
#[diesel(postgres_type(oid = 2951, array_oid = 0), sqlite_type(name = "Text"))]
pub struct IdArray;

/// Several ids, on their way to the database.
#[derive(Clone, Debug, PartialEq, Eq, AsExpression)]
#[diesel(sql_type = IdArray)]
pub(crate) struct Keys(pub(crate) Vec<Key>);

/// The SQL type of several texts: `text[]` in Postgres, a JSON array in SQLite.
#[derive(Clone, Copy, Debug, QueryId, SqlType)]
#[diesel(postgres_type(oid = 1009, array_oid = 0), sqlite_type(name = "Text"))]
pub struct TextArray;

/// Several texts.
#[derive(Clone, Debug, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = TextArray)]
pub(crate) struct Texts(pub(crate) Vec<String>);

/// The SQL type of texts by names: `jsonb` in Postgres, a JSON object in SQLite.
#[derive(Clone, Copy, Debug, QueryId, SqlType)]
#[diesel(postgres_type(oid = 3802, array_oid = 3807), sqlite_type(name = "Text"))]
pub struct JsonObject;

/// Texts by names.
#[derive(Clone, Debug, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = JsonObject)]
pub(crate) struct Properties(pub(crate) BTreeMap<String, String>);

/// The way to either database is the way to the one it is.
macro_rules! to_either {
    ($($value:ident as $kind:ident),*) => { $(
        impl HasSqlType<$kind> for MultiBackend {
            fn metadata(lookup: &mut Self::MetadataLookup) -> Self::TypeMetadata {
                Self::lookup_sql_type::<$kind>(lookup)
            }
        }

        impl ToSql<$kind, MultiBackend> for $value {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, MultiBackend>) -> serialize::Result {
                out.set_value(($kind, self));
                Ok(IsNull::No)
            }
        }
    )* };
}

/// The way back likewise.
macro_rules! from_either {
    ($($value:ident as $kind:ident),*) => { $(
        impl FromSql<$kind, MultiBackend> for $value {
            fn from_sql(value: <MultiBackend as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
                value.from_sql::<Self, $kind>()
            }
        }
    )* };
}

to_either!(Key as Id, Keys as IdArray, Texts as TextArray, Properties as JsonObject);
from_either!(Key as Id, Texts as TextArray, Properties as JsonObject);

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

impl ToSql<IdArray, Pg> for Keys {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        ToSql::<Array<Id>, Pg>::to_sql(&self.0, out)
    }
}

impl ToSql<IdArray, Sqlite> for Keys {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        let ids: Vec<String> = self.0.iter().map(|key| key.0.as_hyphenated().to_string()).collect();
        out.set_value(serde_json::to_string(&ids)?);
        Ok(IsNull::No)
    }
}

impl FromSql<TextArray, Pg> for Texts {
    fn from_sql(value: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        FromSql::<Array<Text>, Pg>::from_sql(value).map(Self)
    }
}

impl ToSql<TextArray, Pg> for Texts {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        ToSql::<Array<Text>, Pg>::to_sql(&self.0, out)
    }
}

impl FromSql<TextArray, Sqlite> for Texts {
    fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        let text = <String as FromSql<Text, Sqlite>>::from_sql(value)?;
        Ok(Self(serde_json::from_str(&text)?))
    }
}

impl ToSql<TextArray, Sqlite> for Texts {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(serde_json::to_string(&self.0)?);
        Ok(IsNull::No)
    }
}

/// Stands before the text when a `jsonb` is sent in binary.
const JSONB_VERSION: u8 = 1;

impl FromSql<JsonObject, Pg> for Properties {
    fn from_sql(value: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        match value.as_bytes().split_first() {
            Some((&JSONB_VERSION, text)) => Ok(Self(serde_json::from_slice(text)?)),
            _ => Err("a jsonb value of a version that is not known".into()),
        }
    }
}

impl ToSql<JsonObject, Pg> for Properties {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        std::io::Write::write_all(out, &[JSONB_VERSION])?;
        serde_json::to_writer(out, &self.0)?;
        Ok(IsNull::No)
    }
}

impl FromSql<JsonObject, Sqlite> for Properties {
    fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        let text = <String as FromSql<Text, Sqlite>>::from_sql(value)?;
        Ok(Self(serde_json::from_str(&text)?))
    }
}

impl ToSql<JsonObject, Sqlite> for Properties {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(serde_json::to_string(&self.0)?);
        Ok(IsNull::No)
    }
}
