//! Lists of images: as `Listing::holds` and its `Comparator` say.

use std::collections::{BTreeMap, BTreeSet};

use super::{images::full, keep, random::Random, share};
use crate::{
    image::{Image, ImageId, ImageStatus, Visibility},
    limits::PAGE_BYTES,
    listing::{Direction, Listing, MemberStatusFilter, Position, SortKey, VisibilityFilter},
    member::MemberStatus,
    project::ProjectId,
    store::{ImagePage, Store},
    testing::builders::{an_image, at, cause, project},
};

fn list(store: &dyn Store, listing: &Listing) -> Vec<Image> {
    page(store, listing).images
}

fn page(store: &dyn Store, listing: &Listing) -> ImagePage {
    store.images(listing).expect("a list")
}

fn ids(images: &[Image]) -> Vec<ImageId> {
    images.iter().map(|image| image.id).collect()
}

pub(super) fn a_list_of_nothing_is_empty(store: &dyn Store) {
    assert_eq!(list(store, &Listing::of(project("p"), false, 10)), []);
    assert_eq!(list(store, &Listing::of(project("p"), true, 10)), []);
    keep(store, &an_image("owner"));
    assert_eq!(list(store, &Listing::of(project("p"), false, 10)), []);
}

pub(super) fn a_list_is_newest_first_and_ties_are_broken_by_id(store: &dyn Store) {
    let mut images: Vec<Image> =
        (0..12).map(|number| Image { created_at: at(number / 4), ..an_image("p") }).collect();
    for image in &images {
        keep(store, image);
    }
    images.sort_by_key(|image| std::cmp::Reverse((image.created_at, image.id)));
    assert_eq!(ids(&list(store, &Listing::of(project("p"), false, 20))), ids(&images));
}

pub(super) fn a_list_has_whole_images(store: &dyn Store) {
    let (bare, full) = (an_image("p"), Image { hidden: false, created_at: at(9), ..full("p") });
    keep(store, &bare);
    keep(store, &full);
    assert_eq!(list(store, &Listing::of(project("p"), false, 10)), [full, bare]);
}

pub(super) fn a_page_says_whether_more_images_follow(store: &dyn Store) {
    for second in 0..5 {
        keep(store, &Image { created_at: at(second), ..an_image("p") });
    }
    let count = |limit| {
        let page = page(store, &Listing::of(project("p"), false, limit));
        (page.images.len(), page.has_more)
    };
    let expected = [(0, false), (1, true), (4, true), (5, false), (5, false), (5, false)];
    assert_eq!([0, 1, 4, 5, 6, usize::MAX].map(count), expected);
}

/// An image whose record takes this many bytes of memory.
pub(super) fn of_bytes(bytes: usize, image: Image) -> Image {
    // No property is longer than the API takes; each has a name of three bytes.
    const LONGEST: usize = 60_000;
    let memory = |properties| Image { properties, ..image.clone() }.memory_bytes();
    let of =
        |count: usize| memory((0..count).map(|number| (format!("{number:03}"), String::new())).collect());
    let each = of(2) - of(1);
    let rest = bytes + each - of(1);
    let count = rest.div_ceil(LONGEST + each);
    let values = rest - each * count;
    let properties = (0..count).map(|number| {
        let length = values.saturating_sub(LONGEST * number).min(LONGEST);
        (format!("{number:03}"), "v".repeat(length))
    });
    let image = Image { properties: properties.collect(), ..image };
    assert_eq!(image.memory_bytes(), bytes);
    image
}

