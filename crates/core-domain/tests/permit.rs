//! A change that was given up never was; one that lasts cannot be given up.
#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use core_domain::{
    Error,
    member::{Member, MemberStatus},
    permit::{Permit, Permitted},
    store::{Store, Viewer},
    testing::{
        builders::{an_image, at, cause, project},
        memory::MemoryStore,
    },
};

fn shared(store: &dyn Store) -> core_domain::image::Image {
    let image = an_image("owner");
    let member = Member::offered(image.id, project("guest"), at(1));
    store
        .write(image.id, &cause(0), |tx| {
            tx.insert_image(&image)?;
            tx.insert_member(&member)
        })
        .unwrap();
    image
}

#[test]
fn a_change_whose_permit_was_withdrawn_never_was() {
    let memory = MemoryStore::default();
    let image = shared(&memory);
    let before = memory.sight(image.id, None, &project("guest")).unwrap();
    let permit = Permit::default();
    assert!(permit.withdraw());
    let store = Permitted::new(&memory, &permit);
    let (store, guest): (&dyn Store, _) = (&store, project("guest"));
    let refused = [
        store.set_status(&image.access(), &guest, MemberStatus::Accepted, &cause(2)).map(drop),
        store.delete_member(&image.access(), &guest, &cause(9)).map(drop),
        store.write(image.id, &cause(0), |tx| tx.delete_image()),
    ];
    for outcome in refused {
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
    }
    assert_eq!(memory.sight(image.id, None, &guest).unwrap(), before);
}

#[test]
fn a_change_that_lasts_cannot_be_given_up() {
    let memory = MemoryStore::default();
    let image = shared(&memory);
    let permit = Permit::default();
    let store = Permitted::new(&memory, &permit);
    (&store as &dyn Store).write(image.id, &cause(0), |tx| tx.delete_image()).unwrap();
    assert!(!permit.withdraw());
    assert_eq!(memory.image(image.id, Viewer::ADMIN).unwrap(), None);
}

#[test]
fn a_change_that_fails_before_it_lasts_leaves_the_permit() {
    let memory = MemoryStore::default();
    let image = shared(&memory);
    let permit = Permit::default();
    let store = Permitted::new(&memory, &permit);
    let again = Member::offered(image.id, project("guest"), at(2));
    assert!((&store as &dyn Store).write(image.id, &cause(0), |tx| tx.insert_member(&again)).is_err());
    assert!(permit.withdraw());
}
