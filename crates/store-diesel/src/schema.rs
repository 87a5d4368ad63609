//! The tables as Diesel knows them; `migrations/` makes them. Types that the two databases keep differently are in
//! [`crate::columns`].

use diesel::sql_types::{BigInt, Nullable, Text};

pub(crate) use crate::columns::{Id, Key};

diesel::table! {
    use diesel::sql_types::*;
    use crate::schema::Id;

    image_ids (id) {
        id -> Id,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::columns::{JsonObject, TextArray};
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
        memory_bytes -> Integer,
        tags -> TextArray,
        properties -> JsonObject,
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
        reason -> Nullable<Text>,
        owner_changed -> Bool,
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
diesel::allow_tables_to_appear_in_same_query!(images, image_members);

#[diesel::declare_sql_function]
extern "SQL" {
    /// `coalesce` of a text.
    fn coalesce(text: Nullable<Text>, otherwise: Text) -> Text;

    /// `coalesce` of a number.
    #[sql_name = "coalesce"]
    fn coalesce_number(number: Nullable<BigInt>, otherwise: BigInt) -> BigInt;
}

#[cfg(test)]
mod tests {
    use diesel::{Connection as _, SqliteConnection, debug_query, dsl::sql, prelude::*, sqlite::Sqlite};
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
        columns!(event_dead_letters event_order event_sinks events image_ids image_members images)
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
