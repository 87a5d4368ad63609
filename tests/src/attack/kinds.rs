//! The kinds of attack. Each round has an image of its own.

use std::future::Future;
use std::pin::Pin;

use reqwest::Method;
use serde_json::json;

use super::{CLIENTS, QUOTA, Range, Shot, Verdict};

type Round<'a> = Pin<Box<dyn Future<Output = Verdict> + 'a>>;

/// A kind of attack.
pub struct Attack {
    /// By which it is asked for.
    pub name: &'static str,
    /// What must hold.
    pub must: &'static str,
    round: for<'a> fn(&'a Range<'a>, usize) -> Round<'a>,
}

impl Attack {
    /// One round of it; rounds differ by their number.
    pub async fn round<'a>(&self, range: &'a Range<'a>, number: usize) -> Verdict {
        let mut verdict = (self.round)(range, number).await;
        if verdict.is_open {
            verdict.violations.clear();
        }
        verdict
    }
}

/// All of them.
pub fn attacks() -> Vec<Attack> {
    let attack = |name, must, round| Attack { name, must, round };
    vec![
        attack("add-add", "of 32 who add one project exactly one does", |range, n| {
            Box::pin(add_add(range, n))
        }),
        attack("add-remove", "additions and removals leave what their answers say", |range, n| {
            Box::pin(add_remove(range, n))
        }),
        attack(
            "accept-remove",
            "after a removal nobody is a member again by accepting meanwhile",
            |range, n| Box::pin(accept_remove(range, n)),
        ),
        attack("answers", "each answer to an offer is given, and the last one stands", |range, n| {
            Box::pin(answers(range, n))
        }),
        attack("add-accept-remove", "one row or none, as the answers say", |range, n| {
            Box::pin(add_accept_remove(range, n))
        }),
        attack("quota", "never exceeded, never wasted", |range, n| Box::pin(quota(range, n))),
        attack("delete-image", "a deleted image keeps no member", |range, n| {
            Box::pin(delete_image(range, n))
        }),
        attack("revoke-read", "after a 204 for a removal no read by that project succeeds", |range, n| {
            Box::pin(revoke_read(range, n))
        }),
    ]
}

async fn add_add(range: &Range<'_>, round: usize) -> Verdict {
    let mut verdict = Verdict::default();
    // Every other round on a private image, which the first share turns into a shared one.
    let is_private = range.target.shares_private && round % 2 == 1;
    let image = range.image(if is_private { "private" } else { "shared" }).await;
    let outcome = range.volley(vec![range.share_with_member(&image); CLIENTS]).await;
    outcome.only(&[(Method::POST, 200), (Method::POST, 409)], &mut verdict);
    let added = outcome.count(Method::POST, 200);
    verdict.must(added == 1, || format!("{added} were told that they had added it: {outcome:?}"));
    let rows = range.rows(&image, &mut verdict).await;
    verdict.must(rows == 1, || format!("{rows} rows"));
    let (_, shown, _) = range.settled(1, Shot::new(Method::GET, image, &range.owner)).await;
    verdict.must(shown["visibility"] == "shared", || format!("the image is {}", shown["visibility"]));
    verdict
}

async fn add_remove(range: &Range<'_>, round: usize) -> Verdict {
    let mut verdict = Verdict::default();
    let image = range.image("shared").await;
    let before = round % 2;
    if before == 1 {
        range.set_up(0, range.share_with_member(&image), 200).await;
    }
    let share = range.share_with_member(&image);
    let shots = (0..CLIENTS).map(|n| if n / 2 % 2 == 0 { share.clone() } else { range.unshare(&image) });
    let outcome = range.volley(shots).await;
    let allowed = [(Method::POST, 200), (Method::POST, 409), (Method::DELETE, 204), (Method::DELETE, 404)];
    outcome.only(&allowed, &mut verdict);
    let (added, removed) = (outcome.count(Method::POST, 200), outcome.count(Method::DELETE, 204));
    let rows = range.rows(&image, &mut verdict).await;
    if before + added != removed + rows {
        verdict.violations.push(format!("{before} before, {added} added, {removed} removed, {rows} left"));
        if let Some((began, ended)) = range.remembered(&image).await {
            verdict.violations.push(format!("its history: {began} began, {ended} ended"));
        }
    }
    verdict
}

async fn accept_remove(range: &Range<'_>, round: usize) -> Verdict {
    let mut verdict = Verdict::default();
    let image = range.image("shared").await;
    range.set_up(0, range.share_with_member(&image), 200).await;
    let removals = 1 + round % 4;
    let shots = (0..CLIENTS).map(|n| if n < removals { range.unshare(&image) } else { range.accept(&image) });
    let outcome = range.volley(shots).await;
    let allowed = [(Method::PUT, 200), (Method::PUT, 404), (Method::DELETE, 204), (Method::DELETE, 404)];
    outcome.only(&allowed, &mut verdict);
    let removed = outcome.count(Method::DELETE, 204);
    verdict.must(removed == 1, || format!("{removed} were told that they had removed it"));
    let rows = range.rows(&image, &mut verdict).await;
    verdict.must(rows == 0, || format!("{rows} rows after the removal"));
    verdict
}

