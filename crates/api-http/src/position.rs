//! The parameter `marker_position` of the server's own links: where the page before ended, so that the next one is found when
//! the marker is gone meanwhile.
//!
//! It holds only what the order compares and is opaque to clients: fields of a letter and a value, separated by dots. It
//! proves nothing and gives no right. A client that forges one chooses where its list starts, among what it may see.

use std::fmt::Write as _;

use chrono::{DateTime, Datelike, Utc};
use core_domain::{
    image::{ImageId, ImageStatus},
    listing::{Direction, Position, SortKey},
    project::ProjectId,
    steps,
    text::MAX_CHARS,
};

use crate::error::ApiError;

/// The name of the parameter. No property of this name can be filtered by.
pub(crate) const MARKER_POSITION: &str = "marker_position";

/// The largest value: of an order by name and both formats, each of [`MAX_CHARS`] characters of four bytes, and the rest.
pub(crate) const MAX_BYTES: usize = 3 * (8 * MAX_CHARS + 2) + 256;

/// The years in which times may be that a database is asked about.
const YEARS: std::ops::RangeInclusive<i32> = 1000..=9999;

/// The position as a parameter, of a list in this order.
pub(crate) fn of_image(position: &Position, order: &[(SortKey, Direction)]) -> String {
    let mut text = String::with_capacity(96);
    for key in fields(order) {
        if !text.is_empty() {
            text.push('.');
        }
        text.push(letter(key));
        match key {
            SortKey::Name => hex(&mut text, position.name.as_deref()),
            SortKey::Status => text.push_str(position.status.as_str()),
            SortKey::ContainerFormat => hex(&mut text, position.container_format.as_deref()),
            SortKey::DiskFormat => hex(&mut text, position.disk_format.as_deref()),
            SortKey::Size => {}
            SortKey::Id => text.push_str(&position.id.to_string()),
            SortKey::CreatedAt => time(&mut text, position.created_at),
            SortKey::UpdatedAt => time(&mut text, position.updated_at),
        }
    }
    text
}

/// Reads what [`of_image`] writes for this order.
///
/// # Errors
/// Anything else.
pub(crate) fn to_image(text: &str, order: &[(SortKey, Direction)]) -> Result<Position, ApiError> {
    read_image(text, order).ok_or_else(malformed)
}

fn read_image(text: &str, order: &[(SortKey, Direction)]) -> Option<Position> {
    let mut position = Position {
        id: ImageId::from(uuid::Uuid::nil()),
        name: None,
        status: ImageStatus::Queued,
        container_format: None,
        disk_format: None,
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
    };
    let mut given = split(text)?;
    for key in fields(order) {
        let value = given.next()?.strip_prefix(letter(key))?;
        match key {
            SortKey::Name => position.name = Some(from_hex(value)?),
            SortKey::Status => position.status = value.parse().ok()?,
            SortKey::ContainerFormat => position.container_format = Some(from_hex(value)?),
            SortKey::DiskFormat => position.disk_format = Some(from_hex(value)?),
            SortKey::Size => {}
            SortKey::Id => position.id = value.parse().ok()?,
            SortKey::CreatedAt => position.created_at = from_time(value)?,
            SortKey::UpdatedAt => position.updated_at = from_time(value)?,
        }
    }
    given.next().is_none().then_some(position)
}

/// The position of a member as a parameter: whose membership it is, and when it was made.
pub(crate) fn of_member(project: &ProjectId, made: DateTime<Utc>) -> String {
    let mut text = String::from("m");
    hex(&mut text, Some(project.as_str()));
    text.push_str(".c");
    time(&mut text, made);
    text
}

/// Reads what [`of_member`] writes.
///
/// # Errors
/// Anything else.
pub(crate) fn to_member(text: &str) -> Result<(ProjectId, DateTime<Utc>), ApiError> {
    let read = || {
        let mut given = split(text)?;
        let project = ProjectId::parse(&from_hex(given.next()?.strip_prefix('m')?)?).ok()?;
        let made = from_time(given.next()?.strip_prefix('c')?)?;
        given.next().is_none().then_some((project, made))
    };
    read().ok_or_else(malformed)
}

fn malformed() -> ApiError {
    ApiError::Request(format!(
        "The {MARKER_POSITION} is not one of this list in this order: follow the link as it was given, or leave the \
         parameter out."
    ))
}

/// The keys that decide: images have no bytes yet.
fn fields(order: &[(SortKey, Direction)]) -> impl Iterator<Item = SortKey> {
    order.iter().map(|(key, _)| *key).filter(|key| *key != SortKey::Size)
}

fn letter(key: SortKey) -> char {
    match key {
        SortKey::Name => 'n',
        SortKey::Status => 's',
        SortKey::ContainerFormat => 'f',
        SortKey::DiskFormat => 'd',
        SortKey::Size => 'b',
        SortKey::Id => 'i',
        SortKey::CreatedAt => 'c',
        SortKey::UpdatedAt => 'u',
    }
}

fn split(text: &str) -> Option<std::str::Split<'_, char>> {
    (text.len() <= MAX_BYTES).then(|| text.split('.'))
}

