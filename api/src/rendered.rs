//! JSON answers that are text already.

use std::marker::PhantomData;

use poem::http::{HeaderValue, header};
use poem::{Body, IntoResponse, Response};
use poem_openapi::payload::{Json, Payload};
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::{ToJSON, Type};

/// Like `poem_openapi::payload::Json`, and documented like it, with the writing already done.
pub(crate) struct Rendered<T> {
    body: Vec<u8>,
    of: PhantomData<fn() -> T>,
}

impl<T> Rendered<T> {
    /// Takes the text of a `T`.
    pub(crate) fn text(body: Vec<u8>) -> Self {
        Self { body, of: PhantomData }
    }
}

impl<T: ToJSON> Rendered<T> {
    /// Writes it.
    pub(crate) fn of(value: &T) -> Self {
        Self::text(value.to_json_string().into_bytes())
    }
}

impl<T: Type> Payload for Rendered<T> {
    const CONTENT_TYPE: &'static str = Json::<T>::CONTENT_TYPE;

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type> IntoResponse for Rendered<T> {
    fn into_response(self) -> Response {
        let mut response = Response::from(Body::from_vec(self.body));
        let json = HeaderValue::from_static(Self::CONTENT_TYPE);
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}
