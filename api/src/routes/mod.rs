//! One file per resource: its struct, its methods, its request and response types.

pub mod auth;
mod flat_job;
pub mod health;
pub mod jobs;
mod profile_body;
mod profile_view;
pub mod profiles;
mod submit;

use poem_openapi::Tags;

/// Groups of the documentation.
#[derive(Tags)]
pub(crate) enum Tag {
    /// Signing in.
    Auth,
    /// Work: start it, follow it, stop it.
    Jobs,
    /// Creators and their posts.
    Profiles,
    /// Is it alive?
    Health,
}
