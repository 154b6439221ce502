//! The closed list of kinds. To add one: a file in `kinds/`, its name here; the worker's dispatch
//! does not build until it has a handler.

use serde_json::Value;

use crate::kinds::bulk_profiles::BulkProfiles;
use crate::kinds::cdn_cleanup::CdnCleanup;
use crate::kinds::cdn_drift::CdnDrift;
use crate::kinds::cdn_freshness::CdnFreshness;
use crate::kinds::cdn_retry::CdnRetry;
use crate::kinds::cdn_stats::CdnStats;
use crate::kinds::cdn_sync::CdnSync;
use crate::kinds::consistency_scan::ConsistencyScan;
use crate::kinds::credit_reset::CreditReset;
use crate::kinds::expiry_sweep::ExpirySweep;
use crate::kinds::export::Export;
use crate::kinds::image_ingest::ImageIngest;
use crate::kinds::noop::Noop;
use crate::kinds::post_analysis::PostAnalysis;
use crate::kinds::profile_analysis::ProfileAnalysis;
use crate::kinds::profile_fetch::ProfileFetch;
use crate::kinds::prune::Prune;
use crate::policy::{Job, Policy};

/// A stored payload that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// This process does not know the kind.
    #[error("kind {0} is not known to this version")]
    UnknownKind(String),
    /// The payload is of another shape.
    #[error("payload of {kind} cannot be read: {source}")]
    Payload {
        /// The kind.
        kind: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}

macro_rules! jobs {
    ($($name:ident = $word:literal),+ $(,)?) => {
        /// Name of a kind.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, poem_openapi::Enum)]
        #[oai(rename_all = "snake_case")]
        pub enum Kind {
            $(#[doc = $word] $name),+
        }

        impl Kind {
            /// Every kind this process knows.
            pub const ALL: &'static [Kind] = &[$(Kind::$name),+];

            /// The stored word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Kind::$name => $word),+ }
            }

            /// The kind of a stored word.
            pub fn parse(word: &str) -> Option<Kind> {
                match word { $($word => Some(Kind::$name),)+ _ => None }
            }

            /// Its rules.
            pub const fn policy(self) -> &'static Policy {
                match self { $(Kind::$name => &<$name as Job>::POLICY),+ }
            }
        }

        /// A decoded payload.
        #[derive(Clone, Debug, PartialEq)]
        pub enum AnyJob {
            $(#[doc = $word] $name($name)),+
        }

        impl AnyJob {
            /// Reads a stored payload.
            pub fn decode(kind: &str, payload: &Value) -> Result<AnyJob, DecodeError> {
                match Kind::parse(kind) {
                    $(Some(Kind::$name) => <$name as serde::Deserialize>::deserialize(payload)
                        .map(AnyJob::$name)
                        .map_err(|source| DecodeError::Payload { kind: $word, source }),)+
                    None => Err(DecodeError::UnknownKind(kind.to_owned())),
                }
            }

            /// The handle the work is about.
            pub fn handle(&self) -> Option<&str> {
                match self { $(AnyJob::$name(job) => job.handle()),+ }
            }
        }
    };
}

jobs! {
    ProfileFetch = "profile_fetch",
    BulkProfiles = "bulk_profiles",
    ProfileAnalysis = "profile_analysis",
    PostAnalysis = "post_analysis",
    Noop = "noop",
    Prune = "prune",
    ConsistencyScan = "consistency_scan",
    ImageIngest = "image_ingest",
    Export = "export",
    CdnStats = "cdn_stats",
    CdnCleanup = "cdn_cleanup",
    CdnFreshness = "cdn_freshness",
    CdnDrift = "cdn_drift",
    CdnRetry = "cdn_retry",
    CdnSync = "cdn_sync",
    ExpirySweep = "expiry_sweep",
    CreditReset = "credit_reset",
}

impl Kind {
    /// The stored words of every kind this process knows.
    pub fn words() -> Vec<&'static str> {
        Kind::ALL.iter().map(|kind| kind.as_str()).collect()
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_is_reviewed_when_it_changes() {
        let policies: Vec<String> =
            Kind::ALL.iter().map(|kind| format!("{kind}: {:#?}", kind.policy())).collect();
        insta::assert_snapshot!("policies", policies.join("\n"));
    }

    #[test]
    fn stored_payloads_keep_their_shape() {
        // Rows written by an older version must stay readable: a change here needs a new
        // payload_version and a decoder for the old one.
        let handle: crate::Handle = "demo_travel".parse().unwrap();
        let payloads = [
            serde_json::to_value(ProfileFetch::of(handle.clone())).unwrap(),
            serde_json::to_value(BulkProfiles { usernames: vec![handle], force_refresh: true })
                .unwrap(),
            serde_json::to_value(ProfileAnalysis::missing(uuid::Uuid::nil())).unwrap(),
            serde_json::to_value(PostAnalysis {
                shortcodes: vec!["Cx1_y-Z".to_owned()],
                captions: vec!["A day at sea".to_owned()],
            })
            .unwrap(),
            serde_json::to_value(Noop::default()).unwrap(),
            serde_json::to_value(Prune {}).unwrap(),
            serde_json::to_value(ConsistencyScan {}).unwrap(),
            serde_json::to_value(ImageIngest::of(uuid::Uuid::nil(), vec![uuid::Uuid::max()]))
                .unwrap(),
            serde_json::to_value(Export {
                profile_ids: vec![uuid::Uuid::nil()],
                profiles: true,
                posts: true,
                format: entity::enums::ExportFormat::Csv,
                byte_order_mark: false,
            })
            .unwrap(),
            serde_json::to_value(CdnStats {}).unwrap(),
            serde_json::to_value(CdnCleanup {}).unwrap(),
            serde_json::to_value(CdnFreshness {}).unwrap(),
            serde_json::to_value(CdnDrift {}).unwrap(),
            serde_json::to_value(CdnRetry {}).unwrap(),
            serde_json::to_value(CdnSync {}).unwrap(),
            serde_json::to_value(ExpirySweep {}).unwrap(),
            serde_json::to_value(CreditReset {}).unwrap(),
        ];
        insta::assert_json_snapshot!("payloads", payloads);
        for (kind, payload) in Kind::ALL.iter().zip(&payloads) {
            assert!(AnyJob::decode(kind.as_str(), payload).is_ok(), "{kind}");
        }
        let bare = serde_json::json!({"username": "demo_travel"});
        assert!(AnyJob::decode("profile_fetch", &bare).is_ok(), "defaults for what is missing");
    }

    #[test]
    fn words_and_kinds_are_one_to_one() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(*kind));
        }
        assert_eq!(Kind::parse("profile_fetch_v2"), None);
    }

    #[test]
    fn unreadable_payloads_are_typed_errors() {
        let unknown = AnyJob::decode("from_the_future", &Value::Null);
        assert!(matches!(unknown, Err(DecodeError::UnknownKind(_))));
        let wrong = AnyJob::decode("profile_fetch", &serde_json::json!({"username": 7}));
        assert!(matches!(wrong, Err(DecodeError::Payload { .. })));
    }
}
