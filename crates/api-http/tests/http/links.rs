//! Links between pages at the bound of a URL: the server takes each link that it makes.

use core_domain::{member::MemberStatus, testing::builders};
use serde_json::json;

use crate::{client::Client, served::Served};

/// The longest URL.
const URL_BYTES: usize = 24 * 1024;

/// A text of as many characters as a name may have, each of four bytes, with this one at its end.
fn longest(last: &str) -> String {
    format!("{}{last}", "🦀".repeat(254))
}

/// This URL with its last value made as long as a URL may be.
fn filled(url: &str) -> String {
    format!("{url}{}", "x".repeat(URL_BYTES - url.len()))
}

/// Follows `next` to the end. Gives the number of pages and the longest of the links.
#[track_caller]
fn followed(client: &Client<'_>, url: String) -> (usize, usize) {
    let (mut next, mut pages, mut longest) = (Some(url), 0, 0);
    while let Some(link) = next {
        let page = client.get(&link);
        assert_eq!(page.status, 200, "{} bytes: {page}", link.len());
        next = page.json()["next"].as_str().map(ToOwned::to_owned);
        longest = longest.max(next.as_ref().map_or(0, String::len));
        pages += 1;
    }
    (pages, longest)
}

#[test]
fn links_of_a_list_at_the_bound_lead_to_its_end() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let ids: Vec<String> = (0..640)
        .map(|number| {
            if number % 160 != 0 {
                return builders::an_image("elsewhere").id.to_string();
            }
            let image = served.image("owner", |image| {
                image.name = Some(longest("é"));
                image.container_format = Some(longest("🦀"));
                image.disk_format = Some(longest("🦀"));
            });
            image.to_string()
        })
        .collect();
    for sort in ["name,container_format,disk_format,status,updated_at", "created_at"] {
        let url = filled(&format!("/v2/images?limit=1&sort={sort}&id=in:{},", ids.join(",")));
        let (pages, longest) = followed(&owner, url.clone());
        assert!(pages >= 4 && longest > URL_BYTES, "{pages} pages, {longest} bytes");
        assert_eq!(owner.get(&format!("{url}x")).status, 414);
    }
}

#[test]
fn links_of_members_and_of_a_history_at_the_bound_lead_to_their_ends() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let image = owner.creates(&json!({}));
    let members = format!("/v2/images/{image}/members");
    for last in ["a", "b", "🦀", "é"] {
        owner.post(&members, &json!({"member": longest(last)}));
    }
    let (pages, longest_link) = followed(&owner, filled(&format!("{members}?limit=1&more=")));
    assert!(pages >= 4 && longest_link > URL_BYTES + 5_000, "{pages} pages, {longest_link} bytes");

    let member = longest("🦀");
    let encoded: String = member.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let theirs = served.member_of(&member);
    for status in [MemberStatus::Accepted, MemberStatus::Rejected, MemberStatus::Accepted] {
        let changed = theirs.put(&format!("{members}/{encoded}"), &json!({"status": status.as_str()}));
        assert_eq!(changed.status, 200, "{changed}");
    }
    let history = filled(&format!("{members}/{encoded}/history?limit=1&more="));
    let (pages, longest_link) = followed(&owner, history);
    assert!(pages >= 4 && longest_link > URL_BYTES, "{pages} pages, {longest_link} bytes");
}
