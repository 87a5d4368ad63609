//! What the query of `GET /v2/images` asks for.

use core_domain::{
    catalog::Start,
    image::{ImageId, ImageStatus},
    listing::{
        Direction, Listing, MAX_PROPERTIES, MAX_TAGS, MAX_VALUES, MemberStatusFilter, Position, SortKey,
        VisibilityFilter, total_order,
    },
    project::ProjectId,
    steps,
};

use crate::{
    error::ApiError,
    page::{self, Query},
    position::{self, MARKER_POSITION},
};

/// The filters, the order and the page asked for.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    marker: Option<ImageId>,
    position: Option<Position>,
    limit: Option<usize>,
    visibility: VisibilityFilter,
    member_status: MemberStatusFilter,
    owner: OneOf<ProjectId>,
    ids: OneOf<ImageId>,
    names: OneOf<String>,
    statuses: OneOf<ImageStatus>,
    container_formats: OneOf<String>,
    disk_formats: OneOf<String>,
    min_disk: OneOf<i32>,
    min_ram: OneOf<i32>,
    tags: Vec<String>,
    properties: Vec<(String, String)>,
    hidden: bool,
    protected: Option<bool>,
    sort: Vec<(SortKey, Direction)>,
}

/// Which values a filter lets pass.
#[derive(Debug, Default)]
enum OneOf<T> {
    /// Any.
    #[default]
    Any,
    /// These. What is no value that an image can have is left out, so that there may be none: then no image passes.
    These(Vec<T>),
}

impl<T> OneOf<T> {
    /// Those of these texts that can be a value.
    fn of<E>(texts: &[String], parse: impl Fn(&str) -> Result<T, E>) -> Self {
        Self::These(texts.iter().filter_map(|text| parse(text).ok()).collect())
    }

    fn passes_nothing(&self) -> bool {
        matches!(self, Self::These(values) if values.is_empty())
    }

    /// The values; none for any.
    fn values(self) -> Vec<T> {
        match self {
            Self::Any => Vec::new(),
            Self::These(values) => values,
        }
    }
}

/// Parameters that Glance knows, that are not filters here, and that would be wrong to take for free properties.
const NOT_FILTERS: [&str; 26] = [
    "changes-since",
    "checksum",
    "created_at",
    "deleted_at",
    "direct_url",
    "file",
    "locations",
    "members",
    "min_disk_max",
    "min_disk_min",
    "min_ram_max",
    "min_ram_min",
    "os_hash_algo",
    "os_hash_value",
    "properties",
    "schema",
    "self",
    "size",
    "size_max",
    "size_min",
    "stores",
    "tags",
    "updated_at",
    "virtual_size",
    "virtual_size_max",
    "virtual_size_min",
];

/// Operators that Glance knows. A text before a colon that is none of them is part of the value.
const OTHER_OPERATORS: [&str; 5] = ["neq", "gt", "gte", "lt", "lte"];

impl Asked {
    /// Reads a query.
    ///
    /// # Errors
    /// A value that makes no sense; the text says which would. More filters, values or keys than there may be; the text says
    /// how many.
    pub(crate) fn of(query: &Query) -> Result<Self, ApiError> {
        let mut asked = Self { limit: page::limit(query)?, sort: sort(query)?, ..Self::default() };
        for (name, value) in query.iter() {
            asked.read(name, value)?;
        }
        Ok(asked)
    }

