//! What every store must do, as plain functions on `&dyn Records`: this suite *is* the contract of both seams to the
//! records, [`crate::store`] and [`crate::outbox`].
//!
//! A backend runs each case as a test of its own, on a store that is empty:
//!
//! ```text
//! fn with_store(case: &dyn Fn(&dyn Records)) { case(&MyStore::new_and_empty()) }
//! core_domain::conformance!(with_store);
//! ```
#![allow(clippy::expect_used, reason = "cases are tests: a panic is how they report")]

mod events;
mod images;
mod listing;
mod members;
mod random;
mod rounds;
mod together;

use crate::{
    image::{Image, ImageAccess, ImageId},
    member::{Member, MemberStatus},
    outbox::Outbox,
    project::ProjectId,
    store::{Sight, Store, Viewer},
    testing::builders::{at, cause, project},
};

/// A case: what it shows, and the function that fails if it is not so. The store must be empty and may be used from
/// many threads at once.
pub type Case = (&'static str, fn(&dyn Records));

/// Records, and the events that wait to be told.
pub trait Records: Store + Outbox {}

impl<T: Store + Outbox> Records for T {}

/// Runs the case of this name.
///
/// # Panics
/// If the store does not do what the case says, or there is no such case.
pub fn run(name: &str, records: &dyn Records) {
    let (_, case) = CASES.iter().find(|(case, _)| *case == name).expect("a case of this name");
    case(records);
}

/// Makes of one list the table of cases and the macro that turns each into a test; `$dollar` is a `$` for the latter.
macro_rules! suite {
    ($dollar:tt $( $group:ident { $( $case:ident, )* } )*) => {
        /// Every case.
        pub const CASES: &[Case] =
            &[ $( $( (concat!(stringify!($group), "::", stringify!($case)), |records| $group::$case(records)), )* )* ];

        /// Runs every case as a test of its own. `$with_store` is a function of the module this stands in that calls
        /// what it is given with an empty store.
        #[macro_export]
        macro_rules! conformance {
            ($dollar with_store:ident) => {
                $( mod $group { $(
                    #[test]
                    fn $case() {
                        let name = concat!(stringify!($group), "::", stringify!($case));
                        super::$dollar with_store(&|records| $dollar crate::testing::conformance::run(name, records));
                    }
                )* } )*
            };
        }
    };
}

suite! { $
    images {
        an_image_comes_back_as_it_was_kept,
        an_image_that_is_not_there_is_none,
        what_an_image_lacks_it_lacks_when_it_comes_back,
        empty_tags_and_values_are_kept,
        texts_are_kept_to_the_letter,
        times_are_kept_to_the_microsecond,
        as_many_tags_and_properties_as_allowed_are_kept,
        the_longest_tags_and_values_are_kept,
        a_record_as_large_as_allowed_is_kept,
        a_change_sees_what_it_did,
        a_change_that_is_dropped_never_was,
        a_change_of_an_image_that_is_not_there_sees_nothing,
        an_id_is_not_given_twice,
        an_id_is_not_given_again_after_a_deletion,
        an_id_is_free_again_when_its_change_was_dropped,
        an_update_replaces_every_attribute_tag_and_property,
        an_update_leaves_members_and_other_images_alone,
        deleting_an_image_ends_its_memberships_and_no_others,
        an_image_tells_whether_the_caller_is_a_member,
        a_project_owns_the_images_that_are_its_own,
        an_image_is_answered_whole_only_to_those_who_see_it,
    }
    members {
        a_membership_comes_back_as_it_was_kept,
        there_is_no_sight_of_an_image_that_is_not_there,
        a_sight_tells_the_callers_membership_and_the_one_asked_about_apart,
        a_caller_without_a_project_has_no_membership,
        member_ids_of_every_shape_are_kept_apart,
        a_second_membership_is_a_conflict_and_the_first_stays,
        members_are_counted_for_each_image_apart,
        members_are_counted_as_far_as_is_asked,
        a_change_tells_with_whom_the_whole_image_is_shared,
        a_membership_that_is_dropped_never_was,
        the_owner_and_admins_see_all_members_others_themselves,
        nobody_owns_an_image_without_an_owner,
        members_are_ordered_by_creation_then_project,
        pages_of_members_hold_each_once,
        a_page_of_no_members_still_tells_the_image,
        a_status_is_set_and_the_time_moves_only_if_it_changed,
        a_status_is_set_only_if_the_image_is_as_it_was_seen,
        a_membership_is_deleted_once,
        a_membership_is_deleted_only_if_the_image_is_as_it_was_seen,
        a_project_that_is_added_again_starts_anew,
    }
    listing {
        a_list_of_nothing_is_empty,
        a_list_is_newest_first_and_ties_are_broken_by_id,
        a_list_has_whole_images,
        a_page_says_whether_more_images_follow,
        a_page_is_bounded_in_bytes_and_holds_one_image_at_least,
        pages_of_large_images_lead_through_all_of_them,
        a_shared_image_is_listed_once_accepted,
        memberships_of_images_that_are_not_for_the_list_are_walked_past,
        texts_are_ordered_by_their_bytes_and_none_is_empty,
        a_list_goes_on_after_an_image_that_is_gone,
        tags_and_properties_of_any_text_are_found,
        a_property_wanted_at_two_values_is_on_no_image,
        a_filter_takes_a_thousand_values,
        an_order_of_ten_thousand_keys_is_that_of_its_first,
        every_list_agrees_with_the_predicate,
        walking_pages_gives_each_image_once_in_order,
    }
    rounds {
        many_looks_see_what_each_alone_would,
        a_batch_of_images_is_bounded_in_bytes,
        a_batch_of_member_lists_is_bounded_in_rows_and_bytes,
        many_statuses_become_what_each_in_turn_would_make_them,
        of_many_answers_for_one_membership_each_has_its_own,
    }
    events {
        every_change_has_its_event_in_order,
        what_changes_nothing_has_no_event,
        members_that_end_together_have_each_its_event_with_the_reason,
        more_members_end_together_than_a_statement_has_parameters,
        a_history_comes_in_pages,
        an_owners_history_begins_when_the_image_became_its_own,
        a_lease_has_one_holder_and_an_end,
        what_may_have_been_told_is_told_again_and_marked,
        a_sink_waits_for_no_other,
        a_dead_letter_is_kept_until_it_is_taken_away,
        a_claim_holds_at_most_eight_mebibytes_or_one_event,
        dead_letters_come_in_pages_of_bounded_bytes,
        an_image_with_thousands_of_members_can_be_deleted,
        only_old_events_that_nobody_waits_for_are_forgotten,
        events_of_many_at_once_tell_one_story,
    }
    together {
        the_limit_of_members_is_exact,
        the_limit_of_members_is_exact_for_an_image_just_being_made,
        the_limit_of_images_is_exact,
        images_that_change_hands_at_once_keep_the_limit,
        one_of_many_adding_the_same_project_succeeds,
        one_of_many_making_the_same_image_succeeds,
        changes_of_one_image_come_one_after_another,
        adding_and_removing_at_once_leaves_a_serial_outcome,
        answering_while_removed_and_added_leaves_a_serial_outcome,
        whoever_was_removed_stays_removed,
        readers_see_a_change_whole_or_not_at_all,
        a_private_image_is_never_seen_with_members,
    }
}

/// Keeps an image.
fn keep(store: &dyn Store, image: &Image) {
    store.write(image.id, &cause(0), |tx| tx.insert_image(image)).expect("a new image");
}

/// Keeps a membership, made at `second`.
fn share(store: &dyn Store, image: &Image, with: &str, status: MemberStatus, second: i64) -> Member {
    let member = Member { status, ..Member::offered(image.id, project(with), at(second)) };
    store.write(image.id, &cause(0), |tx| tx.insert_member(&member)).expect("a new membership");
    member
}

fn sight(store: &dyn Store, image: &Image, caller: &str, member: &str) -> Sight {
    let sight = store.sight(image.id, Some(&project(caller)), &project(member));
    sight.expect("a look").expect("the image")
}

fn membership(store: &dyn Store, image: ImageId, member: &ProjectId) -> Option<Member> {
    store.sight(image, None, member).expect("a look").expect("the image").member
}

fn find(store: &dyn Store, id: ImageId) -> Option<Image> {
    store.image(id, Viewer::ADMIN).expect("a look").and_then(|found| found.image)
}

/// Ways in which an image may be another than `seen` said.
fn outdated(seen: &ImageAccess) -> [ImageAccess; 4] {
    use crate::image::Visibility;
    [
        ImageAccess { visibility: Visibility::Private, ..seen.clone() },
        ImageAccess { owner: Some(project("another owner")), ..seen.clone() },
        ImageAccess { owner: None, ..seen.clone() },
        ImageAccess { id: ImageId::random(), ..seen.clone() },
    ]
}
