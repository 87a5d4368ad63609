//! What else a listing asks of an image: `Listing::holds` without what its ranges see to.

use core_domain::listing::Listing;
use diesel::{
    dsl::{exists, sql},
    prelude::*,
    sql_types::Text,
};

use super::{Fragment, order::NAME};
use crate::schema::{Key, image_properties, image_tags, images};

/// Whether it asks for nothing but what its ranges see to, as most lists do.
pub(super) fn is_common(listing: &Listing) -> bool {
    listing.owner.is_none() && conditions(listing).is_empty()
}

/// Each filter apart. A filter by name, id or tag is where an index may lead to the images, whatever the range.
pub(super) fn conditions(listing: &Listing) -> Vec<Fragment<'_>> {
    let mut all: Vec<Fragment<'_>> = Vec::new();
    if !listing.ids.is_empty() {
        all.push(Box::new(images::id.eq_any(listing.ids.iter().map(|id| Key(id.uuid())))));
    }
    if !listing.names.is_empty() {
        all.push(match listing.names.as_slice() {
            // Of one name the index has the images in order, of several it does not.
            [name] => Box::new(sql::<Text>(NAME).eq(name)),
            names => Box::new(sql::<Text>(NAME).eq_any(names)),
        });
        // There no name is the empty one.
        if listing.names.iter().any(String::is_empty) {
            all.push(Box::new(images::name.is_not_null()));
        }
    }
    if !listing.statuses.is_empty() {
        all.push(Box::new(images::status.eq_any(listing.statuses.iter().map(|status| status.as_str()))));
    }
    if !listing.container_formats.is_empty() {
        all.push(Box::new(images::container_format.eq_any(&listing.container_formats)));
    }
    if !listing.disk_formats.is_empty() {
        all.push(Box::new(images::disk_format.eq_any(&listing.disk_formats)));
    }
    for tag in &listing.tags {
        all.push(Box::new(exists(
            image_tags::table.filter(image_tags::image_id.eq(images::id)).filter(image_tags::tag.eq(tag)),
        )));
    }
    for (name, value) in &listing.properties {
        all.push(Box::new(exists(
            image_properties::table
                .filter(image_properties::image_id.eq(images::id))
                .filter(image_properties::name.eq(name))
                .filter(image_properties::value.eq(value)),
        )));
    }
    if let Some(protected) = listing.protected {
        all.push(Box::new(images::protected.eq(protected)));
    }
    if let Some(gibibytes) = listing.min_disk {
        all.push(Box::new(images::min_disk.eq(gibibytes)));
    }
    if let Some(mebibytes) = listing.min_ram {
        all.push(Box::new(images::min_ram.eq(mebibytes)));
    }
    all
}
