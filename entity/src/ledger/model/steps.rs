//! What may happen to a wallet, and what may come of it.

use proptest::prelude::*;

use super::{Action, GrantSource};

/// What somebody does, or what happens to them. Numbers of holds and orders are taken modulo how
/// many there are.
#[derive(Clone, Debug)]
pub enum Step {
    /// Credits come in; good for so many days and half an hour, or for good.
    Earn {
        /// From where.
        source: GrantSource,
        /// How many.
        amount: i64,
        /// For how long.
        days: Option<i64>,
    },
    /// Work that costs is asked for.
    Hold {
        /// What for.
        action: Action,
        /// A key, and what it is used for.
        key: Option<(u8, u8)>,
    },
    /// The work of a hold is done.
    Capture(usize),
    /// The work of a hold is not done.
    Release(usize),
    /// Hours pass.
    Wait(i64),
    /// An operator locks or unlocks the wallet.
    Lock(bool),
    /// An operator gives or takes; never 0.
    Adjust(i64),
    /// Credits are ordered.
    Order(i64),
    /// Somebody says that an order was paid.
    Deliver(usize),
    /// What a hold spent is given back.
    Refund(usize),
}

const ACTIONS: [Action; 3] =
    [Action::PostAnalytics, Action::BulkExport, Action::DiscoveryPagination];

/// Any step; of holds some have keys, if that is wanted.
pub fn step(keys: bool) -> impl Strategy<Value = Step> {
    let days = prop::option::of(0..70_i64);
    let key = prop::option::weighted(0.4, (0..4_u8, 0..2_u8));
    let hold = (prop::sample::select(&ACTIONS), key);
    prop_oneof![
        2 => (prop::sample::select(GrantSource::ALL), 1..120_i64, days)
            .prop_map(|(source, amount, days)| Step::Earn { source, amount, days }),
        6 => hold
            .prop_map(move |(action, key)| Step::Hold { action, key: key.filter(|_| keys) }),
        3 => (0..8_usize).prop_map(Step::Capture),
        3 => (0..8_usize).prop_map(Step::Release),
        2 => (1..24_i64).prop_map(Step::Wait),
        2 => (1..100_i64).prop_map(|days| Step::Wait(days * 24)),
        1 => any::<bool>().prop_map(Step::Lock),
        1 => (1..150_i64, any::<bool>())
            .prop_map(|(n, takes)| Step::Adjust(if takes { -n } else { n })),
        1 => (1..100_i64).prop_map(Step::Order),
        1 => (0..4_usize).prop_map(Step::Deliver),
        1 => (0..8_usize).prop_map(Step::Refund),
    ]
}

/// What comes of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It took place.
    Done,
    /// It was done before: this is the hold.
    Again(usize),
    /// There is nothing it could be done to.
    Nothing,
    /// The wallet is locked.
    Locked,
    /// Too little is left.
    Insufficient,
    /// The key was used for something else.
    KeyReused,
    /// It may happen once, and has.
    Twice,
}
