//! The SQL of events, as they are kept and as histories; how they are told is [`crate::outbox`].

mod snapshot;

use std::collections::BTreeSet;

use chrono::NaiveDateTime;
use core_domain::{
    event::{Attribute, Cause, Change, Deed, Event, Reason},
    image::{Image, ImageAccess, ImageId},
    member::{Member, MemberStatus},
    project::{ProjectId, UserId},
    store::HistoryPage,
};
use diesel::{
    QueryResult,
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::{Bool, Nullable, Text, Timestamp},
};
use uuid::Uuid;

use crate::{
    connection::{Connection, MultiBackend, now},
    error::{Fault, impossible, read},
    images::kept,
    schema::{Id, Key, coalesce_number, events},
};

/// A row of `events`, as it is read.
#[derive(Queryable, Selectable)]
#[diesel(table_name = events)]
pub(crate) struct EventRow {
    number: i64,
    id: Key,
    at: NaiveDateTime,
    user_id: String,
    project_id: Option<String>,
    request_id: String,
    image_id: Key,
    image_name: Option<String>,
    owner: Option<String>,
    member_id: Option<String>,
    deed: String,
    old_status: Option<String>,
    new_status: Option<String>,
    member_created_at: Option<NaiveDateTime>,
    reason: Option<String>,
    image: Option<String>,
    changed: Option<String>,
}

impl EventRow {
    /// The number of the event.
    pub(crate) fn number(&self) -> i64 {
        self.number
    }
}

/// [`core_domain::store::Store::history`]: one statement.
pub(crate) fn history(
    connection: &mut Connection,
    image: ImageId,
    member: &ProjectId,
    page: HistoryPage<'_>,
) -> Result<Vec<Event>, Fault> {
    let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
    let of_member = || {
        events::table
            .filter(events::image_id.eq(Key(image.uuid())))
            .filter(events::member_id.eq(member.as_str()))
            .filter(events::number.gt(page.after.unwrap_or(0)))
            .order_by(events::number)
            .limit(limit)
            .select(EventRow::as_select())
    };
    let rows: Vec<EventRow> = connection.run(|any| {
        let Some(owner) = page.owner else { return of_member().load(any) };
        // What was changed while the owner changed may have a later number than that: it has the former owner.
        let change = diesel::alias!(events as change);
        let last_change = change
            .filter(change.field(events::image_id).eq(Key(image.uuid())))
            .filter(change.field(events::owner_changed))
            .order_by(change.field(events::number).desc())
            .select(change.field(events::number))
            .limit(1)
            .single_value();
        of_member()
            .filter(events::owner.eq(owner.to_string()))
            .filter(events::number.gt(coalesce_number(last_change, 0)))
            .load(any)
    })?;
    rows.into_iter().map(event).collect()
}

pub(crate) fn event(row: EventRow) -> Result<Event, Fault> {
    let deed = *Deed::ALL
        .iter()
        .find(|deed| deed.as_str() == row.deed)
        .ok_or_else(|| impossible("an event in the database is of no kind"))?;
    let reason = |word: &str| Reason::ALL.into_iter().find(|reason| reason.as_str() == word);
    let status = |word: Option<String>| word.map(|word| read(word.parse::<MemberStatus>())).transpose();
    let project = |id: Option<String>| id.map(|id| read(ProjectId::parse(&id))).transpose();
    let change = match (row.member_id, row.member_created_at, row.changed) {
        (Some(member), Some(created_at), None) => Change::Member {
            deed,
            project: read(ProjectId::parse(&member))?,
            old: status(row.old_status)?,
            new: status(row.new_status)?,
            created_at: created_at.and_utc(),
        },
        (None, None, Some(changed)) => Change::Image {
            deed,
            changed: snapshot::attributes(&changed)?,
            image: row.image.map(|image| snapshot::image(&image).map(Box::new)).transpose()?,
        },
        _ => return Err(impossible("an event in the database is about nothing, or about too much")),
    };
    Ok(Event {
        id: row.id.0,
        number: row.number,
        cause: Cause {
            user: UserId::new(&row.user_id),
            project: project(row.project_id)?,
            request: row.request_id,
            at: row.at.and_utc(),
        },
        image: row.image_id.0.into(),
        image_name: row.image_name,
        owner: project(row.owner)?,
        // A word of a later release is no reason not to tell the rest.
        reason: row.reason.as_deref().and_then(reason),
        change,
    })
}

/// What was done to a membership, and the membership it was done to: with the status that it has, or had last.
pub(crate) struct MemberDeed<'a> {
    pub(crate) deed: Deed,
    pub(crate) member: &'a Member,
    /// Its status before, if there was one.
    pub(crate) old: Option<MemberStatus>,
    /// Its status now, if there is one.
    pub(crate) new: Option<MemberStatus>,
}

