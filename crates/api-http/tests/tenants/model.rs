//! The rules, as the sharing API states them (sections 1 to 5), over the plainest records there are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// Projects that own images, are offered them, or have nothing to do with them.
const PROJECTS: [&str; 6] = ["ada", "bo", "cy", "dee", "eve", "fay"];
const VISIBILITIES: [&str; 4] = ["public", "community", "shared", "private"];
const STATUSES: [&str; 3] = ["pending", "accepted", "rejected"];
const TAGS: [&str; 3] = ["sky", "sea", "sun"];
/// How many images there are at a time, about.
const IMAGES: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Role {
    Neither,
    Reader,
    Member,
    Admin,
}

/// Who asks, as Keystone vouches.
#[derive(Clone, Debug)]
pub(super) struct Who {
    pub(super) project: Option<&'static str>,
    pub(super) role: Role,
}

impl Who {
    pub(super) fn all() -> Vec<Self> {
        let ordinary = PROJECTS.iter().flat_map(|project| {
            [Role::Reader, Role::Member].map(|role| Self { project: Some(project), role })
        });
        let odd = [
            (Some("ada"), Role::Neither),
            (Some("eve"), Role::Admin),
            (None, Role::Neither),
            (None, Role::Admin),
        ];
        ordinary.chain(odd.map(|(project, role)| Self { project, role })).collect()
    }