    fn read(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        match name {
            // Whether an image is deleted is not asked: a deleted one is gone.
            "limit" | "sort" | "sort_key" | "sort_dir" | "deleted" => {}
            "marker" => {
                let wrong =
                    |_| ApiError::Request(format!("The marker {value:?} is not an image that you can see."));
                self.marker = Some(value.parse().map_err(wrong)?);
            }
            MARKER_POSITION => self.position = Some(position::to_image(value, &self.order())?),
            "visibility" => self.visibility = value.parse()?,
            "member_status" => self.member_status = value.parse()?,
            "owner" => self.owner = OneOf::of(&[value.to_owned()], ProjectId::parse),
            "id" => self.ids = OneOf::of(&any_of(name, value)?, str::parse),
            "name" => self.names = OneOf::These(any_of(name, value)?),
            "status" => self.statuses = OneOf::of(&any_of(name, value)?, str::parse),
            "container_format" => self.container_formats = OneOf::These(any_of(name, value)?),
            "disk_format" => self.disk_formats = OneOf::These(any_of(name, value)?),
            "min_disk" => self.min_disk = whole(name, value)?,
            "min_ram" => self.min_ram = whole(name, value)?,
            "tag" => {
                bounded("tags", self.tags.len() + 1, MAX_TAGS)?;
                self.tags.push(value.to_owned());
            }
            "os_hidden" => self.hidden = truth(name, &value.to_lowercase())?,
            "protected" => self.protected = Some(truth(name, value)?),
            _ if NOT_FILTERS.contains(&name) => {
                return Err(ApiError::Request(format!("Images cannot be filtered by {name} here.")));
            }
            _ => {
                bounded("properties", self.properties.len() + 1, MAX_PROPERTIES)?;
                self.properties.push((name.to_owned(), value.to_owned()));
            }
        }
        Ok(())
    }

    /// The order asked for, made total.
    pub(crate) fn order(&self) -> Vec<(SortKey, Direction)> {
        total_order(&self.sort)
    }

    /// Where to start. A position counts beside the marker that it was given for, and alone: a client that goes on from another
    /// marker than that of the link may have kept the rest of it.
    pub(crate) fn start(&self) -> Start {
        match (self.marker, &self.position) {
            (marker, Some(position)) if marker.is_none_or(|marker| marker == position.id) => {
                Start::Position(Box::new(position.clone()))
            }
            (Some(marker), _) => Start::Marker(marker),
            (None, _) => Start::Beginning,
        }
    }

    /// The listing of whoever asks, as asked.
    pub(crate) fn fill(self, listing: Listing) -> Listing {
        let matches_nothing = self.owner.passes_nothing()
            || self.ids.passes_nothing()
            || self.names.passes_nothing()
            || self.statuses.passes_nothing()
            || self.container_formats.passes_nothing()
            || self.disk_formats.passes_nothing()
            || self.min_disk.passes_nothing()
            || self.min_ram.passes_nothing();
        Listing {
            visibility: self.visibility,
            member_status: self.member_status,
            owner: self.owner.values().pop(),
            ids: self.ids.values(),
            names: self.names.values(),
            statuses: self.statuses.values(),
            container_formats: self.container_formats.values(),
            disk_formats: self.disk_formats.values(),
            min_disk: self.min_disk.values().pop(),
            min_ram: self.min_ram.values().pop(),
            matches_nothing,
            tags: self.tags,
            properties: self.properties,
            hidden: self.hidden,
            protected: self.protected,
            sort: self.sort,
            limit: self.limit.unwrap_or(listing.limit),
            ..listing
        }
    }
}

/// Refuses more than `most`; `what` in the plural.
fn bounded(what: &str, given: usize, most: usize) -> Result<(), ApiError> {
    if given > most {
        return Err(ApiError::Request(format!("Images are filtered by at most {most} {what}.")));
    }
    Ok(())
}

/// A whole number of any size; what is beyond that of an attribute is the value of none.
fn whole(name: &str, value: &str) -> Result<OneOf<i32>, ApiError> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(must_be(name, "a whole number"));
    }
    Ok(OneOf::of(&[value.to_owned()], str::parse))
}

fn must_be(name: &str, right: &str) -> ApiError {
    ApiError::Request(format!("The parameter {name} must be {right}."))
}

