//! What the query of `GET /v2/images` asks for.

use core_domain::{
    image::{ImageId, ImageStatus},
    listing::{Direction, Listing, MemberStatusFilter, SortKey, VisibilityFilter},
    project::ProjectId,
};

use crate::{
    error::ApiError,
    page::{self, Query},
};

/// The filters, the order and the page asked for.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    marker: Option<ImageId>,
    limit: Option<usize>,
    visibility: VisibilityFilter,
    member_status: MemberStatusFilter,
    owner: Option<ProjectId>,
    ids: Vec<ImageId>,
    names: Vec<String>,
    statuses: Vec<ImageStatus>,
    container_formats: Vec<String>,
    disk_formats: Vec<String>,
    tags: Vec<String>,
    properties: Vec<(String, String)>,
    hidden: bool,
    protected: Option<bool>,
    sort: Vec<(SortKey, Direction)>,
}

/// Parameters that Glance filters by and that would be wrong to take for free properties.
const NOT_FILTERS: [&str; 21] = [
    "changes-since",
    "checksum",
    "created_at",
    "deleted",
    "deleted_at",
    "direct_url",
    "file",
    "locations",
    "members",
    "min_disk",
    "min_ram",
    "os_hash_algo",
    "os_hash_value",
    "schema",
    "self",
    "size",
    "size_max",
    "size_min",
    "stores",
    "updated_at",
    "virtual_size",
];

impl Asked {
    /// Reads a query.
    ///
    /// # Errors
    /// A value that makes no sense; the text says which would.
    pub(crate) fn of(query: &Query) -> Result<Self, ApiError> {
        let mut asked = Self { limit: page::limit(query)?, sort: sort(query)?, ..Self::default() };
        for (name, value) in query.iter() {
            asked.read(name, value)?;
        }
        Ok(asked)
    }

    fn read(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        match name {
            "limit" | "sort" | "sort_key" | "sort_dir" => {}
            "marker" => {
                let wrong =
                    |_| ApiError::Request(format!("The marker {value:?} is not an image that you can see."));
                self.marker = Some(value.parse().map_err(wrong)?);
            }
            "visibility" => self.visibility = value.parse()?,
            "member_status" => self.member_status = value.parse()?,
            "owner" => {
                self.owner = Some(ProjectId::parse(value).map_err(|_| must_be("owner", "a project's id"))?)
            }
            "id" => {
                self.ids = any_of(name, value)?
                    .iter()
                    .map(|id| id.parse().map_err(|_| must_be("id", "a UUID")))
                    .collect::<Result<_, _>>()?;
            }
            "name" => self.names = any_of(name, value)?,
            "status" => {
                self.statuses =
                    any_of(name, value)?.iter().map(|word| word.parse()).collect::<Result<_, _>>()?;
            }
            "container_format" => self.container_formats = any_of(name, value)?,
            "disk_format" => self.disk_formats = any_of(name, value)?,
            "tag" => self.tags.push(value.to_owned()),
            "os_hidden" => self.hidden = truth(name, &value.to_lowercase())?,
            "protected" => self.protected = Some(truth(name, value)?),
            _ if NOT_FILTERS.contains(&name) => {
                return Err(ApiError::Request(format!("Images cannot be filtered by {name} here.")));
            }
            _ => self.properties.push((name.to_owned(), value.to_owned())),
        }
        Ok(())
    }

    /// The image to start after.
    pub(crate) fn marker(&self) -> Option<ImageId> {
        self.marker
    }

    /// The listing of whoever asks, as asked.
    pub(crate) fn fill(self, listing: Listing) -> Listing {
        Listing {
            visibility: self.visibility,
            member_status: self.member_status,
            owner: self.owner,
            ids: self.ids,
            names: self.names,
            statuses: self.statuses,
            container_formats: self.container_formats,
            disk_formats: self.disk_formats,
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

fn must_be(name: &str, right: &str) -> ApiError {
    ApiError::Request(format!("The parameter {name} must be {right}."))
}

fn truth(name: &str, value: &str) -> Result<bool, ApiError> {
    value.parse().map_err(|_| must_be(name, "\"true\" or \"false\""))
}

/// One value, or several as `in:a,b,"with, comma"`.
fn any_of(name: &str, value: &str) -> Result<Vec<String>, ApiError> {
    let Some(mut rest) = value.strip_prefix("in:") else {
        return Ok(vec![value.to_owned()]);
    };
    let wrong = || must_be(name, "a value or a list such as in:a,b,\"with, comma\"");
    let mut values = Vec::new();
    loop {
        let (one, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or_else(wrong)?,
            None => rest.split_at(rest.find(',').unwrap_or(rest.len())),
        };
        values.push(one.to_owned());
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(values),
            None => return Err(wrong()),
        }
    }
}

/// `sort=key:direction,key` or `sort_key` and `sort_dir`, repeated; not both.
fn sort(query: &Query) -> Result<Vec<(SortKey, Direction)>, ApiError> {
    let all = |wanted: &str| -> Vec<&str> {
        query.iter().filter(|(name, _)| *name == wanted).map(|(_, value)| value).collect()
    };
    let (keys, directions) = (all("sort_key"), all("sort_dir"));
    if let Some(sort) = query.last("sort") {
        if !keys.is_empty() || !directions.is_empty() {
            return Err(ApiError::Request("Give either sort or sort_key and sort_dir, not both.".into()));
        }
        return sort
            .split(',')
            .map(|one| {
                let (key, direction) = one.split_once(':').unwrap_or((one, "desc"));
                Ok((key.trim().parse()?, direction.trim().parse()?))
            })
            .collect();
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

    #[test]
    fn every_filter_is_read() {
        let asked = asked(
            "visibility=shared&member_status=all&owner=p&name=in:a,%22b,%20c%22&status=queued&tag=x&tag=y&os_hidden=True\
             &protected=true&limit=7&sort=name:asc,size&os_distro=debian",
        )
        .unwrap();
        assert_eq!(asked.names, ["a", "b, c"]);
        assert_eq!(asked.tags, ["x", "y"]);
        assert_eq!(asked.sort, [(SortKey::Name, Direction::Asc), (SortKey::Size, Direction::Desc)]);
        assert_eq!(asked.properties, [("os_distro".to_owned(), "debian".to_owned())]);
        assert!(asked.hidden);
        assert_eq!((asked.limit, asked.protected), (Some(7), Some(true)));
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
            ("status=bogus", "no image status"),
            ("name=in:%22a", "in:a,b"),
            ("created_at=gt:2020", "cannot be filtered"),
            ("changes-since=2020", "cannot be filtered"),
            ("name=%FF", "UTF-8"),
        ] {
            let message = asked(query).unwrap_err();
            assert!(message.contains(words), "{query}: {message}");
        }
    }

    proptest! {
        #[test]
        fn no_query_breaks_the_reader(text in "[a-z_=&:,%0-9\"]{0,120}") {
            let _ = asked(&text);
        }
    }
}