    /// Role `admin`, in any project but in one.
    fn is_admin(&self) -> bool {
        self.role == Role::Admin && self.project.is_some()
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) enum Call {
    ListImages { visibility: Option<&'static str>, status: Option<&'static str> },
    CreateImage { visibility: Option<&'static str>, ownerless: bool },
    ShowImage(String),
    ChangeImage { id: String, visibility: &'static str },
    DeleteImage(String),
    ListMembers(String),
    AddMember(String, &'static str),
    ShowMember(String, &'static str),
    ShowHistory(String, &'static str),
    SetStatus(String, &'static str, &'static str),
    RemoveMember(String, &'static str),
    AddTag(String, &'static str),
    RemoveTag(String, &'static str),
}

impl Call {
    /// Method, path and body.
    pub(super) fn request(&self) -> (&'static str, String, Option<Value>) {
        let of = |id: &str| format!("/v2/images/{id}");
        let member = |id: &str, project: &str| format!("/v2/images/{id}/members/{project}");
        match self {
            Self::ListImages { visibility, status } => {
                let mut path = "/v2/images?limit=1000".to_owned();
                for (name, value) in [("visibility", visibility), ("member_status", status)] {
                    path.extend(value.map(|value| format!("&{name}={value}")));
                }
                ("GET", path, None)
            }
            Self::CreateImage { visibility, ownerless } => {
                let mut body = json!({"name": "an image"});
                if let Some(visibility) = visibility {
                    body["visibility"] = json!(visibility);
                }
                if *ownerless {
                    body["owner"] = Value::Null;
                }
                ("POST", "/v2/images".into(), Some(body))
            }
            Self::ShowImage(id) => ("GET", of(id), None),
            Self::ChangeImage { id, visibility } => {
                let step = json!([{"op": "replace", "path": "/visibility", "value": visibility}]);
                ("PATCH", of(id), Some(step))
            }
            Self::DeleteImage(id) => ("DELETE", of(id), None),
            Self::ListMembers(id) => ("GET", of(id) + "/members", None),
            Self::AddMember(id, project) => {
                ("POST", of(id) + "/members", Some(json!({"member_id": project})))
            }
            Self::ShowMember(id, project) => ("GET", member(id, project), None),
            Self::ShowHistory(id, project) => ("GET", member(id, project) + "/history?limit=1000", None),
            Self::SetStatus(id, project, status) => {
                ("PUT", member(id, project), Some(json!({"status": status})))
            }
            Self::RemoveMember(id, project) => ("DELETE", member(id, project), None),
            Self::AddTag(id, tag) => ("PUT", format!("/v2/images/{id}/tags/{tag}"), None),
            Self::RemoveTag(id, tag) => ("DELETE", format!("/v2/images/{id}/tags/{tag}"), None),
        }
    }
}

/// What the rules say of a call.
#[derive(Debug)]
pub(super) enum Expected {
    /// One of these, where the rules leave it open which.
    Refused(&'static [u16]),
    Done(u16),
}

/// What an answer tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    Nothing,
    /// Ids, sorted.
    Images(Vec<String>),
    /// Id, owner, visibility, name, tags.
    Image((String, Option<String>, String, String, Vec<String>)),
    /// Projects and statuses.
    Members(BTreeMap<String, String>),
    /// Who did what: the project, the status before and after.
    History(Vec<Past>),
}

/// An entry of a history.
pub(super) type Past = (Option<String>, Option<String>, Option<String>);

struct Image {
    owner: Option<&'static str>,
    visibility: &'static str,
    tags: BTreeSet<&'static str>,
    members: BTreeMap<&'static str, &'static str>,
}

impl Image {
    /// Section 2, «see». Section 1: without an owner, every project.
    fn is_seen_by(&self, who: &Who) -> bool {
        let Some(project) = who.project else { return false };
        who.is_admin()
            || self.owner.is_none_or(|owner| owner == project)
            || match self.visibility {
                "public" | "community" => true,
                "shared" => self.members.contains_key(project),
                _ => false,
            }
    }

    fn is_of(&self, who: &Who) -> bool {
        self.owner.is_some() && self.owner == who.project
    }

    fn is_shared(&self) -> bool {
        self.visibility == "shared"
    }

    /// Section 2 and 3: members exist on shared images; those of a private one are its owner's and admins' to list and to
    /// remove.
    fn keeps_members_for(&self, who: &Who) -> bool {
        self.is_shared() || (self.visibility == "private" && (who.is_admin() || self.is_of(who)))
    }

    /// Section 5: admin; `member` role on the owner side.
    fn is_written_by(&self, who: &Who) -> bool {
        who.is_admin() || (who.role >= Role::Member && self.is_of(who))
    }

    /// Section 5: admin; `reader` role on the owner or the member side.
    fn members_are_read_by(&self, who: &Who) -> bool {
        let member_side = who.project.is_some_and(|project| self.members.contains_key(project));
        who.is_admin() || (who.role >= Role::Reader && (self.is_of(who) || member_side))
    }

    /// Section 3: owner and admin see all, a member only its own row.
    fn members_told(&self, who: &Who) -> BTreeMap<String, String> {
        let all = who.is_admin() || self.is_of(who);
        let told = self.members.iter().filter(|(project, _)| all || Some(**project) == who.project);
        told.map(|(project, status)| ((*project).to_owned(), (*status).to_owned())).collect()
    }

    /// Section 4, `GET /v2/images`.
    fn is_listed_to(&self, who: &Who, visibility: Option<&str>, status: Option<&str>) -> bool {
        let wanted = status.unwrap_or("accepted");
        let offered = who.project.and_then(|project| self.members.get(project));
        let shared_with_me =
            self.is_shared() && offered.is_some_and(|status| wanted == "all" || *status == wanted);
        let mine = self.is_of(who);
        let within_reach = match self.visibility {
            "public" => true,
            "community" => mine || matches!(visibility, Some("community" | "all")),
            "shared" => mine || shared_with_me || who.is_admin(),
            _ => mine || who.is_admin(),
        };
        within_reach && visibility.is_none_or(|wanted| wanted == "all" || wanted == self.visibility)
    }
}

/// All records.
#[derive(Default)]
pub(super) struct Model {
    images: BTreeMap<String, Image>,
    /// Ids of images that were deleted.
    gone: Vec<String>,
    /// What happened to memberships, by image and project.
    past: BTreeMap<(String, String), Vec<Past>>,
}

impl Model {
    /// A call by chance; `below` gives a number below its argument.
    pub(super) fn some_call(&self, below: &mut dyn FnMut(usize) -> usize) -> Call {
        let id = match below(20) {
            0 => uuid::Uuid::from_u128(below(usize::MAX) as u128).to_string(),
            1 if !self.gone.is_empty() => self.gone[below(self.gone.len())].clone(),
            _ if self.images.is_empty() => uuid::Uuid::nil().to_string(),
            _ => self.images.keys().nth(below(self.images.len())).unwrap().clone(),
        };
        let project = PROJECTS[below(PROJECTS.len())];
        let tag = TAGS[below(TAGS.len())];
        let visibility = VISIBILITIES[below(4)];
        match below(32) {
            0..=4 => {
                let visibility = [None, Some("all"), Some(visibility)][below(3)];
                let statuses = [STATUSES[0], STATUSES[1], STATUSES[2], "all"];
                let status = [None, Some(statuses[below(4)])][below(2)];
                Call::ListImages { visibility, status }
            }
            5 | 6 if self.images.len() < IMAGES => {
                Call::CreateImage { visibility: [None, Some(visibility)][below(2)], ownerless: below(8) == 0 }
            }
            5..=11 => Call::ShowImage(id),
            // Mostly shared: there is most to get wrong.
            12 | 13 => Call::ChangeImage { id, visibility: [visibility, "shared"][below(2)] },
            14 if self.images.len() > IMAGES / 2 => Call::DeleteImage(id),
            14..=17 => Call::ListMembers(id),
            18..=21 => Call::AddMember(id, project),
            22 | 23 => Call::ShowMember(id, project),
            24 => Call::ShowHistory(id, project),
            25..=27 => Call::SetStatus(id, project, STATUSES[below(3)]),
            28 | 29 => Call::RemoveMember(id, project),
            30 => Call::AddTag(id, tag),
            _ => Call::RemoveTag(id, tag),
        }
    }

    /// What the rules say.
    pub(super) fn expected(&self, who: &Who, call: &Call) -> Expected {
        use Expected::{Done, Refused};
        let id = match call {
            Call::ListImages { .. } => {
                let may = who.project.is_some() && who.role >= Role::Reader;
                return if may { Done(200) } else { Refused(&[403]) };
            }
            Call::CreateImage { visibility, ownerless } => {
                let may = who.project.is_some() && who.role >= Role::Member;
                let admin_only = *visibility == Some("public") || *ownerless;
                return if may && (who.is_admin() || !admin_only) { Done(201) } else { Refused(&[403]) };
            }
            Call::ShowImage(id)
            | Call::ChangeImage { id, .. }
            | Call::DeleteImage(id)
            | Call::ListMembers(id) => id,
            Call::AddMember(id, _)
            | Call::ShowMember(id, _)
            | Call::ShowHistory(id, _)
            | Call::SetStatus(id, ..)
            | Call::RemoveMember(id, _) => id,
            Call::AddTag(id, _) | Call::RemoveTag(id, _) => id,
        };
        if let Call::ShowHistory(id, project) = call {
            return self.of_history(who, id, project);
        }
        match self.images.get(id) {
            Some(image) if image.is_seen_by(who) => Self::of_seen(who, call, image),
            Some(_) | None => Refused(&[404]),
        }
    }

    fn of_seen(who: &Who, call: &Call, image: &Image) -> Expected {
        use Expected::{Done, Refused};
        let if_may = |may: bool, code| if may { Done(code) } else { Refused(&[403]) };
        match call {
            Call::ListImages { .. } | Call::CreateImage { .. } | Call::ShowHistory(..) => {
                unreachable!("judged before")
            }
            Call::ShowImage(_) => {
                if who.role >= Role::Reader {
                    Done(200)
                } else {
                    Refused(&[404])
                }
            }
            Call::ChangeImage { visibility, .. } => {
                let publishes = *visibility == "public" && image.visibility != "public";
                if_may(image.is_written_by(who) && (who.is_admin() || !publishes), 200)
            }
            Call::DeleteImage(_) => if_may(image.is_written_by(who), 204),
            Call::AddTag(..) => if_may(image.is_written_by(who), 204),
            Call::RemoveTag(_, tag) => match image.is_written_by(who) {
                true if image.tags.contains(tag) => Done(204),
                true => Refused(&[404]),
                false => Refused(&[403]),
            },
            Call::ListMembers(_) => {
                if_may(image.keeps_members_for(who) && image.members_are_read_by(who), 200)
            }
            Call::ShowMember(_, project) => {
                let told = image.members_told(who).contains_key(*project);
                if image.is_shared() && image.members_are_read_by(who) && told {
                    Done(200)
                } else {
                    Refused(&[404])
                }
            }
            Call::AddMember(_, project) => {
                let fits = matches!(image.visibility, "shared" | "private");
                let is_there = image.is_shared() && image.members.contains_key(project);
                match (fits && image.is_written_by(who), is_there) {
                    (false, _) => Refused(&[403]),
                    (true, true) => Refused(&[409]),
                    (true, false) => Done(200),
                }
            }
            Call::RemoveMember(_, project) => {
                match (image.keeps_members_for(who) && image.is_written_by(who), image.members.get(project)) {
                    (false, _) => Refused(&[403]),
                    (true, None) => Refused(&[404]),
                    (true, Some(_)) => Done(204),
                }
            }
            Call::SetStatus(_, project, _) => Self::of_status(who, project, image),
        }
    }

    /// `GET …/members/{member_id}/history`: owner, that member and admins, whatever the image is now; admins even if it is
    /// gone.
    fn of_history(&self, who: &Who, id: &str, project: &str) -> Expected {
        let is_known = match self.images.get(id) {
            None => who.is_admin(),
            Some(image) => {
                let is_theirs = image.is_of(who) || who.project == Some(project);
                image.is_seen_by(who) && (who.is_admin() || (who.role >= Role::Reader && is_theirs))
            }
        };
        let is_there = self.past.contains_key(&(id.to_owned(), project.to_owned()));
        if is_known && is_there { Expected::Done(200) } else { Expected::Refused(&[404]) }
    }

    /// Remembers a change of a membership.
    fn remember(&mut self, who: &Who, id: &str, project: &str, old: Option<&str>, new: Option<&str>) {
        if old != new {
            let past = self.past.entry((id.to_owned(), project.to_owned())).or_default();
            past.push((who.project.map(str::to_owned), old.map(str::to_owned), new.map(str::to_owned)));
        }
    }

    /// `PUT …/members/{member_id}` on an image that the caller sees.
    fn of_status(who: &Who, project: &str, image: &Image) -> Expected {
        use Expected::{Done, Refused};
        let there = image.members.contains_key(project);
        if !image.is_shared() {
            Refused(&[403])
        } else if who.is_admin() {
            if there { Done(200) } else { Refused(&[404]) }
        } else if who.project == Some(project) {
            match (there, who.role >= Role::Member) {
                (true, true) => Done(200),
                (true, false) => Refused(&[403]),
                // On the owner side, or a reader, and there is no such row: the table has both.
                (false, _) => Refused(&[403, 404]),
            }
        } else if image.owner.is_none() || image.is_of(who) {
            Refused(&[403])
        } else {
            Refused(&[404])
        }
    }

    /// Does what was done, and says what the answer has to tell. `id` is that of a new image.
    pub(super) fn done(&mut self, who: &Who, call: &Call, id: &str) -> Told {
        match call {
            Call::ListImages { visibility, status } => {
                let listed =
                    self.images.iter().filter(|(_, image)| image.is_listed_to(who, *visibility, *status));
                Told::Images(listed.map(|(id, _)| id.clone()).collect())
            }
            Call::CreateImage { visibility, ownerless } => {
                let owner = who.project.filter(|_| !ownerless);
                let visibility = visibility.unwrap_or("shared");
                let image = Image { owner, visibility, tags: BTreeSet::new(), members: BTreeMap::new() };
                assert!(!self.gone.iter().any(|gone| gone == id), "an id is given once");
                assert!(self.images.insert(id.to_owned(), image).is_none(), "an id is given once");
                self.image(id)
            }
            Call::ShowImage(id) => self.image(id),
            Call::ChangeImage { id, visibility } => {
                self.at(id).visibility = visibility;
                self.image(id)
            }
            Call::DeleteImage(id) => {
                let image = self.images.remove(id);
                for (project, status) in image.into_iter().flat_map(|image| image.members) {
                    self.remember(who, id, project, Some(status), None);
                }
                self.gone.push(id.clone());
                Told::Nothing
            }
            Call::ListMembers(id) => Told::Members(self.at(id).members_told(who)),
            Call::ShowMember(id, project) => self.member(id, project),
            Call::ShowHistory(id, project) => {
                Told::History(self.past[&(id.clone(), (*project).to_owned())].clone())
            }
            Call::AddMember(id, project) => {
                // Sharing a private image ends every former membership.
                let former = match self.at(id).visibility {
                    "private" => std::mem::take(&mut self.at(id).members),
                    _ => BTreeMap::new(),
                };
                for (project, status) in former {
                    self.remember(who, id, project, Some(status), None);
                }
                self.at(id).members.insert(project, "pending");
                self.remember(who, id, project, None, Some("pending"));
                self.at(id).visibility = "shared";
                self.member(id, project)
            }
            Call::SetStatus(id, project, status) => {
                let old = self.at(id).members.insert(project, status);
                self.remember(who, id, project, old, Some(status));
                self.member(id, project)
            }
            Call::RemoveMember(id, project) => {
                let old = self.at(id).members.remove(project);
                self.remember(who, id, project, old, None);
                Told::Nothing
            }
            Call::AddTag(id, tag) => {
                self.at(id).tags.insert(tag);
                Told::Nothing
            }
            Call::RemoveTag(id, tag) => {
                self.at(id).tags.remove(tag);
                Told::Nothing
            }
        }
    }

    fn at(&mut self, id: &str) -> &mut Image {
        self.images.get_mut(id).unwrap()
    }

    fn image(&mut self, id: &str) -> Told {
        let image = self.at(id);
        let tags = image.tags.iter().map(|tag| (*tag).to_owned()).collect();
        let owner = image.owner.map(str::to_owned);
        Told::Image((id.to_owned(), owner, image.visibility.to_owned(), "an image".to_owned(), tags))
    }

    fn member(&mut self, id: &str, project: &str) -> Told {
        let status = self.at(id).members[project];
        Told::Members(BTreeMap::from([(project.to_owned(), status.to_owned())]))
    }
}
