//! What the generated OpenAPI document leaves out: which fields may be null, and the rules of
//! parameters and bodies that handlers check themselves.

use std::collections::HashMap;

use entity::enums::{Action, ExportFormat, TransactionType};
use poem::http::Method;
use serde_json::{Map, Value, json};

use crate::routes::auth::{MAX_NAME, MIN_PASSWORD};
use crate::routes::credits::MAX_MONTHS;
use crate::routes::post_analytics::MAX_CAPTION;
use crate::routes::prices::MAX_QUANTITY;
use crate::routes::top_up::MAX_CREDITS;

/// Marks every optional field of every schema as nullable (unknown values are null here, never
/// left out, and generated clients must know), and adds the rules of the parameters.
pub(crate) fn complete(document: &str) -> String {
    let Ok(mut parsed) = serde_json::from_str::<Value>(document) else {
        return document.to_owned();
    };
    if let Some(Value::Object(schemas)) = parsed.pointer_mut("/components/schemas") {
        schemas.values_mut().for_each(mark);
        for (name, closed) in BODIES {
            let Some(Value::Object(schema)) = schemas.get_mut(name) else { continue };
            if closed {
                schema.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            let fields = schema.get_mut("properties").and_then(Value::as_object_mut);
            for (field, schema) in fields.into_iter().flatten() {
                add(schema, field_rules(name, field));
            }
        }
    }
    let operations = parsed["paths"].as_object_mut().into_iter().flat_map(|paths| {
        paths.values_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut)
    });
    for operation in operations {
        let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten() {
            let rules = rules(parameter["name"].as_str().unwrap_or_default());
            add(&mut parameter["schema"], rules);
        }
    }
    serde_json::to_string_pretty(&parsed).unwrap_or_else(|_| document.to_owned())
}

fn add(schema: &mut Value, rules: Value) {
    if let (Value::Object(schema), Value::Object(rules)) = (schema, rules) {
        schema.extend(rules);
    }
}

/// What requests hold, and whether fields of other names are refused.
const BODIES: [(&str, bool); 19] = [
    ("Adjustment", true),
    ("Amount", true),
    ("AnalyzePost", true),
    ("AnalyzePosts", true),
    ("BatchGet", true),
    ("BulkProfilesRequest", true),
    ("ExportRequest", true),
    ("ForgotPassword", false),
    ("ListExportRequest", true),
    ("Lock", true),
    ("Login", true),
    ("PauseRequest", true),
    ("Plan", true),
    ("Quantity", true),
    ("Reason", true),
    ("RedriveRequest", true),
    ("Refresh", false),
    ("RefreshOptions", true),
    ("Registration", false),
];

/// The rules of a field of a body, as the handlers apply them.
fn field_rules(body: &str, field: &str) -> Value {
    match (body, field) {
        ("Adjustment", "amount") => json!({ "minimum": 1, "maximum": 10_000_000 }),
        ("Adjustment" | "Lock" | "Reason", "reason") => json!({ "minLength": 3, "maxLength": 500 }),
        ("Amount", "credits") => json!({ "minimum": 1, "maximum": MAX_CREDITS }),
        ("AnalyzePost", "caption") => json!({ "maxLength": MAX_CAPTION }),
        ("Plan", "actions") => json!({ "minItems": 1, "maxItems": 100 }),
        ("Quantity", "quantity") => json!({ "minimum": 1, "maximum": MAX_QUANTITY }),
        ("ExportRequest" | "ListExportRequest", "format") => {
            json!({ "enum": words(ExportFormat::ALL) })
        }
        ("ExportRequest" | "ListExportRequest", "include") => {
            let word = json!({ "type": "string", "enum": ["profiles", "posts"] });
            json!({ "minItems": 1, "items": word })
        }
        ("ForgotPassword" | "Registration", "email") => json!({ "format": "email" }),
        ("Registration", "password") => json!({ "minLength": MIN_PASSWORD }),
        ("Registration", "full_name") => json!({ "maxLength": MAX_NAME }),
        ("RedriveRequest", "kind" | "since" | "until") | ("AnalyzePost", "shortcode") => {
            rules(field)
        }
        _ => Value::Null,
    }
}

fn words<T: ToString>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

