//! What a list query or a patch may cost, whatever a client sends. The input is a recipe: the first byte chooses between a query
//! and a patch, the rest says which parameters or steps it has, how often and how long. So a few bytes make a query of tens
//! of thousands, as no mutation of its text would. Each runs against records in memory, whose steps are counted, and against
//! the store of the product on SQLite, whose statements are; both must answer alike.
//!
//! | | of a query of `q` bytes | of a patch of `b` bytes |
//! |---|---|---|
//! | steps to read it | 2 × `q` + 3,000: each name is held against those before, of which there are at most 66 | 3 × `b` + 100 |
//! | steps to answer | for each of `n` images the values asked for, 8 keys × log `n`, and 100 | 2 × `b` + the record + 1,000 |
//! | statements | 1, 1 more for a marker, none if nothing can match | 7 |
//! | SQL of each | 8 KiB | 2 KiB |
//! | bytes bound | 8 × 2 × what was read of it, and 64 for each value, + 4 KiB | 2 × 2 × (the record + `b`) + 4 KiB |
//! | bytes of the answer | a page; in JSON twice that and 1 KiB an image | the record + `b`; in JSON twice that |
//! | bytes of the link | 3 × `q` + 8 KiB | |

use std::sync::LazyLock;

use api_http::fuzzing;
use core_domain::{
    Caller,
    caller::{Context, Rules},
    catalog::{self, Edit, Page, Start},
    image::Image,
    limits::{Limits, PAGE_BYTES},
    listing::{Listing, MAX_PROPERTIES, MAX_TAGS, MAX_VALUES, SortKey},
    steps,
    store::{Store, Viewer},
    testing::{
        builders::{an_image, at, caller, cause},
        memory::MemoryStore,
    },
};
use store_diesel::{Config, DieselStore, migrate};

use self::statements::Sent;

mod recipe;
mod statements;

/// What a position and a marker add to a link, at most.
const POSITION: usize = 8 << 10;
/// What the text of an image has beside its values: the names of its attributes, links and times.
const FRAME: usize = 1 << 10;
/// The longest text of a statement: of a list of all ranges, in an order of all keys, behind a position; and of a patch.
const SQL_OF_A_LIST: usize = 8 << 10;
const SQL_OF_A_PATCH: usize = 2 << 10;
/// How often a statement has a value of the query: once in each range of images, of which there are at most seven, and once more.
const RANGES: usize = 8;
/// What Diesel makes of a byte of a recipe at most where it writes it for a person, such as `\n`.
const WRITTEN: usize = 2;
/// The statements of a patch: one that looks whether the connection is well, begin, read, count the images of a new owner,
/// update, keep the event, commit.
const OF_A_PATCH: usize = 7;
/// Images in each store.
const IMAGES: i64 = 12;

/// Panics where it does not hold.
pub(crate) fn check(recipe: &[u8]) {
    let Some((choice, recipe)) = recipe.split_first() else { return };
    RECORDS.with(|records| match choice % 3 {
        0 => list(records, &recipe::query(recipe)),
        1 => patch(records, &recipe::patch(recipe, "op"), fuzzing::patch),
        _ => patch(records, &recipe::patch(recipe, "draft"), fuzzing::draft_patch),
    });
}

fn list(records: &Records, query: &str) {
    for asking in &*CALLERS {
        let cx = Context { caller: asking, rules: &RULES, now: at(60), request: "req-60" };
        let project = asking.project.clone().expect("in a project");
        let own = Listing::of(project, cx.is_admin(), RULES.limits.page_default);
        let (read, taken) = steps::during(|| fuzzing::listing(query, own));
        assert!(taken <= 2 * query.len() + 3_000, "{taken} steps to read {} bytes", query.len());
        let Some((start, asked)) = read else { return };
        is_within_bounds(query, &asked);

        let ask = |store: &dyn Store| catalog::list(cx, store, start.clone(), |_| Ok(asked.clone()));
        let (expected, answering) = steps::during(|| ask(&records.memory));
        let (answer, sent) = statements::during(|| ask(&records.sqlite));
        assert_eq!(answer.as_ref().ok(), expected.as_ref().ok(), "in SQLite and in memory");
        let most = steps_to_list(&asked);
        assert!(answering <= most, "{answering} steps of {most} to answer {} bytes", query.len());
        of_a_list(&start, &asked, sent);
        let Ok(page) = answer else { continue };
        has_few_bytes(query, page);
    }
}

/// Each image may be held against each value; all are sorted, then held against the position.
fn steps_to_list(asked: &Listing) -> usize {
    let images = usize::try_from(IMAGES).expect("few");
    let comparisons = images.ilog2() as usize + 2;
    images * (values(asked) + SortKey::ALL.len() * comparisons + 100)
}

/// How many values it is filtered by.
fn values(asked: &Listing) -> usize {
    let texts = [&asked.names, &asked.container_formats, &asked.disk_formats, &asked.tags];
    texts.map(Vec::len).iter().sum::<usize>()
        + asked.ids.len()
        + asked.statuses.len()
        + asked.properties.len()
}

