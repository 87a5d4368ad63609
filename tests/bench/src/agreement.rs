//! What is compared must be the same: before anything is measured, Glance and Vitrine are asked the same questions.

use serde_json::Value;

use crate::{
    case::Case,
    cast::Cast,
    catalogue::{Catalogue, PLAIN, image_id},
    failure::{Failure, Result},
    service::call,
    wrk::path,
};

/// Asks both, and refuses to go on if they give different images or members.
pub(crate) fn must_agree(vitrine: &str, glance: &str, cast: &Cast, catalogue: Catalogue) -> Result<()> {
    let n = catalogue.untouched();
    let marker = image_id(catalogue.old_public());
    let by_owner = cast.token(catalogue.membership(n, 0).owner)?;
    let plain = cast.token(PLAIN.start)?;
    for (question, token, list, fields) in [
        (format!("/v2/images/{}/members", image_id(n)), by_owner, "members", ["member_id", "status"]),
        (path(Case::List).to_owned(), plain, "images", ["id", "name"]),
        (path(Case::Inbox).to_owned(), plain, "images", ["id", "name"]),
        (format!("/v2/images?marker={marker}"), plain, "images", ["id", "visibility"]),
    ] {
        let ask = |host: &str| Ok(told(&call(host, "GET", &question, token, None)?, list, fields));
        let (ours, theirs) = (ask(vitrine)?, ask(glance)?);
        if ours != theirs || ours.is_empty() {
            return Err(Failure::new(format!(
                "Vitrine and Glance do not give the same for {question}:\n{ours:?}\n{theirs:?}"
            )));
        }
    }
    Ok(())
}

/// Two fields of each record of a list. Members have no order that clients may rely on.
fn told(body: &str, list: &str, fields: [&str; 2]) -> Vec<[String; 2]> {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let records = body[list].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut told: Vec<[String; 2]> =
        records.iter().map(|record| fields.map(|field| record[field].to_string())).collect();
    if list == "members" {
        told.sort();
    }
    told
}
