//! Pictures: fetched from strangers, decoded in processes of their own, stored as thumbnails.
//!
//! Start reading at [`ingest`]; who may be asked is in [`crate::foreign`], who decodes in
//! [`codecs`].

pub mod codecs;
pub(crate) mod ingest;
pub(crate) mod plan;

use std::sync::Arc;

use jobs::Storage;

use crate::foreign::Foreign;
use codecs::Codecs;

/// What the work on pictures needs.
#[derive(Clone, Debug)]
pub struct Media {
    /// Fetches them.
    pub foreign: Foreign,
    /// Decodes them.
    pub codecs: Arc<Codecs>,
    /// Keeps their thumbnails.
    pub storage: Storage,
}