pub(super) fn a_page_is_bounded_in_bytes_and_holds_one_image_at_least(store: &dyn Store) {
    let images = [
        of_bytes(PAGE_BYTES / 4, Image { created_at: at(9), ..an_image("p") }),
        of_bytes(PAGE_BYTES - PAGE_BYTES / 4, Image { created_at: at(8), ..an_image("p") }),
        Image { created_at: at(7), ..an_image("p") },
        // Larger than limits allow; kept before they did, say.
        of_bytes(PAGE_BYTES / 4 * 5, Image { created_at: at(6), ..an_image("p") }),
        Image { created_at: at(5), ..an_image("p") },
    ];
    for image in &images {
        keep(store, image);
    }
    let mut listing = Listing::of(project("p"), false, 10);
    for (expected, has_more) in
        [(&images[..2], true), (&images[2..3], true), (&images[3..4], true), (&images[4..], false)]
    {
        let page = page(store, &listing);
        assert!(page.images == expected, "{:?}", ids(&page.images));
        assert_eq!(page.has_more, has_more);
        listing.after = page.images.last().map(|last| Box::new(Position::from(last)));
    }
    // A byte more, and the second has no room beside the first; less again, and it has.
    let grown = of_bytes(PAGE_BYTES / 4 + 1, Image { properties: BTreeMap::new(), ..images[0].clone() });
    for (image, count) in [(&grown, 1), (&images[0], 2)] {
        store.write(image.id, &cause(0), |tx| tx.update_image(image)).expect("a change");
        let page = page(store, &Listing { limit: 2, ..Listing::of(project("p"), false, 10) });
        assert_eq!((page.images.len(), page.has_more), (count, true));
    }
}

pub(super) fn pages_of_large_images_lead_through_all_of_them(store: &dyn Store) {
    let kind = |number: i64| {
        let image = Image { created_at: at(number), name: Some((number % 3).to_string()), ..an_image("p") };
        match number % 4 {
            0 => Image { visibility: Visibility::Public, owner: Some(project("q")), ..image },
            1 => Image { visibility: Visibility::Private, ..image },
            2 => Image { owner: Some(project("q")), ..image },
            _ => image,
        }
    };
    let images: Vec<Image> = (0..40).map(|number| of_bytes(200 * 1024, kind(number))).collect();
    for image in &images {
        keep(store, image);
        if image.visibility == Visibility::Shared && image.owner == Some(project("q")) {
            share(store, image, "p", MemberStatus::Accepted, 99);
        }
    }
    for sort in [vec![], vec![(SortKey::Name, Direction::Asc), (SortKey::CreatedAt, Direction::Desc)]] {
        for limit in [1_000, 7] {
            let mut listing = Listing { sort: sort.clone(), ..Listing::of(project("p"), false, limit) };
            let mut expected: Vec<&Image> = images.iter().collect();
            let order = listing.comparator();
            expected.sort_by(|a, b| order.compare(a, b));
            let expected: Vec<ImageId> = expected.into_iter().map(|image| image.id).collect();
            let mut walked: Vec<ImageId> = Vec::new();
            loop {
                let page = page(store, &listing);
                let bytes: usize = page.images.iter().map(Image::memory_bytes).sum();
                assert!(bytes <= PAGE_BYTES && page.images.len() <= limit && !page.images.is_empty());
                walked.extend(ids(&page.images));
                if !page.has_more {
                    break;
                }
                assert_eq!(page.images.len(), 20.min(limit), "it could have held more");
                listing.after = page.images.last().map(|last| Box::new(Position::from(last)));
            }
            assert_eq!(walked, expected);
        }
    }
}

pub(super) fn a_shared_image_is_listed_once_accepted(store: &dyn Store) {
    let image = an_image("owner");
    keep(store, &image);
    let member = share(store, &image, "p", MemberStatus::Pending, 3);
    for status in MemberStatus::ALL {
        store
            .set_status(&image.access(), &member.project, status, &cause(4))
            .expect("a write")
            .expect("a membership");
        let is_listed = |filter| {
            let listing = Listing::of(member.project.clone(), false, 10);
            !list(store, &Listing { member_status: filter, ..listing }).is_empty()
        };
        assert_eq!(is_listed(MemberStatusFilter::default()), status == MemberStatus::Accepted);
        assert!(is_listed(MemberStatusFilter::All));
        for asked in MemberStatus::ALL {
            assert_eq!(is_listed(MemberStatusFilter::Only(asked)), asked == status);
        }
    }
    store.delete_member(&image.access(), &member.project, &cause(9)).expect("a write");
    let all = Listing { member_status: MemberStatusFilter::All, ..Listing::of(member.project, false, 10) };
    assert_eq!(list(store, &all), []);
}

