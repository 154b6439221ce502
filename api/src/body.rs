//! JSON bodies whose refusals name the field.

use poem::{FromRequest, Request, RequestBody, Result};
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{ParseFromJSON, Type};
use serde_json::{Map, Value};

use crate::problem::Problem;

/// Like `poem_openapi::payload::Json`, for requests.
#[derive(Clone, Debug)]
pub struct JsonBody<T>(pub T);

impl<T: Type> Payload for JsonBody<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn check_content_type(content_type: &str) -> bool {
        <poem_openapi::payload::Json<T> as Payload>::check_content_type(content_type)
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: ParseFromJSON> ParsePayload for JsonBody<T> {
    const IS_REQUIRED: bool = T::IS_REQUIRED;

    async fn from_request(request: &Request, body: &mut RequestBody) -> Result<Self> {
        let data = Vec::<u8>::from_request(request, body).await?;
        let value = if data.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&data)
                .map_err(|error| Problem::body("body", format!("is no JSON: {error}")))?
        };
        match T::parse_from_json(Some(value.clone())) {
            Ok(parsed) => match not_text::<T>(&value) {
                None => Ok(Self(parsed)),
                Some(field) => Err(Problem::body(field, "must be text").into()),
            },
            Err(error) => Err(refusal::<T>(&value, &error.into_message()).into()),
        }
    }
}

poem_openapi::impl_apirequest_for_payload!(JsonBody<T>, T: ParseFromJSON);

/// The parser says what it expected and what it found, but not always where.
fn refusal<T: ParseFromJSON>(value: &Value, message: &str) -> Problem {
    let rule = message.split(" (occurred while parsing").next().unwrap_or(message);
    let Value::Object(fields) = value else {
        let what = if value.is_null() { "; it is missing" } else { "" };
        return Problem::body("body", format!("must be a JSON object{what}"));
    };
    // Unknown fields and broken limits are named in backticks after the word.
    let named = rule.split_once("field `").and_then(|(_, rest)| rest.split('`').next());
    if let Some(name) = named {
        let rule = rule.split_once(": ").map_or(rule, |(_, rule)| rule);
        return Problem::body(name, rule);
    }
    if let Some(name) = schema::<T>().required.into_iter().find(|name| is_missing(fields, name)) {
        return Problem::body(name, "is required");
    }
    let found = rule.split_once(", found ").map(|(_, found)| found.trim_end_matches('.'));
    let holds = |value: &Value| found.is_some_and(|found| holds(value, found));
    match fields.iter().find(|(_, value)| holds(value)) {
        Some((name, _)) => Problem::body(name, rule),
        // One field leaves no doubt.
        None if fields.len() == 1 => {
            Problem::body(fields.keys().next().map_or("body", String::as_str), rule)
        }
        None => Problem::body("body", rule),
    }
}

/// The first field that should be text, or a list of it, and holds a number or a truth value: the
/// parser would take `false` for a word.
fn not_text<T: Type>(value: &Value) -> Option<&str> {
    let MetaSchema { properties, .. } = schema::<T>();
    let wrong = |schema: &MetaSchema, value: &Value| {
        schema.ty == "string" && (value.is_number() || value.is_boolean())
    };
    let (name, _) = value.as_object()?.iter().find(|(name, value)| {
        let property = properties.iter().find(|(property, _)| property == name);
        let Some((_, MetaSchemaRef::Inline(schema))) = property else { return false };
        match (value, schema.items.as_deref()) {
            (Value::Array(values), Some(MetaSchemaRef::Inline(item))) => {
                values.iter().any(|value| wrong(item, value))
            }
            _ => wrong(schema, value),
        }
    })?;
    Some(name)
}

fn is_missing(fields: &Map<String, Value>, name: &str) -> bool {
    fields.get(name).is_none_or(Value::is_null)
}

/// Whether this is the value the parser printed, or has it inside.
fn holds(value: &Value, found: &str) -> bool {
    let printed = value.to_string();
    printed == found
        || match value {
            Value::Array(items) => items.iter().any(|item| holds(item, found)),
            Value::Object(fields) => fields.values().any(|value| holds(value, found)),
            _ => false,
        }
}

/// What the document says of a body; not of the objects in it.
fn schema<T: Type>() -> MetaSchema {
    Registry::new().create_fake_schema::<T>()
}