/// The bytes of what was read, with what a value costs that is empty.
fn bytes(start: &Start, asked: &Listing) -> usize {
    let texts = [&asked.names, &asked.container_formats, &asked.disk_formats, &asked.tags];
    let texts: usize = texts.into_iter().flatten().map(String::len).sum();
    let properties: usize = asked.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
    let position = match start {
        Start::Beginning | Start::Marker(_) => 0,
        Start::Position(position) => [&position.name, &position.container_format, &position.disk_format]
            .map(|text| text.as_ref().map_or(0, String::len))
            .iter()
            .sum(),
    };
    let owner = asked.owner.as_ref().map_or(0, |owner| owner.as_str().len());
    texts + properties + position + owner + 64 * (values(asked) + 4)
}

fn of_a_list(start: &Start, asked: &Listing, sent: Sent) {
    let by_marker = usize::from(matches!(start, Start::Marker(_)));
    let most = if asked.matches_nothing || asked.limit == 0 { by_marker } else { by_marker + 1 };
    assert!(sent.statements <= most, "{} statements of {most}", sent.statements);
    assert!(sent.longest <= SQL_OF_A_LIST, "a statement of {} bytes", sent.longest);
    let most = RANGES * WRITTEN * bytes(start, asked) + (4 << 10);
    assert!(sent.bound <= most, "{} bytes bound of {most}", sent.bound);
}

fn has_few_bytes(query: &str, page: Page) {
    assert!(page.images.len() <= RULES.limits.page_max);
    let held: usize = page.images.iter().map(Image::memory_bytes).sum();
    assert!(page.images.len() == 1 || held <= PAGE_BYTES, "{held} bytes on a page");
    let most = 2 * held + page.images.len() * FRAME;
    let last = page.images.last().cloned();
    let link = fuzzing::link(query, last.as_ref()).expect("it was read before");
    // A link repeats what was sent; the queries here hold nothing that it has to encode.
    assert!(link.len() <= query.len() + POSITION, "{} became {}", query.len(), link.len());
    let sent: usize = page.images.into_iter().map(|image| fuzzing::json(image).len()).sum();
    assert!(sent <= most, "{sent} bytes of {most} sent");
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

fn patch(records: &Records, body: &[u8], read: impl Fn(&[u8]) -> Option<Vec<Edit>>) {
    let (edits, taken) = steps::during(|| read(body));
    assert!(taken <= 3 * body.len() + 100, "{taken} steps to read {} bytes", body.len());
    let Some(edits) = edits else { return };
    let bytes: usize = edits.iter().map(edit_bytes).sum();
    assert!(bytes <= body.len() && 8 * edits.len() <= body.len(), "{bytes} of {}", body.len());

    let before = image(1);
    let cx = Context { caller: &CALLERS[1], rules: &RULES, now: at(60), request: "req-60" };
    let work = || statements::during(|| catalog::change(cx, &records.sqlite, before.id, &edits));
    let ((answer, sent), taken) = steps::during(work);
    let record = before.record_bytes() + body.len();
    let most = 2 * body.len() + record + 1_000;
    assert!(taken <= most, "{taken} steps of {most} to apply {} bytes", body.len());
    assert!(sent.statements <= OF_A_PATCH, "{} statements of {OF_A_PATCH}", sent.statements);
    assert!(sent.longest <= SQL_OF_A_PATCH, "a statement of {} bytes", sent.longest);
    let most = 2 * WRITTEN * record + (4 << 10);
    assert!(sent.bound <= most, "{} bytes bound of {most}", sent.bound);

    let Ok(after) = answer else { return };
    records.restore(&after, &before);
    assert!(after.record_bytes() <= record);
    let kept = after.record_bytes();
    let texts = after.tags.len() + 2 * after.properties.len();
    // A character may be escaped by two, a text is quoted and followed by a mark.
    assert!(fuzzing::json(after).len() <= 2 * kept + 3 * texts + FRAME);
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

static RULES: LazyLock<Rules> =
    LazyLock::new(|| Rules { limits: Limits { page_default: 3, ..Limits::default() }, ..Rules::default() });

/// Images of all sizes, some of which together are more than a page may hold.
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

/// The same images twice.
struct Records {
    memory: MemoryStore,
    sqlite: DieselStore,
    /// Removed with this.
    _directory: tempfile::TempDir,
}

thread_local! { static RECORDS: Records = Records::new(); }

impl Records {
    fn new() -> Self {
        statements::listen();
        let directory = tempfile::tempdir().expect("room for a database");
        let url = format!("sqlite://{}/records.db", directory.path().display());
        let config = Config::parse(&url).expect("a URL");
        migrate(&config, &mut |_| ()).expect("a schema");
        let sqlite = DieselStore::for_a_moment(&config).expect("a store");
        let records = Self { memory: MemoryStore::default(), sqlite, _directory: directory };
        for store in [&records.memory as &dyn Store, &records.sqlite] {
            for number in 0..IMAGES {
                let image = image(number);
                let kept = store.write(image.id, &cause(0), |tx| tx.insert_image(&image));
                kept.expect("the database is there");
            }
        }
        records
    }

    /// Makes the image what it was.
    fn restore(&self, after: &Image, before: &Image) {
        if after != before {
            let restored = (&self.sqlite as &dyn Store).write(before.id, &cause(0), |tx| {
                tx.image(Viewer::ADMIN)?;
                tx.update_image(before)
            });
            restored.expect("the database is there");
        }
    }
}
