//! What a list query or a patch may cost: steps, statements and bytes, whatever a client sends. The input is a recipe: the first
//! byte chooses between a query and a patch, the rest says which parameters or steps it has, how often and how long. So a few
//! bytes make a query of tens of thousands, as no mutation of its text would.
//!
//! For a list: what is read of it is bounded in number and no longer than the query; an order has at most eight keys; it takes
//! at most two statements, none if nothing can match; a page has at most the bytes it may, and the link to the next is in
//! proportion to the query. For a patch: what is read of it is no longer than its body; it takes one transaction; the record
//! and the answer grow by no more than the body has.
#![no_main]

use std::sync::{
    LazyLock,
    atomic::{AtomicUsize, Ordering},
};

use api_http::fuzzing;
use core_domain::{
    Caller, Result,
    caller::{Context, Rules},
    catalog::{self, Edit, Start},
    event::{Cause, Event},
    image::{Image, ImageAccess, ImageId},
    limits::PAGE_BYTES,
    listing::{Listing, MAX_PROPERTIES, MAX_TAGS, MAX_VALUES, SortKey},
    member::{Member, MemberStatus},
    project::ProjectId,
    store::{FoundImage, HistoryPage, ImagePage, MembersPage, Roll, Sight, Store, Tx, Viewer},
    testing::{
        builders::{an_image, at, caller, cause},
        memory::MemoryStore,
    },
};
use libfuzzer_sys::fuzz_target;

/// What a position and a marker add to a link, at most.
const POSITION: usize = 8 << 10;
/// What the text of an image has beside its values: the names of its attributes, links and times.
const FRAME: usize = 1 << 10;

fuzz_target!(|recipe: &[u8]| {
    let Some((choice, recipe)) = recipe.split_first() else { return };
    match choice % 3 {
        0 => list(&query(recipe)),
        1 => patch(&steps(recipe, "op"), fuzzing::patch),
        _ => patch(&steps(recipe, "draft"), fuzzing::draft_patch),
    }
});

/// A query: of each three bytes the first names a parameter, the second says how often, the third what it holds.
fn query(recipe: &[u8]) -> String {
    const NAMES: [&str; 24] = [
        "sort",
        "sort_key",
        "sort_dir",
        "tag",
        "id",
        "name",
        "status",
        "container_format",
        "disk_format",
        "owner",
        "min_ram",
        "min_disk",
        "limit",
        "marker",
        "marker_position",
        "visibility",
        "member_status",
        "protected",
        "os_hidden",
        "deleted",
        "p",
        "q",
        "tags",
        "created_at",
    ];
    const VALUES: [&str; 24] = [
        "name",
        "name:asc",
        "id",
        "status:desc",
        "size",
        "asc",
        "desc",
        "in:",
        "in:a,b,",
        "eq:",
        "a",
        "queued",
        "bogus",
        "p",
        "512",
        "0",
        "3",
        "true",
        "false",
        "all",
        "shared",
        "c0ffee00-0000-4000-8000-000000000001",
        "c0-0.ic0ffee00-0000-4000-8000-000000000001",
        "%22,%22",
    ];
    let mut query = String::new();
    for part in recipe.chunks_exact(3) {
        let (name, value) =
            (NAMES[usize::from(part[0]) % NAMES.len()], VALUES[usize::from(part[2]) % VALUES.len()]);
        let count = usize::from(part[1]);
        if part[2] >= 128 {
            // One parameter with a long value.
            let separator = if part[2] & 32 == 0 { "," } else { "" };
            let values = vec![value; count * 16].join(separator);
            query.push_str(&format!("{name}={}{values}&", if part[2] & 64 == 0 { "in:" } else { "" }));
        } else {
            for number in 0..count {
                // Free properties of different names, the others repeated.
                let own = if matches!(name, "p" | "q") { number.to_string() } else { String::new() };
                query.push_str(&format!("{name}{own}={value}&"));
            }
        }
        if query.len() > 256 << 10 {
            break;
        }
    }
    query
}