async fn answers(range: &Range<'_>, round: usize) -> Verdict {
    let mut verdict = Verdict::default();
    let statuses = ["accepted", "rejected", "pending"];
    let image = range.image("shared").await;
    range.set_up(0, range.share_with_member(&image), 200).await;
    let show = Shot::new(Method::GET, range.membership(&image), &range.member);
    let shots = (0..CLIENTS).map(|n| match n % 4 {
        3 => show.clone(),
        // In some rounds all say the same.
        _ => range.accept(&image).json(json!({"status": statuses[n % (1 + round % 3)]})),
    });
    let outcome = range.volley(shots).await;
    outcome.only(&[(Method::PUT, 200), (Method::GET, 200)], &mut verdict);
    let (_, last, _) = range.settled(0, range.accept(&image).json(json!({"status": "rejected"}))).await;
    let (_, shown, _) = range.settled(1, show).await;
    verdict.must(shown["status"] == last["status"], || format!("{last} and then {shown}"));
    let rows = range.rows(&image, &mut verdict).await;
    verdict.must(rows == 1, || format!("{rows} rows"));
    verdict
}

async fn add_accept_remove(range: &Range<'_>, _: usize) -> Verdict {
    let mut verdict = Verdict::default();
    let image = range.image("shared").await;
    let shots = (0..CLIENTS).map(|n| match n % 8 {
        0..3 => range.share_with_member(&image),
        3..6 => range.accept(&image),
        _ => range.unshare(&image),
    });
    let outcome = range.volley(shots).await;
    let allowed = [
        (Method::POST, 200),
        (Method::POST, 409),
        (Method::PUT, 200),
        (Method::PUT, 404),
        (Method::DELETE, 204),
        (Method::DELETE, 404),
    ];
    outcome.only(&allowed, &mut verdict);
    let (added, removed) = (outcome.count(Method::POST, 200), outcome.count(Method::DELETE, 204));
    let rows = range.rows(&image, &mut verdict).await;
    verdict.must(added == removed + rows, || format!("{added} added, {removed} removed, {rows} left"));
    let accepted = outcome.count(Method::PUT, 200);
    verdict.must(added > 0 || accepted == 0, || "what nobody shared was accepted".to_owned());
    verdict
}

async fn quota(range: &Range<'_>, round: usize) -> Verdict {
    let mut verdict = Verdict::default();
    let image = range.image("shared").await;
    // Up to all places but one are taken before the rush.
    let taken = round % QUOTA;
    for guest in 0..taken {
        range.set_up(guest % 2, range.share(&image, &format!("guest-{guest}")), 200).await;
    }
    let outcome = range.volley((0..CLIENTS).map(|n| range.share(&image, &format!("project-{n}")))).await;
    outcome.only(&[(Method::POST, 200), (Method::POST, 413)], &mut verdict);
    let added = outcome.count(Method::POST, 200);
    verdict.must(added == QUOTA - taken, || format!("{added} added where {} had a place", QUOTA - taken));
    let rows = range.rows(&image, &mut verdict).await;
    verdict.must(rows == QUOTA, || format!("{rows} members of {QUOTA}"));
    verdict
}

async fn delete_image(range: &Range<'_>, _: usize) -> Verdict {
    let mut verdict = Verdict::default();
    let image = range.image("shared").await;
    let shots = (0..CLIENTS).map(|n| match n % 16 {
        5 => Shot::new(Method::DELETE, image.clone(), &range.owner),
        _ => range.share(&image, &format!("project-{}", n % 3)),
    });
    let outcome = range.volley(shots).await;
    let allowed = [
        (Method::POST, 200),
        (Method::POST, 404),
        (Method::POST, 409),
        (Method::DELETE, 204),
        (Method::DELETE, 404),
    ];
    outcome.only(&allowed, &mut verdict);
    let deleted = outcome.count(Method::DELETE, 204);
    verdict.must(deleted == 1, || format!("{deleted} were told that they had deleted it"));
    let rows = range.rows(&image, &mut verdict).await;
    verdict.must(rows == 0, || format!("{rows} members of a deleted image"));
    verdict
}

/// The removal is answered while others share anew with another project, accept and look: from then on nothing that is asked
/// shows the image.
async fn revoke_read(range: &Range<'_>, _: usize) -> Verdict {
    let mut verdict = Verdict::default();
    let image = range.image("shared").await;
    range.set_up(0, range.share_with_member(&image), 200).await;
    range.set_up(1, range.accept(&image), 200).await;
    let look = || Shot::new(Method::GET, image.clone(), &range.member);
    let noise = range.volley((0..CLIENTS / 2).map(|n| match n % 4 {
        0 => range.share(&image, &format!("project-{}", n % 3)),
        1 => range.accept(&image),
        _ => look(),
    }));
    let revoked = async {
        let (status, _) = range.call(0, range.unshare(&image)).await;
        let mut shown = Vec::new();
        for number in 0..4 {
            shown.push(range.settled(number % 2, look()).await.0);
        }
        (status, shown)
    };
    let (_, (status, shown)) = tokio::join!(noise, revoked);
    // Told to come again, it was made or was not: the round says nothing.
    verdict.answered("DELETE", status, 1, status == 204);
    verdict.must(shown.iter().all(|status| *status == 404), || {
        format!("after the removal the image was shown with {shown:?}")
    });
    verdict
}
