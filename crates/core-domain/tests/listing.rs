//! Lists: their order, their bounds, and where they go on.
#![allow(clippy::unwrap_used, reason = "a test stops where it was surprised")]

use core_domain::{
    Caller, Context, Error, Rules,
    catalog::{self, Page, Start},
    image::{Image, ImageId, Visibility},
    limits::PAGE_BYTES,
    listing::{Direction, Listing, MAX_PROPERTIES, MAX_TAGS, MAX_VALUES, Position, SortKey},
    policy::Policy,
    store::Store,
    testing::{
        builders::{an_image, at, caller, cause, project},
        memory::MemoryStore,
    },
};

const READER: &[&str] = &["reader"];

fn keep(store: &dyn Store, image: &Image) {
    store.write(image.id, &cause(0), |tx| tx.insert_image(image)).unwrap();
}

/// Images of the project `p`, the newest last.
fn world(count: i64) -> (MemoryStore, Vec<Image>) {
    let store = MemoryStore::default();
    let images: Vec<Image> =
        (0..count).map(|second| Image { created_at: at(second), ..an_image("p") }).collect();
    for image in &images {
        keep(&store, image);
    }
    (store, images)
}

fn page(store: &dyn Store, who: &Caller, rules: &Rules, start: Start, limit: usize) -> Page {
    let cx = Context { caller: who, rules, now: at(60), request: "req-60" };
    catalog::list(cx, store, start, |listing| Ok(Listing { limit, ..listing })).unwrap()
}

fn ids(images: &[Image]) -> Vec<ImageId> {
    images.iter().map(|image| image.id).collect()
}

#[test]
fn an_order_has_each_key_once_where_it_came_first() {
    let (asc, desc) = (Direction::Asc, Direction::Desc);
    let sort = [(SortKey::Name, asc), (SortKey::Name, desc), (SortKey::Status, asc)].repeat(10_000);
    let listing = Listing { sort, ..Listing::of(project("p"), false, 1) };
    let expected =
        [(SortKey::Name, asc), (SortKey::Status, asc), (SortKey::CreatedAt, desc), (SortKey::Id, desc)];
    assert_eq!(listing.order(), expected);
    let every = [SortKey::ALL, SortKey::ALL].concat().into_iter().filter(|(_, key)| *key != SortKey::Id);
    let every = Listing { sort: every.map(|(_, key)| (key, asc)).collect(), ..listing.clone() };
    assert_eq!(every.order().len(), SortKey::ALL.len());
    let by_id = Listing { sort: vec![(SortKey::Id, asc), (SortKey::Name, asc)], ..listing };
    assert_eq!(by_id.order(), [(SortKey::Id, asc)]);
}

#[test]
fn a_position_compares_as_the_image_it_was_made_of() {
    let (_, images) = world(4);
    for (_, key) in SortKey::ALL {
        for direction in [Direction::Asc, Direction::Desc] {
            let listing = Listing { sort: vec![(key, direction)], ..Listing::of(project("p"), false, 1) };
            let order = listing.comparator();
            for a in &images {
                for b in &images {
                    assert_eq!(order.is_after(a, &Position::from(b)), order.compare(a, b).is_gt());
                }
            }
        }
    }
}

#[test]
fn a_list_of_more_filters_than_there_may_be_is_refused_with_the_bound() {
    let text = |number: usize| number.to_string();
    let listing = || Listing::of(project("p"), false, 1);
    let texts = |count: usize| (0..count).map(text).collect::<Vec<_>>();
    let pairs = |count: usize| (0..count).map(|number| (text(number), text(number))).collect::<Vec<_>>();
    let ids = |count: usize| (0..count).map(|_| ImageId::random()).collect::<Vec<_>>();
    let most = Listing {
        tags: texts(MAX_TAGS),
        properties: pairs(MAX_PROPERTIES),
        names: texts(MAX_VALUES),
        ids: ids(MAX_VALUES),
        ..listing()
    };
    most.check().unwrap();
    for (more, bound) in [
        (Listing { tags: texts(MAX_TAGS + 1), ..listing() }, "at most 16 tags"),
        (Listing { properties: pairs(MAX_PROPERTIES + 1), ..listing() }, "at most 16 properties"),
        (Listing { names: texts(MAX_VALUES + 1), ..listing() }, "at most 1000 names"),
        (Listing { ids: ids(MAX_VALUES + 1), ..listing() }, "at most 1000 ids"),
        (Listing { disk_formats: texts(MAX_VALUES + 1), ..listing() }, "at most 1000 disk formats"),
        (Listing { container_formats: texts(MAX_VALUES + 1), ..listing() }, "at most 1000 container formats"),
    ] {
        let store = MemoryStore::default();
        let (who, rules) = (caller("p", READER), Rules::default());
        let cx = Context { caller: &who, rules: &rules, now: at(60), request: "req-60" };
        let refused = catalog::list(cx, &store, Start::Beginning, |_| Ok(more.clone()));
        assert!(matches!(&refused, Err(Error::Invalid(reason)) if reason.contains(bound)), "{refused:?}");
    }
}

