//! Statements that a change sends while it holds its image: each is a round trip, for which others wait.

use core_domain::{
    Context, Result, Rules,
    image::{Image, Visibility},
    sharing,
    store::Store,
    testing::builders::{an_image, at, caller, cause, project},
};
use store_diesel::{Config, DieselStore, migrate};
use testbed::Postgres;

use crate::told;

/// What is sent when this caller adds a member.
fn sent_to_add(store: &dyn Store, image: &Image, who: &str, roles: &[&str]) -> Result<Vec<String>> {
    let (by, rules) = (caller(who, roles), Rules::default());
    let cx = Context { caller: &by, rules: &rules, now: at(1), request: "req-0" };
    let mut added = Ok(());
    let member = project(&format!("added by {who}"));
    let told = told::during(|| added = sharing::add(cx, store, image.id, &member).map(drop));
    added.map(|()| told.run)
}

#[track_caller]
fn begin_with(sent: &[String], beginnings: &[&str]) {
    let as_expected = sent.len() == beginnings.len()
        && sent.iter().zip(beginnings).all(|(statement, beginning)| statement.starts_with(beginning));
    assert!(as_expected, "{sent:#?}");
}

#[test]
fn adding_a_member_is_five_round_trips_to_postgres() -> Result<()> {
    told::listen();
    let database = Postgres::shared().database();
    let config = Config::parse(database.url())?;
    migrate(&config, &mut |_| ()).expect("a schema");
    let store = DieselStore::open(&config)?;
    let store: &dyn Store = &store;
    let image = an_image("owner");
    let private = Image { visibility: Visibility::Private, ..an_image("owner") };
    for image in [&image, &private] {
        store.write(image.id, &cause(0), |tx| tx.insert_image(image))?;
    }
    let hold = "SELECT \"images\".\"hidden\"";
    let look = "SELECT \"images\".\"id\"";
    let add = "WITH added AS";
    for (who, roles) in [("owner", "member"), ("ops", "admin")] {
        begin_with(&sent_to_add(store, &image, who, &[roles])?, &["BEGIN", hold, look, add, "COMMIT"]);
    }
    // That a private image is shared from now on is a change, and has an event, of its own. It ends former memberships.
    let end = "WITH ended AS";
    let share = "UPDATE \"images\"";
    begin_with(
        &sent_to_add(store, &private, "owner", &["member"])?,
        &["BEGIN", hold, look, end, share, "INSERT INTO events", add, "COMMIT"],
    );
    Ok(())
}