pub(super) fn texts_are_ordered_by_their_bytes_and_none_is_empty(store: &dyn Store) {
    let names =
        ["", " ", "!", "A b", "AB", "Z", "_", "a", "a b", "a-b", "aB", "ab", "z", "É", "é", "日", "🦀"];
    for (second, name) in (0..).zip(names) {
        keep(store, &Image { name: Some(name.to_owned()), created_at: at(second), ..an_image("p") });
    }
    let nameless = Image { created_at: at(-1), ..an_image("p") };
    keep(store, &nameless);
    for (direction, end) in [(Direction::Asc, true), (Direction::Desc, false)] {
        let listing =
            Listing { sort: vec![(SortKey::Name, direction)], ..Listing::of(project("p"), false, 99) };
        let mut listed: Vec<Option<String>> =
            list(store, &listing).into_iter().map(|image| image.name).collect();
        if !end {
            // Between the two that are alike the newer is first, whatever the direction.
            listed.reverse();
            listed.swap(0, 1);
        }
        let expected: Vec<Option<String>> = [Some(names[0]), None]
            .into_iter()
            .chain(names[1..].iter().map(|name| Some(*name)))
            .map(|name| name.map(ToOwned::to_owned))
            .collect();
        assert_eq!(listed, expected, "{direction:?}");
    }
}

pub(super) fn a_list_goes_on_after_an_image_that_is_gone(store: &dyn Store) {
    let images: Vec<Image> = (0..5).map(|second| Image { created_at: at(second), ..an_image("p") }).collect();
    for image in &images {
        keep(store, image);
    }
    store.write(images[2].id, &cause(0), |tx| tx.delete_image()).expect("a deletion");
    let after = Some(Box::new(Position::from(&images[2])));
    let listed = list(store, &Listing { after, ..Listing::of(project("p"), false, 10) });
    assert_eq!(ids(&listed), [images[1].id, images[0].id]);
}

pub(super) fn tags_and_properties_of_any_text_are_found(store: &dyn Store) {
    let odd =
        ["", " ", "a,b", "{}", "\"\\\"", "'; --", "$.a[0]", "\t\n", "Ünïcödé 日本 🦀", "null", "1", "%"];
    for text in odd {
        let tags = BTreeSet::from([text.to_owned(), "other".to_owned()]);
        let properties = [(format!("k{text}"), text.to_owned()), ("other".to_owned(), "x".to_owned())];
        keep(store, &Image { tags, properties: properties.into(), ..an_image("p") });
    }
    for text in odd {
        let all = Listing::of(project("p"), false, 50);
        let tagged = Listing { tags: vec!["other".to_owned(), text.to_owned()], ..all.clone() };
        let found = list(store, &tagged);
        assert!(found.len() == 1 && found[0].tags.contains(text), "{text:?}: {found:?}");
        let properties = vec![("other".to_owned(), "x".to_owned()), (format!("k{text}"), text.to_owned())];
        assert_eq!(list(store, &Listing { properties, ..all.clone() }), found, "{text:?}");
        let properties = vec![(format!("k{text}"), "x".to_owned())];
        assert_eq!(list(store, &Listing { properties, ..all }), [], "{text:?}");
    }
}

pub(super) fn a_property_wanted_at_two_values_is_on_no_image(store: &dyn Store) {
    let property = |value: &str| ("k".to_owned(), value.to_owned());
    for value in ["a", "b"] {
        keep(store, &Image { properties: [property(value)].into(), ..an_image("p") });
    }
    let count = |values: &[&str]| {
        let properties = values.iter().map(|value| property(value)).collect();
        list(store, &Listing { properties, ..Listing::of(project("p"), false, 50) }).len()
    };
    assert_eq!([count(&["a"]), count(&["a", "a"]), count(&["a", "b"]), count(&["b", "a"])], [1, 1, 0, 0]);
}

pub(super) fn a_filter_takes_a_thousand_values(store: &dyn Store) {
    let named = |name: &str| Image {
        name: Some(name.to_owned()),
        container_format: Some("bare".to_owned()),
        disk_format: Some("raw".to_owned()),
        ..an_image("p")
    };
    let (image, other) = (named("name 7"), named("another name"));
    keep(store, &image);
    keep(store, &other);
    let texts = |word: &str| -> Vec<String> {
        (0..999).map(|n| format!("name {n}")).chain([word.to_owned()]).collect()
    };
    let listing = Listing {
        ids: (0..998).map(|_| ImageId::random()).chain([image.id, other.id]).collect(),
        names: texts("no name"),
        statuses: ImageStatus::ALL.into_iter().cycle().take(1_000).collect(),
        container_formats: texts("bare"),
        disk_formats: texts("raw"),
        visibility: VisibilityFilter::All,
        member_status: MemberStatusFilter::All,
        ..Listing::of(project("p"), false, 50)
    };
    assert_eq!(list(store, &listing), [image]);
}