#[test]
fn pages_go_on_when_their_last_image_is_deleted_or_unshared() {
    let (store, images) = world(9);
    let (who, rules) = (caller("p", READER), Rules::default());
    let mut start = Start::Beginning;
    let mut walked = Vec::new();
    loop {
        let Page { images, next } = page(&store, &who, &rules, start, 2);
        walked.extend(ids(&images));
        let Some(next) = next else { break };
        let last = images.last().unwrap();
        (&store as &dyn Store)
            .write(last.id, &cause(1), |tx| {
                if walked.len() == 2 {
                    return tx.delete_image();
                }
                // Given away and made private: not to be seen any more.
                let gone =
                    Image { owner: Some(project("q")), visibility: Visibility::Private, ..last.clone() };
                tx.update_image(&gone)
            })
            .unwrap();
        start = Start::Position(Box::new(next.position.unwrap()));
    }
    let mut expected = ids(&images);
    expected.reverse();
    assert_eq!(walked, expected);
}

#[test]
fn a_position_tells_nothing_that_a_policy_withholds() {
    let (store, _) = world(2);
    let hidden = Image {
        owner: Some(project("q")),
        visibility: Visibility::Public,
        created_at: at(9),
        ..an_image("q")
    };
    keep(&store, &hidden);
    let policy = Policy::with_overrides([("get_image", "rule:owner_side")]).unwrap();
    let (who, rules) = (caller("p", READER), Rules { policy, ..Rules::default() });
    let first = page(&store, &who, &rules, Start::Beginning, 1);
    let next = first.next.unwrap();
    assert_eq!((first.images, next.marker, next.position), (Vec::new(), hidden.id, None));
    // The next page's last image is the caller's own.
    let second = page(&store, &who, &rules, Start::Marker(next.marker), 1);
    assert!(second.next.unwrap().position.is_some());
}

#[test]
fn a_page_of_many_tiny_texts_ends_at_its_memory() {
    let store = MemoryStore::default();
    let mut expected = Vec::new();
    for second in 0..200 {
        let tags = (0..1_000).map(|number| number.to_string()).collect();
        let image = Image { created_at: at(second), tags, ..an_image("p") };
        keep(&store, &image);
        expected.insert(0, image.id);
    }
    let texts: usize = expected.len() * 3_000;
    assert!(texts < PAGE_BYTES, "by their texts all would fit one page");
    let (who, rules) = (caller("p", READER), Rules::default());
    let (mut start, mut walked) = (Start::Beginning, Vec::new());
    loop {
        let Page { images, next } = page(&store, &who, &rules, start, 1_000);
        let held: usize = images.iter().map(Image::memory_bytes).sum();
        assert!(held <= PAGE_BYTES, "{held} bytes");
        walked.extend(ids(&images));
        let Some(next) = next else { break };
        start = Start::Position(Box::new(next.position.unwrap()));
    }
    assert_eq!(walked, expected);
}

#[test]
fn a_record_is_never_counted_smaller_than_its_texts() {
    let plain = an_image("p");
    let tagged = Image { tags: (0..128).map(|number| number.to_string()).collect(), ..plain.clone() };
    assert!(plain.memory_bytes() >= size_of::<Image>() + plain.record_bytes());
    assert!(
        tagged.memory_bytes()
            >= plain.memory_bytes() + 128 * 24 + tagged.record_bytes() - plain.record_bytes()
    );
}
