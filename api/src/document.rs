//! What the generated OpenAPI document leaves out: which fields may be null.

use serde_json::{Map, Value, json};

/// Marks every optional field of every schema as nullable: unknown values are null here, never
/// left out, and generated clients must know.
pub(crate) fn with_nulls(document: &str) -> String {
    let Ok(mut parsed) = serde_json::from_str::<Value>(document) else {
        return document.to_owned();
    };
    if let Some(Value::Object(schemas)) = parsed.pointer_mut("/components/schemas") {
        schemas.values_mut().for_each(mark);
    }
    serde_json::to_string_pretty(&parsed).unwrap_or_else(|_| document.to_owned())
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
    fn optional_fields_may_be_null_and_required_ones_may_not() {
        let document = json!({"components": {"schemas": {"A": {
            "required": ["id"],
            "properties": {"id": {"type": "string"}, "name": {"type": "string"},
                "b": {"$ref": "#/components/schemas/B"}, "any": {}},
        }}}});
        let marked: Value = serde_json::from_str(&with_nulls(&document.to_string())).unwrap();
        let properties = &marked["components"]["schemas"]["A"]["properties"];
        assert_eq!(properties["id"].get("nullable"), None);
        assert_eq!(properties["name"]["nullable"], true);
        assert_eq!(properties["b"]["allOf"][0]["$ref"], "#/components/schemas/B");
        assert_eq!(properties["b"]["nullable"], true);
        assert_eq!(properties["any"], json!({}));
    }
}
