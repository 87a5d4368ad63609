//! Is it alive (the process), is it ready (what it depends on): two questions with two answers. Some probes ask by
//! `HEAD`: the server leaves the text out of the same answers.

use actix_web::{HttpResponse, http::header, web};

use crate::app::App;

fn plain(mut response: actix_web::HttpResponseBuilder, body: &'static str) -> HttpResponse {
    response.insert_header((header::CONTENT_TYPE, "text/plain; charset=UTF-8")).body(body)
}

/// `GET /healthcheck`: as Glance and load balancers know it.
pub(crate) async fn healthcheck() -> HttpResponse {
    plain(HttpResponse::Ok(), "OK")
}

/// `GET /livez`: this process answers. A failing database or Keystone is no reason to restart it.
pub(crate) async fn livez() -> HttpResponse {
    plain(HttpResponse::Ok(), "ok\n")
}

/// `GET /readyz`: the records can be reached now, the identity service has answered once, and the service was not told to
/// stop.
pub(crate) async fn readyz(app: web::Data<App>) -> HttpResponse {
    let unready = |body| {
        let mut response = HttpResponse::ServiceUnavailable();
        response.insert_header((header::RETRY_AFTER, "1"));
        plain(response, body)
    };
    if app.is_leaving() {
        return unready("not ready: stopping\n");
    }
    match (app.reaches_records().await, app.tokens.is_ready()) {
        (true, true) => plain(HttpResponse::Ok(), "ready\n"),
        (false, true) => unready("not ready: the database does not answer\n"),
        (true, false) => unready("not ready: the identity service has not answered yet\n"),
        (false, false) => unready("not ready: neither the database nor the identity service has answered\n"),
    }
}
