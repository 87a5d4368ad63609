//! JSON patches of images, in both dialects: `{"op": "replace", "path": "/name", "value": …}` (v2.1, RFC 6902) and
//! `{"replace": "/name", "value": …}` (v2.0, an early draft of it).

use core_domain::{catalog::Edit, steps};
use serde_json::{Map, Value};

use super::attributes::{self, is_own, is_read_only, string};
use crate::{
    body::{FromJson, Media, PATCH_TYPES},
    error::ApiError,
};

/// The body of `PATCH /v2/images/{image_id}`.
pub(crate) struct Patch(pub(crate) Vec<Edit>);

impl FromJson for Patch {
    const MEDIA: Media = Media::ImagePatch;

    fn from_json(body: Value) -> Result<Self, ApiError> {
        Self::from_json_as(PATCH_TYPES[0], body)
    }

    fn from_json_as(media_type: &str, body: Value) -> Result<Self, ApiError> {
        let steps = match body {
            Value::Array(steps) => steps,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                return bad("Expected a JSON patch: a list of steps.");
            }
        };
        let draft = media_type.eq_ignore_ascii_case(PATCH_TYPES[1]);
        steps.into_iter().map(|step| read(step, draft)).collect::<Result<_, _>>().map(Self)
    }
}

fn bad<T>(reason: impl Into<String>) -> Result<T, ApiError> {
    Err(ApiError::Request(reason.into()))
}

/// What a step does to what its path names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Op {
    Add,
    Replace,
    Remove,
}

impl Op {
    const ALL: [(&'static str, Self); 3] =
        [("add", Self::Add), ("replace", Self::Replace), ("remove", Self::Remove)];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(word, op)| (word == name).then_some(op))
    }
}

fn read(step: Value, draft: bool) -> Result<Edit, ApiError> {
    let Value::Object(mut step) = step else { return bad("Each step of a JSON patch must be an object.") };
    let (op, path) = if draft { op_of_draft(&mut step)? } else { op_of_rfc(&mut step)? };
    let attribute = attribute(&path)?;
    let value = match (op, step.remove("value")) {
        (Op::Remove, _) => None,
        (Op::Add | Op::Replace, Some(value)) => Some(value),
        (Op::Add | Op::Replace, None) => return bad(format!("The step on {path} needs a \"value\".")),
    };
    match (op, value) {
        _ if is_read_only(&attribute) => Ok(Edit::ReadOnly(attribute)),
        (Op::Remove, _) if is_own(&attribute) => Ok(Edit::RemoveAttribute(attribute)),
        // In the draft, what is added must be new; the value is judged all the same.
        (Op::Add, Some(value)) if draft && is_own(&attribute) => {
            attributes::edit(&attribute, value)?;
            Ok(Edit::AddNewAttribute(attribute))
        }
        (Op::Add, Some(value)) if draft => {
            let value = string(&attribute, value)?;
            Ok(Edit::AddNewProperty(attribute, value))
        }
        (Op::Replace, Some(value)) if !is_own(&attribute) => {
            let value = string(&attribute, value)?;
            Ok(Edit::ReplaceProperty(attribute, value))
        }
        (_, Some(value)) => attributes::edit(&attribute, value),
        (_, None) => Ok(Edit::RemoveProperty(attribute)),
    }
}

fn op_of_rfc(step: &mut Map<String, Value>) -> Result<(Op, String), ApiError> {
    let op = match step.remove("op") {
        Some(Value::String(name)) => Op::named(&name),
        Some(_) | None => None,
    };
    let Some(op) = op else { return bad("Each step needs an \"op\": \"add\", \"replace\" or \"remove\".") };
    match step.remove("path") {
        Some(Value::String(path)) => Ok((op, path)),
        Some(_) | None => bad("Each step needs a \"path\" such as \"/name\"."),
    }
}

fn op_of_draft(step: &mut Map<String, Value>) -> Result<(Op, String), ApiError> {
    let mut found = Op::ALL.into_iter().filter_map(|(word, op)| Some((op, step.get(word)?)));
    match (found.next(), found.next()) {
        (Some((op, Value::String(path))), None) => Ok((op, path.clone())),
        _ => bad(
            "Each step needs exactly one of \"add\", \"replace\" and \"remove\" with a path such as \"/name\".",
        ),
    }
}