/// The rules of a parameter, as the handlers apply them.
fn rules(name: &str) -> Value {
    match name {
        "username" => json!({
            "minLength": 1,
            "maxLength": 31,
            "pattern": "^@?[A-Za-z0-9_]+(\\.[A-Za-z0-9_]+)*$",
        }),
        "shortcode" => json!({ "minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9_-]+$" }),
        "limit" => json!({ "minimum": 1, "maximum": crate::query::MAX_PAGE }),
        "wait" => json!({ "minimum": 0, "maximum": crate::query::MAX_WAIT_S }),
        "since" | "until" => json!({ "format": "date-time" }),
        "month_year" => json!({ "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$" }),
        "hours" => json!({ "minimum": 1, "maximum": 720 }),
        "months" => json!({ "minimum": 1, "maximum": MAX_MONTHS }),
        "page" => json!({ "minimum": 1, "maximum": 100_000 }),
        "page_size" => json!({ "minimum": 1, "maximum": 50 }),
        "q" => json!({ "minLength": 1, "maxLength": 200 }),
        "action_type" => json!({ "enum": words(Action::ALL) }),
        "transaction_type" => json!({ "enum": words(TransactionType::ALL) }),
        "kind" => json!({ "enum": jobs::Kind::words() }),
        "cursor" => json!({ "minLength": 1 }),
        "Idempotency-Key" => json!({ "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" }),
        _ => Value::Null,
    }
}

/// The methods of every path, for answers that must name them.
#[derive(Clone, Debug)]
pub(crate) struct Methods(Vec<(Vec<String>, String)>);

impl Methods {
    /// Reads them from the document.
    pub(crate) fn of(document: &str) -> Self {
        let parsed: Value = serde_json::from_str(document).unwrap_or_default();
        let paths = parsed["paths"].as_object().into_iter().flatten();
        let paths = paths.map(|(path, operations)| {
            let names = operations.as_object().into_iter().flat_map(Map::keys);
            let mut allow: Vec<String> = names.map(|name| name.to_uppercase()).collect();
            allow.push(Method::OPTIONS.to_string());
            (segments(path), allow.join(", "))
        });
        Self(paths.collect())
    }

    /// The `Allow` header of a path; literal paths win over those with parameters.
    pub(crate) fn allow(&self, path: &str) -> &str {
        let asked = segments(path);
        let fits = |template: &&(Vec<String>, String)| {
            template.0.len() == asked.len()
                && template.0.iter().zip(&asked).all(|(t, a)| t.starts_with('{') || t == a)
        };
        let parameters = |template: &&(Vec<String>, String)| {
            template.0.iter().filter(|t| t.starts_with('{')).count()
        };
        let best = self.0.iter().filter(fits).min_by_key(parameters);
        best.map_or("GET, OPTIONS", |(_, allow)| allow)
    }
}

/// The path of every operation, as documented.
pub(crate) fn paths(document: &str) -> HashMap<String, String> {
    let parsed: Value = serde_json::from_str(document).unwrap_or_default();
    let mut paths = HashMap::new();
    for (path, operations) in parsed["paths"].as_object().into_iter().flatten() {
        for operation in operations.as_object().into_iter().flat_map(Map::values) {
            if let Some(id) = operation["operationId"].as_str() {
                paths.insert(id.to_owned(), path.clone());
            }
        }
    }
    paths
}

fn segments(path: &str) -> Vec<String> {
    path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn mark(schema: &mut Value) {
    let required: Vec<String> = schema["required"]
        .as_array()
        .map(|names| names.iter().filter_map(|n| n.as_str().map(str::to_owned)).collect())
        .unwrap_or_default();
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    for (name, property) in properties {
        if required.contains(name) {
            continue;
        }
        if property.get("$ref").is_some() {
            // A reference stands alone in OpenAPI 3.0.
            *property = json!({ "allOf": [property.take()], "nullable": true });
        } else if let Value::Object(property) = property {
            nullable(property);
        }
    }
}

fn nullable(property: &mut Map<String, Value>) {
    // An untyped field holds anything, null too.
    if property.contains_key("type") || property.contains_key("allOf") {
        property.insert("nullable".to_owned(), Value::Bool(true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_methods_and_the_literal_one_wins() {
        let document = json!({"paths": {
            "/jobs/{id}": {"get": {}}, "/jobs/batch-get": {"post": {}}, "/jobs": {"get": {}},
        }});
        let methods = Methods::of(&document.to_string());
        assert_eq!(methods.allow("/jobs/7"), "GET, OPTIONS");
        assert_eq!(methods.allow("/jobs/batch-get/"), "POST, OPTIONS");
        assert_eq!(methods.allow("/openapi.json"), "GET, OPTIONS");
    }

    #[test]
    fn optional_fields_may_be_null_and_required_ones_may_not() {
        let document = json!({"components": {"schemas": {"A": {
            "required": ["id"],
            "properties": {"id": {"type": "string"}, "name": {"type": "string"},
                "b": {"$ref": "#/components/schemas/B"}, "any": {}},
        }}}});
        let marked: Value = serde_json::from_str(&complete(&document.to_string())).unwrap();
        let properties = &marked["components"]["schemas"]["A"]["properties"];
        assert_eq!(properties["id"].get("nullable"), None);
        assert_eq!(properties["name"]["nullable"], true);
        assert_eq!(properties["b"]["allOf"][0]["$ref"], "#/components/schemas/B");
        assert_eq!(properties["b"]["nullable"], true);
        assert_eq!(properties["any"], json!({}));
    }
}
