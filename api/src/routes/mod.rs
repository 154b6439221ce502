//! One file per resource: its struct, its methods, its request and response types.

pub mod account;
pub mod ai;
mod ai_verification;
mod ai_worker;
pub mod analytics;
pub mod auth;
pub mod cdn;
pub mod credits;
pub mod credits_admin;
mod credits_view;
pub mod dead;
pub mod events;
pub(crate) mod export_file;
mod export_order;
pub mod exports;
mod flat_job;
mod follow;
pub mod health;
pub mod jobs;
pub mod media;
pub mod metrics;
pub mod post_analytics;
mod post_pages;
pub mod prices;
pub(crate) mod profile_body;
mod profile_view;
pub mod profiles;
pub mod queues;
pub(crate) mod submit;
pub mod top_up;
pub mod unlocks;
pub mod workers;

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
    /// What captions say.
    Ai,
    /// Pictures, on our CDN.
    Media,
    /// What things cost, and what there is to pay with.
    Credits,
    /// Files of creators and their posts.
    Exports,
    /// Running the farm; for operators.
    Operators,
    /// Is it alive?
    Health,
}
