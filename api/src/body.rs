//! JSON bodies whose refusals name the field.

use poem::{FromRequest, Request, RequestBody, Result};
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::{ParseFromJSON, Type};
use serde_json::Value;

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
            Ok(parsed) => Ok(Self(parsed)),
            Err(error) => Err(refusal::<T>(&value, &error.into_message()).into()),
        }
    }
}

poem_openapi::impl_apirequest_for_payload!(JsonBody<T>, T: ParseFromJSON);

/// The parser says what it expected but not always where: the field without which it would say
/// something else is the one it stumbled over.
fn refusal<T: ParseFromJSON>(value: &Value, message: &str) -> Problem {
    let rule = message.split(" (occurred while parsing").next().unwrap_or(message);
    if value.is_null() && T::IS_REQUIRED {
        return Problem::body("body", "must be a JSON object; it is missing");
    }
    let Value::Object(fields) = value else {
        return Problem::body("body", "must be a JSON object");
    };
    let culprit = fields.keys().find(|name| {
        let mut without = fields.clone();
        without.remove(*name);
        T::parse_from_json(Some(Value::Object(without)))
            .map_or_else(|error| error.into_message() != message, |_| true)
    });
    match culprit {
        Some(name) => Problem::body(name, rule),
        None => Problem::body(missing::<T>(fields, message).unwrap_or("body"), rule),
    }
}

/// With no field to blame, a field is missing: the one whose presence changes what is said.
fn missing<T: ParseFromJSON>(
    fields: &serde_json::Map<String, Value>,
    message: &str,
) -> Option<&'static str> {
    required::<T>().into_iter().find(|name| {
        let mut with = fields.clone();
        // Present and wrong: the parser then says another thing, about this field.
        with.insert((*name).to_owned(), Value::Object(serde_json::Map::new()));
        T::parse_from_json(Some(Value::Object(with)))
            .map_or_else(|error| error.into_message() != message, |_| true)
    })
}

fn required<T: Type>() -> Vec<&'static str> {
    let mut registry = Registry::new();
    T::register(&mut registry);
    registry.schemas.values().flat_map(|schema| schema.required.clone()).collect()
}