fn truth(name: &str, value: &str) -> Result<bool, ApiError> {
    value.parse().map_err(|_| must_be(name, "\"true\" or \"false\""))
}

/// One value, also as `eq:a`, or several as `in:a,b,"with, comma"`.
fn any_of(name: &str, value: &str) -> Result<Vec<String>, ApiError> {
    let mut rest = match value.split_once(':') {
        Some(("in", list)) => list,
        Some(("eq", exact)) => return Ok(vec![exact.to_owned()]),
        Some((operator, _)) if OTHER_OPERATORS.contains(&operator) => {
            return Err(ApiError::Request(format!(
                "The parameter {name} has the operators eq: and in:, not {operator}:. A value that begins so is eq:{operator}:…."
            )));
        }
        Some(_) | None => return Ok(vec![value.to_owned()]),
    };
    let wrong = || must_be(name, "a value or a list such as in:a,b,\"with, comma\"");
    let mut values = Vec::new();
    loop {
        steps::count(1);
        let (one, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or_else(wrong)?,
            None => rest.split_at(rest.find(',').unwrap_or(rest.len())),
        };
        if values.len() == MAX_VALUES {
            return Err(ApiError::Request(format!("The parameter {name} has at most {MAX_VALUES} values.")));
        }
        values.push(one.to_owned());
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(values),
            None => return Err(wrong()),
        }
    }
}

/// The largest number of sort keys and of directions, in either form: there are no more keys.
const MAX_SORT_KEYS: usize = SortKey::ALL.len();

