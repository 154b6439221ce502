//! JSON answers that are text already.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::{Frame, SizeHint};
use poem::http::{HeaderValue, header};
use poem::{Body, IntoResponse, Response};
use poem_openapi::payload::{Json, Payload};
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::{ToJSON, Type};

/// Like `poem_openapi::payload::Json`, and documented like it, with the writing already done.
pub(crate) struct Rendered<T> {
    text: Parts,
    of: PhantomData<fn() -> T>,
}

impl<T> Rendered<T> {
    /// Takes the text of a `T`, in two parts: what everybody is shown, which is neither copied
    /// nor allocated anew, and the rest.
    pub(crate) fn text(shared: Bytes, own: Vec<u8>) -> Self {
        Self { text: Parts([shared, own.into()]), of: PhantomData }
    }
}

impl<T: ToJSON> Rendered<T> {
    /// Writes it.
    pub(crate) fn of(value: &T) -> Self {
        Self::text(Bytes::new(), value.to_json_string().into_bytes())
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
        let body: BoxBody<_, _> = self.text.map_err(|never| match never {}).boxed();
        let mut response = Response::from(Body::from(body));
        let json = HeaderValue::from_static(Self::CONTENT_TYPE);
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}

/// A body in parts, of a length that is known.
struct Parts([Bytes; 2]);

impl hyper::body::Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.0.iter_mut().find(|part| !part.is_empty()).map(std::mem::take);
        Poll::Ready(next.map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.iter().all(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|part| part.len() as u64).sum())
    }
}
