//! Patches of images: no bytes break their reader; what it read is applied whole or not at all, and only as far as the
//! limits and the caller's rights go. The first byte chooses the dialect, who asks, and whether the image may be filled.

use std::sync::LazyLock;

use api_http::fuzzing;
use core_domain::{
    Caller,
    caller::{Context, Rules},
    catalog,
    image::{CONTAINER_FORMATS, DISK_FORMATS, Image, Visibility},
    limits::Limits,
    member::Member,
    store::{Store, Viewer},
    testing::{
        builders::{an_image, at, caller, cause, project},
        memory::MemoryStore,
    },
    text,
};

/// Panics where it does not hold.
pub(crate) fn check(bytes: &[u8]) {
    let Some((choice, input)) = bytes.split_first() else { return };
    let read = if choice & 1 == 0 { fuzzing::patch(input) } else { fuzzing::draft_patch(input) };
    let Some(edits) = read else { return };
    let asking = &CALLERS[usize::from(choice >> 1) % CALLERS.len()];
    let rules = if choice & 8 == 0 { &*TIGHT } else { &*WIDE };
    let (store, before) = (MemoryStore::default(), image());
    keep(&store, &before);

    let cx = Context { caller: asking, rules, now: at(60), request: "req-60" };
    let answer = catalog::change(cx, &store, before.id, &edits);
    let kept = store.image(before.id, Viewer::ADMIN).expect("memory is there").expect("nobody deletes it");
    let kept = kept.image.expect("an admin sees it");
    match answer {
        Err(_) => assert_eq!(kept, before, "refused, and changed"),
        Ok(after) => {
            assert_eq!(kept, after, "kept something else than it said");
            assert!(asking.is_in(before.owner.as_ref()) || cx.is_admin(), "changed by {asking:?}");
            fits(&after, rules);
            stays(&before, &after, cx);
        }
    }
}

static CALLERS: LazyLock<[Caller; 4]> = LazyLock::new(|| {
    [
        caller("owner", &["member", "reader"]),
        caller("friend", &["member", "reader"]),
        caller("stranger", &["member", "reader"]),
        caller("operators", &["admin", "member", "reader"]),
    ]
});

static WIDE: LazyLock<Rules> = LazyLock::new(Rules::default);
static TIGHT: LazyLock<Rules> = LazyLock::new(|| {
    let limits = Limits { properties_per_image: Some(3), tags_per_image: Some(2), ..Limits::default() };
    Rules { limits, ..Rules::default() }
});

/// One that has something to replace and to remove.
fn image() -> Image {
    Image {
        id: "c0ffee00-0000-4000-8000-000000000000".parse().expect("an id"),
        name: Some("n".to_owned()),
        tags: ["t".to_owned()].into(),
        properties: [("a".to_owned(), "1".to_owned()), ("b/c".to_owned(), "2".to_owned())].into(),
        ..an_image("owner")
    }
}

fn keep(store: &dyn Store, image: &Image) {
    let kept = store.write(image.id, &cause(0), |tx| {
        tx.insert_image(image)?;
        tx.insert_member(&Member::offered(image.id, project("friend"), at(0)))
    });
    kept.expect("memory is there");
}

/// What an image may be, said once more.
fn fits(image: &Image, rules: &Rules) {
    let short = |text: &str| text.chars().count() <= text::MAX_CHARS && !text.contains('\0');
    let Limits { tags_per_image, properties_per_image, record_bytes, .. } = rules.limits;
    assert!(tags_per_image.is_none_or(|most| image.tags.len() <= most));
    assert!(properties_per_image.is_none_or(|most| image.properties.len() <= most));
    assert!(record_bytes.is_none_or(|most| image.record_bytes() <= most));
    assert!(image.name.as_deref().is_none_or(short));
    assert!(image.tags.iter().all(|tag| short(tag)));
    for (name, value) in &image.properties {
        assert!(!name.is_empty() && short(name), "{name:?}");
        assert!(value.len() <= text::MAX_VALUE_BYTES && !value.contains('\0'));
        assert!(!OWN.contains(&name.as_str()) && !name.starts_with("os_glance"), "{name:?} is no property");
    }
    assert!(image.container_format.as_deref().is_none_or(|format| CONTAINER_FORMATS.contains(&format)));
    assert!(image.disk_format.as_deref().is_none_or(|format| DISK_FORMATS.contains(&format)));
    assert!(image.min_disk >= 0 && image.min_ram >= 0);
}

/// Attributes of every image (API v2, show an image): as free properties they would be there twice.
const OWN: [&str; 28] = [
    "checksum",
    "container_format",
    "created_at",
    "deleted",
    "deleted_at",
    "direct_url",
    "disk_format",
    "file",
    "id",
    "location",
    "locations",
    "min_disk",
    "min_ram",
    "name",
    "os_hash_algo",
    "os_hash_value",
    "os_hidden",
    "owner",
    "protected",
    "schema",
    "self",
    "size",
    "status",
    "stores",
    "tags",
    "updated_at",
    "virtual_size",
    "visibility",
];

/// What no patch changes, and what only admins do.
fn stays(before: &Image, after: &Image, cx: Context<'_>) {
    assert_eq!((after.id, after.status, after.created_at), (before.id, before.status, before.created_at));
    assert_eq!(after.updated_at, if after == before { before.updated_at } else { cx.now });
    if !cx.is_admin() {
        assert_eq!(after.owner, before.owner, "given away");
        assert_ne!(after.visibility, Visibility::Public, "published");
    }
}