fn list(query: &str) {
    for asking in &*CALLERS {
        let cx = Context { caller: asking, rules: &RULES, now: at(60), request: "req-60" };
        let own = Listing::of(asking.project.clone().expect("in a project"), cx.is_admin(), 3);
        let Some((start, asked)) = fuzzing::listing(query, own) else { return };
        is_within_bounds(query, &asked);

        let store = Counted::default();
        let answer = catalog::list(cx, &store, start.clone(), |listing| {
            Ok(fuzzing::listing(query, listing).expect("it was read before").1)
        });
        let by_marker = usize::from(matches!(start, Start::Marker(_)));
        let most = if asked.matches_nothing { by_marker } else { by_marker + 1 };
        assert!(store.statements() <= most, "{} statements", store.statements());
        let Ok(page) = answer else { continue };
        assert!(page.images.len() <= RULES.limits.page_max);
        let held: usize = page.images.iter().map(Image::memory_bytes).sum();
        assert!(page.images.len() == 1 || held <= PAGE_BYTES, "{held} bytes on a page");
        let last = page.images.last().cloned();
        let link = fuzzing::link(query, last.as_ref()).expect("it was read before");
        // Each byte of it may have been one that a link encodes.
        assert!(link.len() <= 3 * query.len() + POSITION, "{} became {}", query.len(), link.len());
        let sent: usize = page.images.into_iter().map(|image| fuzzing::json(image).len()).sum();
        assert!(sent <= 2 * held + RULES.limits.page_max * FRAME, "{sent} sent of {held}");
    }
}

fn is_within_bounds(query: &str, asked: &Listing) {
    asked.check().expect("what is read of a query is within the bounds");
    assert!(asked.tags.len() <= MAX_TAGS && asked.properties.len() <= MAX_PROPERTIES);
    let texts = [&asked.names, &asked.container_formats, &asked.disk_formats];
    let values = texts.map(Vec::len).into_iter().chain([asked.ids.len(), asked.statuses.len()]);
    assert!(values.clone().all(|count| count <= MAX_VALUES));
    assert!(asked.sort.len() <= SortKey::ALL.len() && asked.order().len() <= SortKey::ALL.len());
    // Conditions are of tags, of properties, and at most one of each other kind; what they are given is of the query.
    let bytes: usize = texts.into_iter().flatten().chain(&asked.tags).map(String::len).sum();
    let properties: usize = asked.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(bytes + properties <= query.len(), "{bytes} and {properties} of {}", query.len());
    assert!(values.sum::<usize>() <= query.len());
}

/// A patch: of each three bytes the first chooses the step, the second its path, the third how long its value is.
fn steps(recipe: &[u8], dialect: &str) -> Vec<u8> {
    const OPS: [&str; 3] = ["add", "replace", "remove"];
    const PATHS: [&str; 16] = [
        "/name",
        "/tags",
        "/min_ram",
        "/p",
        "/p",
        "/q",
        "/a~1b",
        "/location",
        "/protected",
        "/owner",
        "/visibility",
        "/disk_format",
        "/os_glance",
        "/x/y",
        "/",
        "/members",
    ];
    let mut steps = Vec::new();
    for part in recipe.chunks_exact(3) {
        let (op, path) = (OPS[usize::from(part[0]) % OPS.len()], PATHS[usize::from(part[1]) % PATHS.len()]);
        let length = usize::from(part[2]);
        let value = match part[0] / 32 {
            0 | 1 => format!("\"{}\"", "x".repeat(length * 8)),
            2 => format!("\"{}\"", "\\n".repeat(length * 8)),
            3 => format!("[{}]", vec!["\"t\""; length].join(",")),
            4 => format!(
                "[{}]",
                (0..length).map(|number| format!("\"{number}\"")).collect::<Vec<_>>().join(",")
            ),
            5 => format!("1e{}", length * 16),
            6 => length.to_string(),
            _ => format!("{}{}", "[".repeat(length), "]".repeat(length)),
        };
        let extra = if part[0] & 16 == 0 { "" } else { ",\"x\":-1e999" };
        steps.push(if dialect == "op" {
            format!("{{\"op\":\"{op}\",\"path\":\"{path}\",\"value\":{value}{extra}}}")
        } else {
            format!("{{\"{op}\":\"{path}\",\"value\":{value}{extra}}}")
        });
    }
    format!("[{}]", steps.join(",")).into_bytes()
}

fn patch(body: &[u8], read: impl Fn(&[u8]) -> Option<Vec<Edit>>) {
    let Some(edits) = read(body) else { return };
    let bytes: usize = edits.iter().map(edit_bytes).sum();
    assert!(bytes <= body.len() && 8 * edits.len() <= body.len(), "{bytes} of {}", body.len());
    let store = Counted::default();
    let before = image(1);
    let cx = Context { caller: &CALLERS[1], rules: &RULES, now: at(60), request: "req-60" };
    let answer = catalog::change(cx, &store, before.id, &edits);
    assert_eq!(store.statements(), 1, "transactions");
    let Ok(after) = answer else { return };
    assert!(after.record_bytes() <= before.record_bytes() + body.len());
    let record = after.record_bytes();
    let texts = after.tags.len() + 2 * after.properties.len();
    // A character may be escaped by two, a text is quoted and followed by a mark.
    assert!(fuzzing::json(after).len() <= 2 * record + 3 * texts + FRAME);
}