pub(super) fn memberships_of_images_that_are_not_for_the_list_are_walked_past(store: &dyn Store) {
    let images: Vec<Image> =
        (0..120).map(|second| Image { created_at: at(second), ..an_image("owner") }).collect();
    for (number, image) in images.iter().enumerate() {
        keep(store, image);
        share(store, image, "p", MemberStatus::Accepted, 200);
        // All but the oldest stop being shared, each in its way, with their memberships left where they are.
        let now = match number {
            0 => continue,
            _ if number % 4 == 0 => Image { visibility: Visibility::Private, ..image.clone() },
            _ if number % 4 == 1 => Image { hidden: true, ..image.clone() },
            _ if number % 4 == 2 => Image { owner: Some(project("p")), hidden: true, ..image.clone() },
            _ => Image { visibility: Visibility::Community, ..image.clone() },
        };
        store.write(image.id, &cause(0), |tx| tx.update_image(&now)).expect("a change");
    }
    assert_eq!(ids(&list(store, &Listing::of(project("p"), false, 3))), [images[0].id]);
    let hidden = Listing { hidden: true, limit: 200, ..Listing::of(project("p"), false, 3) };
    assert_eq!(list(store, &hidden).len(), 60, "30 that are hidden and shared, 30 that became its own");
}

pub(super) fn an_order_of_ten_thousand_keys_is_that_of_its_first(store: &dyn Store) {
    let names = ["b", "a", "c"];
    for (second, name) in (0..).zip(names) {
        keep(store, &Image { name: Some(name.to_owned()), created_at: at(second), ..an_image("p") });
    }
    let mut sort = vec![(SortKey::Name, Direction::Asc)];
    sort.extend([(SortKey::Name, Direction::Desc), (SortKey::Status, Direction::Asc)].repeat(5_000));
    let listing = Listing { sort, ..Listing::of(project("p"), false, 1) };
    let first = list(store, &listing);
    assert_eq!(first[0].name.as_deref(), Some("a"));
    let after = Some(Box::new(Position::from(&first[0])));
    let second = list(store, &Listing { after, ..listing });
    assert_eq!(second[0].name.as_deref(), Some("b"));
}

const PROJECTS: [&str; 4] = ["p", "q", "r", "owner"];
const WORDS: [&str; 3] = ["", "a", "B"];

/// Images and members of every kind, few enough values that filters and orders meet many alike.
fn fill(store: &dyn Store, random: &mut Random) -> Vec<(Image, BTreeMap<ProjectId, MemberStatus>)> {
    let maybe =
        |random: &mut Random, words: &[&str]| (!random.once_in(4)).then(|| random.one_of(words).to_owned());
    (0..160)
        .map(|_| {
            let image = Image {
                owner: (!random.once_in(8)).then(|| project(random.one_of(&PROJECTS))),
                visibility: random.one_of(&Visibility::ALL),
                status: random.one_of(&ImageStatus::ALL[..3]),
                name: maybe(random, &WORDS),
                container_format: maybe(random, &["bare", "ova"]),
                disk_format: maybe(random, &["raw", "qcow2"]),
                min_disk: i32::from(random.once_in(2)),
                min_ram: i32::from(random.once_in(2)),
                protected: random.once_in(2),
                hidden: random.once_in(6),
                created_at: at(i64::try_from(random.below(6)).unwrap_or(0)),
                updated_at: at(i64::try_from(random.below(3)).unwrap_or(0)),
                tags: random.some_of(&WORDS).into_iter().map(ToOwned::to_owned).collect(),
                properties: random
                    .some_of(&["k", "l"])
                    .into_iter()
                    .map(|name| (name.to_owned(), random.one_of(&WORDS).to_owned()))
                    .collect(),
                ..an_image("owner")
            };
            keep(store, &image);
            let members = random.some_of(&PROJECTS).into_iter().map(|name| {
                let status = random.one_of(&MemberStatus::ALL);
                (share(store, &image, name, status, 3).project, status)
            });
            let members = members.collect();
            (image, members)
        })
        .collect()
}