/// The attribute that a JSON pointer of one segment names.
fn attribute(path: &str) -> Result<String, ApiError> {
    steps::count(1 + path.len());
    let wrong = || format!("The path {path:?} must name one attribute, such as \"/name\".");
    let Some(name) = path.strip_prefix('/') else { return bad(wrong()) };
    if name.is_empty() || name.contains('/') {
        return bad(wrong());
    }
    // `~` stands only before 0 and 1 (RFC 6901).
    if name.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
        return bad(wrong());
    }
    Ok(name.replace("~1", "/").replace("~0", "~"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn edits(body: Value) -> Vec<Edit> {
        Patch::from_json(body).map(|patch| patch.0).unwrap_or_else(|error| panic!("{error}"))
    }

    fn refusal(body: Value) -> String {
        match Patch::from_json(body) {
            Ok(patch) => panic!("read as {:?}", patch.0),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn both_dialects_say_the_same() {
        let rfc = edits(json!([
            {"op": "replace", "path": "/name", "value": "n"},
            {"op": "add", "path": "/a~1b~0c", "value": "v"},
            {"op": "replace", "path": "/p", "value": "v"},
            {"op": "remove", "path": "/p"},
        ]));
        let draft = Patch::from_json_as(
            PATCH_TYPES[1],
            json!([
                {"replace": "/name", "value": "n"},
                {"add": "/a~1b~0c", "value": "v"},
                {"replace": "/p", "value": "v"},
                {"remove": "/p"},
            ]),
        );
        let draft = draft.map(|patch| patch.0).unwrap_or_else(|error| panic!("{error}"));
        // But for this: what the draft adds must be new.
        assert_eq!(rfc[1], Edit::AddProperty("a/b~c".into(), "v".into()));
        assert_eq!(draft[1], Edit::AddNewProperty("a/b~c".into(), "v".into()));
        assert_eq!((&rfc[0], &rfc[2..]), (&draft[0], &draft[2..]));
    }

    #[test]
    fn what_every_image_has_is_not_removed_and_in_the_draft_not_added() {
        for name in ["name", "visibility", "tags", "min_ram", "owner", "os_hidden"] {
            let step = json!([{"op": "remove", "path": format!("/{name}")}]);
            assert_eq!(edits(step), [Edit::RemoveAttribute(name.to_owned())]);
        }
        let draft = |step| Patch::from_json_as(PATCH_TYPES[1], json!([step])).map(|patch| patch.0);
        assert_eq!(
            draft(json!({"add": "/name", "value": "x"})).unwrap(),
            [Edit::AddNewAttribute("name".into())]
        );
        assert!(draft(json!({"add": "/min_ram", "value": "x"})).is_err());
    }

    #[test]
    fn what_is_reserved_is_read_only_and_its_likes_are_properties() {
        for name in
            ["location", "locations", "id", "status", "os_glance_x", "os_glance", "self", "deleted_at"]
        {
            for step in [
                json!({"op": "add", "path": format!("/{name}"), "value": "x"}),
                json!({"op": "replace", "path": format!("/{name}"), "value": 1}),
                json!({"op": "remove", "path": format!("/{name}")}),
            ] {
                assert_eq!(edits(json!([step])), [Edit::ReadOnly(name.to_owned())]);
            }
        }
        for name in ["image_id", "extra_properties", "members", "metadata", "is_public", "marker_position"] {
            let step = json!([{"op": "add", "path": format!("/{name}"), "value": "x"}]);
            assert_eq!(edits(step), [Edit::AddProperty(name.to_owned(), "x".into())]);
        }
    }

    #[test]
    fn a_step_that_makes_no_sense_is_refused_with_what_would() {
        for (step, words) in [
            (json!(1), "must be an object"),
            (json!({"path": "/name"}), "needs an \"op\""),
            (json!({"op": "move", "path": "/name", "from": "/x"}), "needs an \"op\""),
            (json!({"op": "add", "value": 1}), "needs a \"path\""),
            (json!({"op": "add", "path": "name", "value": "x"}), "must name one attribute"),
            (json!({"op": "add", "path": "/tags/0", "value": "x"}), "must name one attribute"),
            (json!({"op": "add", "path": "/a~2", "value": "x"}), "must name one attribute"),
            (json!({"op": "add", "path": "/name"}), "needs a \"value\""),
            (json!({"op": "add", "path": "/", "value": "x"}), "must name one attribute"),
            (json!({"op": "add", "path": "//a", "value": "x"}), "must name one attribute"),
            (json!({"op": "add", "path": "/a/", "value": "x"}), "must name one attribute"),
            (json!({"op": "replace", "path": "/protected", "value": "yes"}), "true or false"),
            (json!({"op": "replace", "path": "/visibility", "value": "Shared"}), "visibility must be one of"),
            (json!({"op": "add", "path": "/os_distro", "value": 7}), "must be a string"),
        ] {
            let message = refusal(json!([step.clone()]));
            assert!(message.contains(words), "{step}: {message}");
        }
    }

    proptest! {
        #[test]
        fn no_steps_break_the_reader(op in ".{0,8}", path in ".{0,20}", value in ".{0,8}") {
            let _ = Patch::from_json(json!([{"op": op, "path": path, "value": value}]));
            let _ = Patch::from_json(json!([{"op": "add", "path": format!("/{path}"), "value": value}]));
        }
    }
}
