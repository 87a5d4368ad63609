//! Lists and single things as Keystone writes them: `links`, and filters in the query.

use std::collections::HashMap;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use crate::keystone::Identity;
use crate::refusal::Refusal;

/// A kind of thing under `/v3`, by its name in URLs and in bodies.
pub(crate) struct Kind {
    /// `projects`
    pub(crate) many: &'static str,
    /// `project`
    pub(crate) one: &'static str,
}

impl Identity {
    /// 200 with those of the items that the query's filters leave.
    ///
    /// A filter is any field of the item that is text or true/false; what names no such field is ignored.
    pub(crate) fn list(
        &self,
        kind: &Kind,
        items: impl Iterator<Item = Value>,
        request: &HttpRequest,
    ) -> HttpResponse {
        let filters = web::Query::<HashMap<String, String>>::from_query(request.query_string());
        let filters = filters.map(web::Query::into_inner).unwrap_or_default();
        let kept: Vec<Value> =
            items.filter(|item| passes(item, &filters)).map(|item| self.linked(kind, item)).collect();
        let below = request.uri().to_string();
        let own = format!("{}{}", self.url, below.strip_prefix("/v3").unwrap_or(&below));
        HttpResponse::Ok().json(json!({
            kind.many: kept,
            "links": {"next": null, "self": own, "previous": null},
        }))
    }

    /// 200 with the item that has this id, or 404.
    pub(crate) fn show(
        &self,
        kind: &Kind,
        mut items: impl Iterator<Item = Value>,
        id: &str,
    ) -> Result<HttpResponse, Refusal> {
        let item = items.find(|item| item["id"] == id).ok_or_else(|| Refusal::no_such(kind.one, id))?;
        Ok(HttpResponse::Ok().json(json!({kind.one: self.linked(kind, item)})))
    }

    fn linked(&self, kind: &Kind, mut item: Value) -> Value {
        let own = format!("{}/{}/{}", self.url, kind.many, item["id"].as_str().unwrap_or_default());
        item["links"] = json!({"self": own});
        item
    }
}

fn passes(item: &Value, filters: &HashMap<String, String>) -> bool {
    filters.iter().all(|(field, wanted)| match item.get(field) {
        Some(Value::String(text)) => text == wanted,
        Some(Value::Bool(flag)) => *flag == is_true(wanted),
        Some(Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_)) | None => true,
    })
}

/// What oslo.utils takes for true.
pub(crate) fn is_true(text: &str) -> bool {
    ["1", "t", "true", "on", "y", "yes"].contains(&text.to_ascii_lowercase().as_str())
}