fn any_listing(random: &mut Random, images: &[(Image, BTreeMap<ProjectId, MemberStatus>)]) -> Listing {
    let rarely = |random: &mut Random, words: &[&str]| -> Vec<String> {
        if random.once_in(4) {
            random.some_of(words).into_iter().map(ToOwned::to_owned).collect()
        } else {
            vec![]
        }
    };
    let caller = if random.once_in(6) { "stranger" } else { random.one_of(&PROJECTS) };
    let visibilities = Visibility::ALL.map(VisibilityFilter::Only);
    let memberships = MemberStatus::ALL.map(MemberStatusFilter::Only);
    let mut listing = Listing::of(project(caller), random.once_in(4), 1000);
    listing.visibility = match random.below(3) {
        0 => VisibilityFilter::Unasked,
        1 => VisibilityFilter::All,
        _ => random.one_of(&visibilities),
    };
    listing.member_status =
        if random.once_in(2) { MemberStatusFilter::All } else { random.one_of(&memberships) };
    listing.owner = random.once_in(5).then(|| project(random.one_of(&PROJECTS)));
    if random.once_in(6) {
        listing.ids = (0..9).map(|_| images[random.below(images.len())].0.id).collect();
    }
    listing.names = rarely(random, &WORDS);
    listing.container_formats = rarely(random, &["bare", "ova"]);
    listing.disk_formats = rarely(random, &["raw", "qcow2"]);
    listing.tags = rarely(random, &WORDS);
    if random.once_in(4) {
        listing.statuses = random.some_of(&ImageStatus::ALL[..4]);
        listing.properties = vec![(random.one_of(&["k", "l"]).to_owned(), random.one_of(&WORDS).to_owned())];
    }
    listing.hidden = random.once_in(6);
    listing.protected = random.once_in(4).then(|| random.once_in(2));
    listing.min_disk = random.once_in(6).then(|| i32::from(random.once_in(2)));
    listing.min_ram = random.once_in(6).then(|| i32::from(random.once_in(2)));
    listing.matches_nothing = random.once_in(20);
    // Some keys twice: the first counts.
    for _ in 0..random.below(5) {
        let (_, key) = random.one_of(&SortKey::ALL);
        listing.sort.push((key, random.one_of(&[Direction::Asc, Direction::Desc])));
    }
    listing
}

/// What the list must hold, by the predicate and the order of the domain.
fn expected(listing: &Listing, images: &[(Image, BTreeMap<ProjectId, MemberStatus>)]) -> Vec<Image> {
    let mut held: Vec<Image> = images
        .iter()
        .filter(|(image, members)| listing.holds(image, members.get(&listing.project).copied()))
        .map(|(image, _)| image.clone())
        .collect();
    let order = listing.comparator();
    held.sort_by(|a, b| order.compare(a, b));
    held
}

pub(super) fn every_list_agrees_with_the_predicate(store: &dyn Store) {
    let mut random = Random(2);
    let images = fill(store, &mut random);
    let mut held = BTreeSet::new();
    for _ in 0..400 {
        let mut listing = any_listing(&mut random, &images);
        let mut expected = expected(&listing, &images);
        held.extend(ids(&expected));
        if random.once_in(2) {
            let (after, order) =
                (Position::from(&images[random.below(images.len())].0), listing.comparator());
            expected.retain(|image| order.is_after(image, &after));
            listing.after = Some(Box::new(after));
        }
        listing.limit = random.below(50);
        let has_more = listing.limit > 0 && expected.len() > listing.limit;
        expected.truncate(listing.limit);
        assert_eq!(page(store, &listing), ImagePage { images: expected, has_more }, "{listing:#?}");
    }
    assert_eq!(held.len(), images.len(), "some image was never listed: the test shows less than it says");
}

pub(super) fn walking_pages_gives_each_image_once_in_order(store: &dyn Store) {
    let mut random = Random(1);
    let images = fill(store, &mut random);
    for _ in 0..40 {
        let mut listing = any_listing(&mut random, &images);
        listing.limit = 1 + random.below(7);
        let mut walked: Vec<Image> = Vec::new();
        loop {
            let page = page(store, &listing);
            walked.extend(page.images);
            if !page.has_more {
                break;
            }
            listing.after = walked.last().map(|last| Box::new(Position::from(last)));
        }
        assert_eq!(walked, expected(&listing, &images), "{listing:#?}");
    }
}
