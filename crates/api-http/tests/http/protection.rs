//! Headers that every answer has, refusals included, so that browsers and caches do no harm with it.

use core_domain::image::ImageId;

use crate::served::Served;

#[test]
fn no_answer_is_to_be_taken_for_something_else_than_it_says() {
    let served = Served::start();
    let owner = served.member_of("owner");
    for (reply, status) in [
        (served.nobody().get("/"), 300),
        (served.nobody().get("/healthcheck"), 200),
        (served.nobody().get("/openapi.json"), 200),
        (served.nobody().get("/nothing"), 404),
        (served.nobody().get("/v2/images"), 401),
        (owner.get("/v2/images"), 200),
        (owner.delete("/v2/images"), 405),
        (owner.ask("POST", "/v2/images").body("{").send(), 400),
    ] {
        assert_eq!(reply.status, status, "{reply}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{reply}");
        assert_eq!(reply.header("strict-transport-security"), None, "not over plain HTTP: {reply}");
    }
}

#[test]
fn what_is_one_caller_s_is_kept_by_nobody_on_the_way() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let image = served.image("owner", |_| {});
    for reply in [
        owner.get("/v2/images"),
        owner.get("/v2.7/images"),
        owner.get(&format!("/v2/images/{image}")),
        owner.get(&format!("/v2/images/{}", ImageId::random())),
        owner.delete(&format!("/v2/images/{image}")),
        served.nobody().get("/v2/images"),
    ] {
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{reply}");
    }
    for path in ["/", "/versions", "/openapi.json"] {
        assert_eq!(served.nobody().get(path).header("cache-control"), None, "{path} is the same for all");
    }
}
