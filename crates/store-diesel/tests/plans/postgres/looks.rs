//! What is read of one image, its members and what happened to them, alone and in batches.

use core_domain::{
    Context, Rules,
    image::{ImageAccess, ImageId, Visibility},
    limits::Limits,
    member::MemberStatus,
    project::ProjectId,
    sharing,
    store::{Batched, HistoryPage, MembersPage, SightOf, StatusChange, Store, Viewer},
    testing::builders::{at, caller, cause, project},
};

use super::Catalogue;

impl Catalogue<'_> {
    /// What is looked at of memberships, whether they are few or many.
    pub(super) fn members(&self) {
        let crowded = self.image("id = md5('2')::uuid");
        let (owner, member) = (crowded.owner.clone().expect("an owner"), project("m2500"));
        for who in [&owner, &member, &project("stranger")] {
            self.reads_at_most(4, "show member", |store| {
                store.sight(crowded.id, Some(who), &member).expect("a look").expect("the image");
            });
            let after = Some((at(0), project("m")));
            let page = MembersPage { after, limit: Some(25) };
            self.reads_at_most(90, "members", |store| {
                let viewer = Viewer { project: Some(who), admin: false };
                store.members(crowded.id, viewer, &page).expect("a look").expect("the image");
            });
        }
        for who in [&owner, &member, &project("stranger")] {
            for maximum in [Some(50), Some(10_000), None] {
                // A viewer that does not see the image learns of no member. Without a limit none is counted.
                let is_seen = who.as_str() != "stranger";
                let counted = maximum.filter(|_| is_seen).map_or(0, |maximum| maximum.min(5_000));
                let limits = Limits { members_per_image: maximum, ..Limits::default() };
                let (by, rules) = (caller(who.as_str(), &["member"]), Rules { limits, ..Rules::default() });
                self.reads_at_most(counted as u64 + 10, "add member", |store| {
                    let cx = Context { caller: &by, rules: &rules, now: at(1), request: "req-0" };
                    // It is a member already, so that nothing changes.
                    sharing::add(cx, store, crowded.id, &member).expect_err("a refusal");
                });
            }
        }
    }

    /// An image alone, for each kind of viewer.
    pub(super) fn show_image(&self) {
        let crowded = self.image("id = md5('2')::uuid");
        let (owner, member) = (crowded.owner.clone().expect("an owner"), project("m2500"));
        for who in [Some(&owner), Some(&member), Some(&project("stranger")), None] {
            for admin in [false, true] {
                self.reads_at_most(2, "show image", |store| {
                    let viewer = Viewer { project: who, admin };
                    store.image(crowded.id, viewer).expect("a look").expect("the image");
                });
            }
        }
    }

    /// What is answered together reads as much for each call as if that had been the only one, though the one statement is
    /// planned before anybody knows what for.
    pub(super) fn rounds(&self) {
        let shared = "SELECT image.id, image.owner, member.member_id FROM images AS image \
             JOIN image_members AS member ON member.image_id = image.id \
             WHERE image.visibility = 'shared' AND image.owner IS NOT NULL AND image.id <> md5('2')::uuid \
             ORDER BY md5(image.id::text || 'by chance') LIMIT 64";
        let found = self.database.query(shared);
        let memberships: Vec<(ImageAccess, ProjectId)> = found.iter().map(|row| membership(row)).collect();
        let calls = memberships.len() as u64;
        assert_eq!(calls, 64);
        let cause = cause(0);

        let asked: Vec<_> = memberships
            .iter()
            .map(|(image, member)| SightOf { image: image.id, caller: image.owner.as_ref(), member })
            .collect();
        self.reads_at_most(3 * calls, "show members", |store| all_there(&store.sights(&asked)));
        let asked: Vec<_> = memberships
            .iter()
            .map(|(image, _)| (image.id, Viewer { project: image.owner.as_ref(), admin: false }))
            .collect();
        self.reads_at_most(5 * calls, "lists of members", |store| answered(&store.rolls(&asked)));
        let asked: Vec<_> = memberships
            .iter()
            .map(|(image, member)| (image.id, Viewer { project: Some(member), admin: false }))
            .collect();
        self.reads_at_most(5 * calls, "show images", |store| answered(&store.whole_images(&asked)));
        let status = MemberStatus::Accepted;
        let asked: Vec<_> = memberships
            .iter()
            .map(|(seen, member)| StatusChange { seen, member, status, cause: &cause })
            .collect();
        self.reads_at_most(6 * calls, "answers to offers", |store| all_there(&store.set_statuses(&asked)));
    }

    /// Whether a project has room for one more image: no more is read than may be owned.
    pub(super) fn owners(&self) {
        for (who, most) in [("p700", 2_000), ("big", 10_000)] {
            self.reads_at_most(most, "images of a project", |store| {
                let mut change = store.begin(ImageId::random(), &cause(0)).expect("a change");
                change.owns_at_least(&project(who), 10_000).expect("a look");
            });
        }
    }

    /// What happened to one membership.
    pub(super) fn histories(&self) {
        let guest = project("guest");
        let image = self.image("id = md5('40')::uuid").id;
        // In the index, and then in the table.
        self.reads_at_most(2 * 4, "history", |store| {
            let page = HistoryPage { after: None, owner: None, limit: 25 };
            assert_eq!(store.history(image, &guest, page).expect("a history").len(), 4);
        });
    }

    /// What happened to one membership since the image became this owner's, after 2,000 changes of the owner among three, each
    /// with four events of the membership. A fourth has it now, with a thousand events.
    pub(super) fn histories_after_many_owners(&self) {
        let guest = project("guest");
        let id = ImageId::random();
        self.database.query(&format!(
            "INSERT INTO events (at, user_id, request_id, image_id, owner, member_id, deed, new_status, member_created_at, \
                 owner_changed, changed) \
             SELECT timestamp '2026-05-01', 'user', 'req', '{id}', CASE WHEN n <= 2000 THEN 'o' || n % 3 ELSE 'now' END, \
                 CASE WHEN turn > 0 THEN 'guest' END, CASE WHEN turn > 0 THEN 'create' ELSE 'update' END, \
                 CASE WHEN turn > 0 THEN 'pending' END, CASE WHEN turn > 0 THEN timestamp '2026-05-01' END, turn = 0, \
                 CASE WHEN turn = 0 THEN '[\"owner\"]' END \
             FROM generate_series(1, 2001) n, generate_series(0, CASE WHEN n <= 2000 THEN 4 ELSE 1000 END) turn ORDER BY n, turn"
        ));
        let own = format!("image_id = '{id}' AND owner = 'now' AND member_id IS NOT NULL");
        let numbers = self.database.query(&format!("SELECT number FROM events WHERE {own} ORDER BY number"));
        let half_way: i64 = numbers[499].parse().expect("a number");
        for statistics in ["of before", "of now"] {
            if statistics == "of now" {
                self.database.query("VACUUM ANALYZE events");
            }
            for (owner, after, found) in [
                ("now", None, 25),
                ("now", Some(half_way), 25),
                // What it may see ends where the image became another's.
                ("o1", None, 0),
                ("stranger", None, 0),
            ] {
                // Whose event it is, is read of each: of those since the change, none is another's but in a race.
                let most = if found == 0 { 2 * 1_000 + 10 } else { 2 * 25 + 10 };
                let owner = project(owner);
                self.reads_at_most(most, "an owner's history", |store| {
                    let page = HistoryPage { after, owner: Some(&owner), limit: 25 };
                    assert_eq!(store.history(id, &guest, page).expect("a history").len(), found, "{owner}");
                });
            }
        }
    }
}

/// A row of an image's id, its owner and one of its members; the image is shared.
fn membership(row: &str) -> (ImageAccess, ProjectId) {
    let [id, owner, member] = row.split('|').collect::<Vec<_>>()[..] else { panic!("{row}") };
    let id = id.parse().expect("an id");
    let owner = Some(ProjectId::parse(owner).expect("a project"));
    let seen = ImageAccess { id, owner, visibility: Visibility::Shared };
    (seen, ProjectId::parse(member).expect("a project"))
}

/// Everybody was answered.
fn all_there<T>(answers: &core_domain::Result<Vec<Option<T>>>) {
    assert!(answers.as_ref().expect("a look").iter().all(Option::is_some));
}

/// The same of a batch, in one step.
fn answered<T>(answers: &core_domain::Result<Vec<Batched<Option<T>>>>) {
    assert!(answers.as_ref().expect("a look").iter().all(|one| matches!(one, Batched::Answered(Some(_)))));
}
