//! The query of a list of images: no text breaks its reader; what was read can be written into a link that reads the
//! same; and the pages that it leads through hold, together, each image once that the query asks for.

use std::sync::LazyLock;

use api_http::fuzzing;
use core_domain::{
    Caller,
    caller::{Context, Rules},
    catalog::{self, Start},
    image::{Image, ImageId, Visibility},
    limits::Limits,
    listing::{Listing, Position},
    member::{Member, MemberStatus},
    store::{Store, Viewer},
    testing::{
        builders::{an_image, at, caller, cause, project},
        memory::MemoryStore,
    },
};

const IMAGES: i64 = 12;
const PAGE_MAX: usize = 5;

/// Panics where it does not hold.
pub(crate) fn check(input: &[u8]) {
    let Ok(query) = str::from_utf8(input) else { return };
    for asking in &*CALLERS {
        let cx = Context { caller: asking, rules: &RULES, now: at(60), request: "req-60" };
        let own = Listing::of(asking.project.clone().expect("in a project"), cx.is_admin(), 3);
        let Some((start, asked)) = fuzzing::listing(query, own.clone()) else { return };
        let link = fuzzing::link(query, None).expect("it was read before");
        let first = fuzzing::listing(&link, own.clone());
        assert_eq!(first, Some((Start::Beginning, asked.clone())), "{query:?} became {link:?}");
        let at = &image(1);
        let link = fuzzing::link(query, Some(at)).expect("it was read before");
        let (position, again) = fuzzing::listing(&link, own).expect("a link of ours is read");
        assert_eq!(again, asked, "{query:?} became {link:?}");
        let Start::Position(position) = position else { panic!("{link:?} has no position") };
        let order = asked.comparator();
        assert!(!order.is_after(at, &position), "{link:?} is not where it was made");

        let Ok(first) = page(cx, query) else { continue };
        let after = match start {
            Start::Beginning => None,
            Start::Position(position) => Some(position),
            Start::Marker(id) => {
                let found = STORE.image(id, Viewer::ADMIN).expect("memory is there").expect("an image");
                Some(Box::new(Position::from(&found.image.expect("seen"))))
            }
        };
        let whole = Listing { after, limit: usize::MAX, ..asked.clone() };
        let whole: Vec<_> =
            STORE.images(&whole).expect("memory is there").images.iter().map(|image| image.id).collect();
        let (mut listed, mut next) = first;
        assert!(listed.len() <= asked.limit.min(PAGE_MAX), "{} on a page", listed.len());
        while let Some(last) = next {
            let link = fuzzing::link(query, Some(&last)).expect("it was read before");
            let (more, after) = page(cx, &link).expect("as good as the first");
            assert!(!more.is_empty() && listed.len() < whole.len(), "a walk without an end");
            listed.extend(more);
            next = after;
        }
        assert!(asked.limit == 0 || listed == whole, "{query:?} led through {listed:?} instead of {whole:?}");
    }
}

/// The ids on the page that a query asks for, and the image after which the next one starts.
fn page(cx: Context<'_>, query: &str) -> core_domain::Result<(Vec<ImageId>, Option<Image>)> {
    let (start, _) =
        fuzzing::listing(query, Listing::of(project("p"), false, 3)).expect("it was read before");
    let fill = |listing| Ok(fuzzing::listing(query, listing).expect("it was read before").1);
    let page = catalog::list(cx, &*STORE, start, fill)?;
    let last = page.next.map(|next| {
        let found = STORE.image(next.marker, Viewer::ADMIN).expect("memory is there").expect("it was there");
        found.image.expect("an admin sees it")
    });
    Ok((page.images.iter().map(|image| image.id).collect(), last))
}

static CALLERS: LazyLock<[Caller; 2]> = LazyLock::new(|| {
    [caller("p", &["member", "reader"]), caller("operators", &["admin", "member", "reader"])]
});

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let limits = Limits { page_default: 3, page_max: PAGE_MAX, ..Limits::default() };
    Rules { limits, ..Rules::default() }
});

/// Images that differ in all that can be asked for; `p` owns every third and is a member of all others.
static STORE: LazyLock<MemoryStore> = LazyLock::new(|| {
    let store = MemoryStore::default();
    for number in 0..IMAGES {
        let image = image(number);
        let kept = (&store as &dyn Store).write(image.id, &cause(0), |tx| {
            tx.insert_image(&image)?;
            let status = MemberStatus::ALL[number as usize % 3];
            tx.insert_member(&Member { status, ..Member::offered(image.id, project("p"), at(0)) })
        });
        kept.expect("memory is there");
    }
    store
});

fn image(number: i64) -> Image {
    let one_in = |of: i64| number % of == 0;
    Image {
        id: format!("c0ffee00-0000-4000-8000-{number:012}").parse().expect("an id"),
        visibility: Visibility::ALL[number as usize % 4],
        name: (!one_in(4)).then(|| ["a", "b", "b, c"][number as usize % 3].to_owned()),
        container_format: one_in(2).then(|| "bare".to_owned()),
        disk_format: one_in(3).then(|| "raw".to_owned()),
        protected: one_in(5),
        hidden: one_in(6),
        // Some at the same moment, so that the order needs its last resort.
        created_at: at(number / 3),
        updated_at: at(number / 2),
        tags: one_in(2).then(|| "t".to_owned()).into_iter().collect(),
        properties: one_in(3).then(|| ("k".to_owned(), "v".to_owned())).into_iter().collect(),
        ..an_image(if one_in(3) { "p" } else { "q" })
    }
}