fn edit_bytes(edit: &Edit) -> usize {
    match edit {
        Edit::Name(text) | Edit::ContainerFormat(text) | Edit::DiskFormat(text) => {
            text.as_ref().map_or(0, String::len)
        }
        Edit::Owner(owner) => owner.as_ref().map_or(0, |owner| owner.as_str().len()),
        Edit::Tags(tags) => tags.iter().map(String::len).sum(),
        Edit::AddTag(text)
        | Edit::RemoveTag(text)
        | Edit::RemoveProperty(text)
        | Edit::ReadOnly(text)
        | Edit::RemoveAttribute(text)
        | Edit::AddNewAttribute(text) => text.len(),
        Edit::AddProperty(name, value)
        | Edit::AddNewProperty(name, value)
        | Edit::ReplaceProperty(name, value) => name.len() + value.len(),
        Edit::Visibility(_) | Edit::MinDisk(_) | Edit::MinRam(_) | Edit::Protected(_) | Edit::Hidden(_) => 0,
    }
}

static CALLERS: LazyLock<[Caller; 2]> = LazyLock::new(|| {
    [caller("p", &["member", "reader"]), caller("operators", &["admin", "member", "reader"])]
});

static RULES: LazyLock<Rules> = LazyLock::new(Rules::default);

/// Images of all sizes up to twice a page.
fn image(number: i64) -> Image {
    let fat = ("fat".to_owned(), "\n".repeat(usize::try_from(number * number).unwrap_or(0) * 300));
    Image {
        id: format!("c0ffee00-0000-4000-8000-{number:012}").parse().expect("an id"),
        name: Some("a".to_owned()),
        created_at: at(number / 2),
        properties: [fat, ("p0".to_owned(), "a".to_owned())].into(),
        ..an_image("p")
    }
}

/// Records in memory, and how often they were asked or changed.
struct Counted {
    store: MemoryStore,
    statements: AtomicUsize,
}

impl Default for Counted {
    fn default() -> Self {
        let store = MemoryStore::default();
        for number in 0..12 {
            let image = image(number);
            let kept = (&store as &dyn Store).write(image.id, &cause(0), |tx| tx.insert_image(&image));
            kept.expect("memory is there");
        }
        Self { store, statements: AtomicUsize::new(0) }
    }
}

impl Counted {
    fn statements(&self) -> usize {
        self.statements.load(Ordering::Relaxed)
    }

    fn counted(&self) -> &MemoryStore {
        self.statements.fetch_add(1, Ordering::Relaxed);
        &self.store
    }
}

impl Store for Counted {
    fn ping(&self) -> Result<()> {
        self.counted().ping()
    }

    fn sight(&self, image: ImageId, caller: Option<&ProjectId>, member: &ProjectId) -> Result<Option<Sight>> {
        self.counted().sight(image, caller, member)
    }

    fn members(&self, image: ImageId, viewer: Viewer<'_>, page: &MembersPage) -> Result<Option<Roll>> {
        self.counted().members(image, viewer, page)
    }

    fn image(&self, id: ImageId, viewer: Viewer<'_>) -> Result<Option<FoundImage>> {
        self.counted().image(id, viewer)
    }

    fn images(&self, listing: &Listing) -> Result<ImagePage> {
        self.counted().images(listing)
    }

    fn history(&self, image: ImageId, member: &ProjectId, page: HistoryPage<'_>) -> Result<Vec<Event>> {
        self.counted().history(image, member, page)
    }

    fn set_status(
        &self,
        seen: &ImageAccess,
        member: &ProjectId,
        status: MemberStatus,
        cause: &Cause,
    ) -> Result<Option<Member>> {
        self.counted().set_status(seen, member, status, cause)
    }

    fn delete_member(&self, seen: &ImageAccess, member: &ProjectId, cause: &Cause) -> Result<bool> {
        self.counted().delete_member(seen, member, cause)
    }

    fn begin(&self, image: ImageId, cause: &Cause) -> Result<Box<dyn Tx + '_>> {
        self.counted().begin(image, cause)
    }
}
