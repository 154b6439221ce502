//! Closed enums, stored as their snake_case words (priorities as small integers).

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
        #[sea_orm(rs_type = "String", db_type = "Text")]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$vmeta])* #[sea_orm(string_value = $word)] $variant),+
        }

        impl $name {
            /// The stored word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Every value, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(s: &str) -> Result<Self, String> {
                match s {
                    $($word => Ok(Self::$variant),)+
                    _ => {
                        let words: &[&str] = &[$($word),+];
                        Err(format!("must be one of {}", words.join(", ")))
                    }
                }
            }
        }
    };
}

words! {
    /// Where a job stands (spec: queued → running → succeeded | failed | cancelled).
    JobState {
        /// Waiting for a slot.
        Queued = "queued",
        /// A worker runs it, or (without a worker) it waits for its children.
        Running = "running",
        /// Waiting for its next attempt.
        Retrying = "retrying",
        /// Ended well; its effects are stored.
        Succeeded = "succeeded",
        /// Ended without effect; the error says why.
        Failed = "failed",
        /// Ended because everybody who wanted it left.
        Cancelled = "cancelled",
    }
}

impl JobState {
    /// True in succeeded, failed, cancelled.
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

words! {
    /// The queues workers take jobs from.
    Queue {
        /// Provider calls.
        Fetch = "fetch",
        /// Models.
        Ai = "ai",
        /// Images.
        Media = "media",
        /// Files for users.
        Export = "export",
        /// The farm's own housekeeping.
        Upkeep = "upkeep",
    }
}

/// Which lane of a queue a job waits in; the lower number goes first.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    EnumIter,
    DeriveActiveEnum,
    Serialize,
    Deserialize,
)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// A person is looking at a spinner.
    #[sea_orm(num_value = 0)]
    Interactive = 0,
    /// Follow-up work.
    #[sea_orm(num_value = 1)]
    Normal = 1,
    /// Bulk and housekeeping.
    #[sea_orm(num_value = 2)]
    Bulk = 2,
}

impl Priority {
    /// Every priority, most urgent first.
    pub const ALL: [Self; 3] = [Self::Interactive, Self::Normal, Self::Bulk];

    /// The word the API shows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Normal => "normal",
            Self::Bulk => "bulk",
        }
    }
}

words! {
    /// What a user may do.
    Role {
        /// A customer.
        User = "user",
        /// An operator: sees all jobs, no quotas.
        Admin = "admin",
        /// An operator who may change money and settings.
        Superadmin = "superadmin",
    }
}

impl Role {
    /// Admin or superadmin.
    pub const fn is_admin(self) -> bool {
        matches!(self, Self::Admin | Self::Superadmin)
    }
}

words! {
    /// Whether a user may sign in.
    AccountStatus {
        /// In good standing.
        Active = "active",
        /// Registered, not confirmed yet.
        Pending = "pending",
        /// Locked by an operator.
        Suspended = "suspended",
        /// Closed.
        Inactive = "inactive",
    }
}

words! {
    /// What a team pays for.
    Tier {
        /// No payment.
        Free = "free",
        /// 199 $ a month.
        Standard = "standard",
        /// 499 $ a month.
        Premium = "premium",
    }
}

words! {
    /// What credits are spent on. What each costs is a row of `credit_pricing_rules`.
    Action {
        /// A creator in full, for good.
        InfluencerUnlock = "influencer_unlock",
        /// The analytics of a creator's posts as they were fetched.
        PostAnalytics = "post_analytics",
        /// A further page of a search.
        DiscoveryPagination = "discovery_pagination",
        /// A file.
        BulkExport = "bulk_export",
        /// A search with more than the simple filters.
        AdvancedSearch = "advanced_search",
    }
}

words! {
    /// Where credits come from.
    GrantSource {
        /// The package of a subscription; gone at the end of its month.
        Plan = "plan",
        /// Bought.
        Topup = "topup",
        /// Given for a while.
        Promo = "promo",
        /// Given by an operator, or back.
        Admin = "admin",
    }
}

words! {
    /// Where credits stand that were set aside.
    HoldState {
        /// Set aside for work that is open.
        Held = "held",
        /// Spent: the work is done.
        Captured = "captured",
        /// Given back: the work was not done.
        Released = "released",
        /// Given back by the reconciler: the work is gone.
        Expired = "expired",
    }
}

words! {
    /// What changed a balance.
    TransactionType {
        /// Credits of a package or a promotion.
        Earn = "earn",
        /// Work that was done.
        Spend = "spend",
        /// Credits that were bought.
        Purchase = "purchase",
        /// The package's credits of a new month.
        Reset = "reset",
        /// Credits whose time is over.
        Expire = "expire",
        /// Credits that were kept over the end of a month; changes nothing.
        Rollover = "rollover",
        /// An operator's.
        ManualAdjust = "manual_adjust",
        /// A spend taken back.
        Refund = "refund",
    }
}

words! {
    /// Where an order of credits stands.
    OrderStatus {
        /// Not paid yet.
        Pending = "pending",
        /// Being paid.
        Processing = "processing",
        /// Paid and delivered.
        Completed = "completed",
        /// Not paid.
        Failed = "failed",
        /// Called off.
        Cancelled = "cancelled",
        /// Paid back.
        Refunded = "refunded",
    }
}

words! {
    /// How much machinery analysed a caption, lowest first: what a lower tier answered is done
    /// again when a higher one is here.
    AiTier {
        /// Word lists and rules.
        Rules = "rules",
        /// Small models.
        Lite = "lite",
        /// Large models.
        Full = "full",
    }
}

words! {
    /// What a picture of ours shows.
    ImageSource {
        /// A creator.
        ProfileAvatar = "profile_avatar",
        /// One of their posts.
        PostThumbnail = "post_thumbnail",
    }
}

words! {
    /// Where a picture stands.
    AssetStatus {
        /// To be stored.
        Pending = "pending",
        /// On the CDN.
        Completed = "completed",
        /// Not to be had; the error says why.
        Failed = "failed",
    }
}

words! {
    /// What an export is written as.
    ExportFormat {
        /// Comma-separated values (RFC 4180).
        Csv = "csv",
        /// A workbook.
        Xlsx = "xlsx",
        /// One document.
        Json = "json",
        /// A document a line.
        Ndjson = "ndjson",
    }
}