/// Keeps the event of what was just done to the record of an image, which is, or was last, this: which attributes changed
/// and, for sinks, the record.
pub(crate) fn keep_of_image(
    connection: &mut Connection,
    cause: &Cause,
    image: &Image,
    deed: Deed,
    changed: &BTreeSet<Attribute>,
) -> Result<(), Fault> {
    let (snapshot, access) = (snapshot::text(image)?, image.access());
    let names = snapshot::names(changed)?;
    let row = NewEvent {
        owner_changed: changed.contains(&Attribute::Owner),
        snapshot: Some(&snapshot),
        changed: Some(&names),
        ..NewEvent::new(cause, &access, image.name.as_deref(), deed)
    };
    keep(connection, row)
}

/// Keeps the event of what was just done to a membership of an image.
pub(crate) fn keep_of_member(
    connection: &mut Connection,
    cause: &Cause,
    image: &ImageAccess,
    image_name: Option<&str>,
    done: &MemberDeed<'_>,
) -> Result<(), Fault> {
    let row = NewEvent {
        member: Some(done.member.project.as_str()),
        old: done.old.map(MemberStatus::as_str),
        new: done.new.map(MemberStatus::as_str),
        made: Some(kept(done.member.created_at)),
        ..NewEvent::new(cause, image, image_name, done.deed)
    };
    keep(connection, row)
}

fn keep(connection: &mut Connection, row: NewEvent<'_>) -> Result<(), Fault> {
    connection.run(|any| {
        let row = NewEvent { now: now(any), ..row };
        row.execute(any).map(drop)
    })
}

/// A row of `events`, to be inserted.
struct NewEvent<'a> {
    id: Key,
    at: NaiveDateTime,
    user: &'a str,
    project: Option<&'a str>,
    request: &'a str,
    image: Key,
    image_name: Option<&'a str>,
    owner: Option<&'a str>,
    deed: &'static str,
    member: Option<&'a str>,
    old: Option<&'static str>,
    new: Option<&'static str>,
    made: Option<NaiveDateTime>,
    owner_changed: bool,
    snapshot: Option<&'a str>,
    changed: Option<&'a str>,
    /// The database's clock.
    now: &'static str,
}

impl<'a> NewEvent<'a> {
    fn new(cause: &'a Cause, image: &'a ImageAccess, image_name: Option<&'a str>, deed: Deed) -> Self {
        Self {
            id: Key(Uuid::new_v4()),
            at: kept(cause.at),
            user: cause.user.as_str(),
            project: cause.project.as_ref().map(ProjectId::as_str),
            request: &cause.request,
            image: Key(image.id.uuid()),
            image_name,
            owner: image.owner.as_ref().map(ProjectId::as_str),
            deed: deed.as_str(),
            member: None,
            old: None,
            new: None,
            made: None,
            owner_changed: false,
            snapshot: None,
            changed: None,
            now: "",
        }
    }
}

/// A sink that no server has leased for so many seconds is configured nowhere any more: nothing is kept for it.
const SINK_IS_GONE_AFTER: &str = "604800";

impl QueryFragment<MultiBackend> for NewEvent<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        out.push_sql(
            "INSERT INTO events (id, at, user_id, project_id, request_id, image_id, image_name, owner, deed, \
             member_id, old_status, new_status, member_created_at, owner_changed, changed, image) VALUES (",
        );
        out.push_bind_param::<Id, _>(&self.id)?;
        out.push_sql(", ");
        out.push_bind_param::<Timestamp, _>(&self.at)?;
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(self.user)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Text>, _>(&self.project)?;
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(self.request)?;
        out.push_sql(", ");
        out.push_bind_param::<Id, _>(&self.image)?;
        for text in [&self.image_name, &self.owner] {
            out.push_sql(", ");
            out.push_bind_param::<Nullable<Text>, _>(text)?;
        }
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(self.deed)?;
        for text in [&self.member, &self.old, &self.new] {
            out.push_sql(", ");
            out.push_bind_param::<Nullable<Text>, _>(text)?;
        }
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Timestamp>, _>(&self.made)?;
        out.push_sql(", ");
        out.push_bind_param::<Bool, _>(&self.owner_changed)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Text>, _>(&self.changed)?;
        // The database knows of the sinks of all servers; a server knows of its own.
        out.push_sql(", CASE WHEN EXISTS (SELECT 1 FROM event_sinks WHERE leased_until > ");
        out.push_sql(self.now);
        out.push_sql(" - ");
        out.push_sql(SINK_IS_GONE_AFTER);
        out.push_sql(") THEN ");
        out.push_bind_param::<Nullable<Text>, _>(&self.snapshot)?;
        out.push_sql(" END)");
        Ok(())
    }
}

impl QueryId for NewEvent<'_> {
    type QueryId = NewEvent<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<Conn> RunQueryDsl<Conn> for NewEvent<'_> {}