fn hex(text: &mut String, value: Option<&str>) {
    steps::count(value.map_or(0, str::len));
    for byte in value.unwrap_or_default().bytes() {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
}

fn from_hex(hex: &str) -> Option<String> {
    steps::count(hex.len());
    let digits = hex.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes: Option<Vec<u8>> = digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect();
    let text = String::from_utf8(bytes?).ok()?;
    (!text.contains('\0') && text.chars().count() <= MAX_CHARS).then_some(text)
}

fn time(text: &mut String, time: DateTime<Utc>) {
    // Writing to a string does not fail.
    let _ = write!(text, "{}-{}", time.timestamp(), time.timestamp_subsec_nanos());
}

fn from_time(text: &str) -> Option<DateTime<Utc>> {
    let (seconds, nanoseconds) = text.rsplit_once('-')?;
    let time = DateTime::from_timestamp(seconds.parse().ok()?, nanoseconds.parse().ok()?)?;
    YEARS.contains(&time.year()).then_some(time)
}

#[cfg(test)]
mod tests {
    use core_domain::{
        image::Image,
        listing::Listing,
        testing::builders::{an_image, at, project},
    };
    use proptest::prelude::*;

    use super::*;

    fn order(sort: &[(SortKey, Direction)]) -> Vec<(SortKey, Direction)> {
        Listing { sort: sort.to_vec(), ..Listing::of(project("p"), false, 1) }.order()
    }

    #[test]
    fn a_position_has_only_what_the_order_compares() {
        let image = Image { name: Some("secret".into()), ..an_image("p") };
        let text = of_image(&Position::from(&image), &order(&[]));
        assert_eq!(text, format!("c1767225600-0.i{}", image.id));
        let text = of_image(
            &Position::from(&image),
            &order(&[(SortKey::Size, Direction::Asc), (SortKey::Id, Direction::Asc)]),
        );
        assert_eq!(text, format!("i{}", image.id));
    }

    #[test]
    fn the_largest_position_reads_back() {
        let longest = || Some("🦀".repeat(MAX_CHARS));
        let (container_format, disk_format) = (longest(), longest());
        let image = Image { name: longest(), container_format, disk_format, ..an_image("p") };
        let order = order(&SortKey::ALL.map(|(_, key)| (key, Direction::Asc)));
        let text = of_image(&Position::from(&image), &order);
        assert!(text.len() <= MAX_BYTES, "{}", text.len());
        assert!(to_image(&text, &order).is_ok());
        let member = ProjectId::parse(&"🦀".repeat(MAX_CHARS)).unwrap();
        assert_eq!(to_member(&of_member(&member, at(7))).unwrap(), (member, at(7)));
    }

    #[test]
    fn what_no_link_says_is_refused() {
        let id = "c0ffee00-0000-4000-8000-000000000000";
        let by_name = order(&[(SortKey::Name, Direction::Asc)]);
        let good = format!("n61.c5-0.i{id}");
        assert!(to_image(&good, &by_name).is_ok());
        for wrong in [
            String::new(),
            format!("c5-0.i{id}"),
            format!("{good}.u5-0"),
            format!("n6.c5-0.i{id}"),
            format!("n6g.c5-0.i{id}"),
            format!("n+1.c5-0.i{id}"),
            format!("n00.c5-0.i{id}"),
            format!("nff.c5-0.i{id}"),
            format!("n{}.c5-0.i{id}", "61".repeat(256)),
            format!("n{}.c5-0.i{id}", "61".repeat(100_000)),
            format!("n61.c5.i{id}"),
            format!("n61.c99999999999999-0.i{id}"),
            format!("n61.c-99999999999-0.i{id}"),
            format!("n61.c5-0.i{id}0"),
            "n61.c5-0.ix".to_owned(),
        ] {
            assert!(to_image(&wrong, &by_name).is_err(), "{wrong}");
        }
        for wrong in ["", "m.c5-0", "m61", "m61.c", "m61.c5-0.c5-0", "61.c5-0", "m61.c1e9-0"] {
            assert!(to_member(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_position_compares_as_the_one_it_was_written_from(
            name in proptest::option::of("[^\0]{0,255}"),
            seconds in -20_000_000_000_i64..200_000_000_000,
            nanoseconds in 0..1_000_000_000_u32,
            keys in prop::collection::vec(prop::sample::select(&SortKey::ALL[..]), 0..9),
        ) {
            let created_at = DateTime::from_timestamp(seconds, nanoseconds).unwrap();
            let image = Image { name, created_at, ..an_image("p") };
            let sort: Vec<_> = keys.into_iter().map(|(_, key)| (key, Direction::Asc)).collect();
            let listing = Listing { sort, ..Listing::of(project("p"), false, 1) };
            let text = of_image(&Position::from(&image), &listing.order());
            let read = to_image(&text, &listing.order()).unwrap();
            prop_assert!(!listing.comparator().is_after(&image, &read));
            let text_again = of_image(&read, &listing.order());
            prop_assert_eq!(text_again, text);
        }

        #[test]
        fn no_text_breaks_the_reader(text in ".{0,200}") {
            let _ = to_image(&text, &order(&[(SortKey::Name, Direction::Asc)]));
            let _ = to_member(&text);
        }
    }
}