/// `sort=key:direction,key` or `sort_key` and `sort_dir`, repeated; not both. A key counts where it is first.
fn sort(query: &Query) -> Result<Vec<(SortKey, Direction)>, ApiError> {
    let all = |wanted: &str| -> Vec<&str> {
        query.iter().filter(|(name, _)| *name == wanted).map(|(_, value)| value).collect()
    };
    let too_many = || {
        ApiError::Request(format!(
            "Images are sorted by at most {MAX_SORT_KEYS} keys, and each of them counts where it is given first."
        ))
    };
    let (keys, directions) = (all("sort_key"), all("sort_dir"));
    if let Some(sort) = query.last("sort") {
        if !keys.is_empty() || !directions.is_empty() {
            return Err(ApiError::Request("Give either sort or sort_key and sort_dir, not both.".into()));
        }
        if sort.split(',').nth(MAX_SORT_KEYS).is_some() {
            return Err(too_many());
        }
        return sort
            .split(',')
            .map(|one| {
                let (key, direction) = one.split_once(':').unwrap_or((one, "desc"));
                Ok((key.trim().parse()?, direction.trim().parse()?))
            })
            .collect();
    }
    if keys.len().max(directions.len()) > MAX_SORT_KEYS {
        return Err(too_many());
    }
    // One direction is for all keys; else each key has its own.
    if directions.len() > 1 && directions.len() != keys.len() {
        return Err(ApiError::Request("Give one sort_dir for all, or one for each sort_key.".into()));
    }
    let keys = if keys.is_empty() && !directions.is_empty() { vec!["created_at"] } else { keys };
    keys.iter()
        .enumerate()
        .map(|(place, key)| {
            let direction = directions.get(place).or(directions.first()).copied().unwrap_or("desc");
            Ok((key.parse()?, direction.parse()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(query: &str) -> Result<Asked, String> {
        Query::parse(query).and_then(|query| Asked::of(&query)).map_err(|error| error.to_string())
    }

    fn listing(query: &str) -> Listing {
        asked(query).unwrap().fill(Listing::of(ProjectId::parse("p").unwrap(), false, 25))
    }

    #[test]
    fn every_filter_is_read() {
        let asked = listing(
            "visibility=shared&member_status=all&owner=p&name=in:a,%22b,%20c%22&status=queued&tag=x&tag=y&os_hidden=True\
             &protected=true&limit=7&sort=name:asc,size&os_distro=debian&min_ram=512&min_disk=0&deleted=false",
        );
        assert_eq!(asked.names, ["a", "b, c"]);
        assert_eq!(asked.tags, ["x", "y"]);
        assert_eq!(asked.sort, [(SortKey::Name, Direction::Asc), (SortKey::Size, Direction::Desc)]);
        assert_eq!(asked.properties, [("os_distro".to_owned(), "debian".to_owned())]);
        assert!(asked.hidden);
        assert_eq!((asked.limit, asked.protected), (7, Some(true)));
        assert_eq!((asked.min_ram, asked.min_disk, asked.matches_nothing), (Some(512), Some(0), false));
    }

    #[test]
    fn sort_keys_pair_with_their_directions() {
        let sorted = |query| asked(query).unwrap().sort;
        assert_eq!(sorted("sort_key=name&sort_dir=asc"), [(SortKey::Name, Direction::Asc)]);
        assert_eq!(
            sorted("sort_key=name&sort_key=id&sort_dir=asc&sort_dir=desc"),
            [(SortKey::Name, Direction::Asc), (SortKey::Id, Direction::Desc)]
        );
        assert_eq!(
            sorted("sort_key=name&sort_key=id&sort_dir=asc"),
            [(SortKey::Name, Direction::Asc), (SortKey::Id, Direction::Asc)]
        );
        assert_eq!(sorted("sort_dir=asc"), [(SortKey::CreatedAt, Direction::Asc)]);
    }

    #[test]
    fn a_value_that_makes_no_sense_is_refused_with_what_would() {
        for (query, words) in [
            ("limit=-1", "whole number"),
            ("limit=x", "whole number"),
            ("limit=", "whole number"),
            ("visibility=", "must be one of"),
            ("visibility=bogus", "must be one of"),
            ("member_status=", "must be one of"),
            ("member_status=Accepted", "must be one of"),
            ("marker=x", "not an image"),
            ("sort=colour", "cannot be sorted"),
            ("sort=name:up", "\"asc\" or \"desc\""),
            ("sort=name&sort_key=id", "not both"),
            ("sort_key=name&sort_key=id&sort_key=size&sort_dir=asc&sort_dir=asc", "one for each"),
            ("os_hidden=maybe", "\"true\" or \"false\""),
            ("name=neq:a", "has the operators eq: and in:, not neq:"),
            ("id=gte:a", "has the operators eq: and in:, not gte:"),
            ("min_ram=", "whole number"),
            ("min_ram=1.5", "whole number"),
            ("min_disk=in:1", "whole number"),
            ("min_disk_max=1", "cannot be filtered"),
            ("tags=x", "cannot be filtered"),
            ("marker_position=", "not one of this list"),
            ("marker_position=x", "not one of this list"),
            ("sort=name&marker_position=c5-0.ic0ffee00-0000-4000-8000-000000000000", "not one of this list"),
            ("name=in:%22a", "in:a,b"),
            ("created_at=gt:2020", "cannot be filtered"),
            ("changes-since=2020", "cannot be filtered"),
            ("name=%FF", "UTF-8"),
        ] {
            let message = asked(query).unwrap_err();
            assert!(message.contains(words), "{query}: {message}");
        }
    }

    #[test]
    fn only_known_operators_are_operators() {
        for (query, names) in [
            ("name=foo:bar", vec!["foo:bar"]),
            ("name=eq:a:b", vec!["a:b"]),
            ("name=eq:in:a,b", vec!["in:a,b"]),
            ("name=:a", vec![":a"]),
            ("name=IN:a", vec!["IN:a"]),
            ("name=in:a:b,eq:c", vec!["a:b", "eq:c"]),
            ("name=eq:", vec![""]),
        ] {
            assert_eq!(listing(query).names, names, "{query}");
        }
        let id = "c0ffee00-0000-4000-8000-000000000000";
        assert_eq!(listing(&format!("id=eq:{id}")).ids, [id.parse().unwrap()]);
        assert_eq!(listing("status=eq:queued").statuses, [ImageStatus::Queued]);
        let formats = listing("container_format=eq:bare&disk_format=eq:raw");
        assert_eq!(
            (formats.container_formats, formats.disk_formats),
            (vec!["bare".into()], vec!["raw".into()])
        );
    }

    #[test]
    fn a_value_that_no_image_can_have_matches_nothing() {
        for query in [
            "status=error",
            "status=",
            "status=in:error,bogus",
            "id=cirros",
            "id=",
            "id=eq:x",
            "owner=",
            "min_ram=99999999999999999999",
            "min_disk=-99999999999",
        ] {
            assert!(listing(query).matches_nothing, "{query}");
        }
        // The last one counts, and of a list those that can match.
        for query in
            ["status=error&status=queued", "status=in:error,queued", "owner=&owner=p", "name=", "min_ram=-5"]
        {
            assert!(!listing(query).matches_nothing, "{query}");
        }
        assert!(listing(&format!("owner={}", "x".repeat(256))).matches_nothing);
    }

    #[test]
    fn what_a_query_may_hold_is_bounded_and_the_refusal_says_how_much() {
        let some = |name: &str, count: usize| -> String { format!("{name}=x&").repeat(count) };
        let list = |name: &str, count: usize| format!("{name}=in:{}", vec!["x"; count].join(","));
        let properties = |count: usize| (0..count).map(|number| format!("p{number}=x&")).collect::<String>();
        let sort = |count: usize| format!("sort={}", vec!["name"; count].join(","));
        let keys = |count: usize| "sort_key=name&".repeat(count);
        assert_eq!(listing(&some("tag", 16)).tags.len(), MAX_TAGS);
        assert_eq!(listing(&properties(16)).properties.len(), MAX_PROPERTIES);
        assert_eq!(listing(&list("name", 1000)).names.len(), MAX_VALUES);
        for (query, words) in [
            (format!("{}tag=y", some("tag", 16)), "at most 16"),
            (properties(17), "at most 16 properties"),
            (list("name", 1001), "at most 1000 values"),
            (list("id", 10_000), "at most 1000 values"),
            (list("status", 1001), "at most 1000 values"),
            (list("disk_format", 1001), "at most 1000 values"),
            (sort(9), "at most 8 keys"),
            (sort(10_000), "at most 8 keys"),
            (keys(9), "at most 8 keys"),
            (keys(1_500), "at most 64"),
            ("sort_dir=asc&".repeat(9), "at most 8 keys"),
        ] {
            let message = asked(&query).unwrap_err();
            assert!(message.contains(words), "{query}: {message}");
        }
        // Both forms alike.
        for query in [sort(8), keys(8)] {
            assert_eq!(listing(&query).order().len(), 3, "name, created_at, id");
        }
    }

    #[test]
    fn a_position_counts_beside_its_marker_and_alone() {
        let (id, other) = ("c0ffee00-0000-4000-8000-000000000000", "c0ffee00-0000-4000-8000-000000000001");
        let position = format!("marker_position=c5-0.i{id}");
        let start = |query: &str| asked(query).unwrap().start();
        for query in [position.clone(), format!("{position}&marker={id}"), format!("marker={id}&{position}")]
        {
            assert!(matches!(start(&query), Start::Position(position) if position.id.to_string() == id));
        }
        assert_eq!(start(&format!("{position}&marker={other}")), Start::Marker(other.parse().unwrap()));
        assert_eq!(start(&format!("marker={id}")), Start::Marker(id.parse().unwrap()));
        assert_eq!(start("name=x"), Start::Beginning);
    }

    proptest! {
        #[test]
        fn no_query_breaks_the_reader(text in "[a-z_=&:,%0-9\"]{0,120}") {
            let _ = asked(&text);
        }
    }
}
