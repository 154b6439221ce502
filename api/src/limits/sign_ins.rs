//! Wrong passwords: so many for an account from one address, and more for an account in all.
//!
//! One address is refused soon: its owner knows the password, or has lost it. The account as a
//! whole is refused late, because that hits its owner too: whoever sends wrong passwords from one
//! address keeps nobody else out, and to keep the owner out somebody needs ten addresses, each of
//! which is refused soon. Against guessing by many addresses the account's own limit remains.
//! Accounts that do not exist are counted alike, so that a refusal says nothing about them.

use std::sync::Arc;

use jobs::quota::{Clock, Quota, Rate, Together};
use sha2::{Digest, Sha256};

use super::{Address, Limit};
use crate::problem::Problem;

/// How long a failure counts.
const WINDOW_S: u64 = 15 * 60;

/// Failures to sign in.
#[derive(Debug)]
pub(super) struct SignIns {
    from_address: Limit,
    in_all: Limit,
}

impl SignIns {
    pub(super) fn new(clock: &Clock, together: Option<&Arc<Together>>) -> Self {
        let limit = |name, most| {
            let quota = Quota::shared(Rate::new(most, WINDOW_S), clock, name, together);
            Limit { quota, name, what: "failed attempts to sign in to an account" }
        };
        Self { from_address: limit("failures", 10), in_all: limit("failures_in_all", 100) }
    }

    pub(super) async fn check(&self, account: &str, from: Address) -> Result<(), Problem> {
        let (pair, account) = keys(account, from);
        self.from_address.look(pair).await?;
        self.in_all.look(account).await?;
        Ok(())
    }

    pub(super) async fn failed(&self, account: &str, from: Address) {
        let (pair, account) = keys(account, from);
        self.from_address.quota.take(pair).await;
        self.in_all.quota.take(account).await;
    }
}

/// Keys of an account at an address, and of the account. Nobody reads an e-mail address out of
/// them.
fn keys(account: &str, from: Address) -> (u128, u128) {
    let account = account.trim().to_lowercase();
    let short = |hash: [u8; 32]| u128::from_be_bytes(std::array::from_fn(|at| hash[at]));
    let alone = Sha256::new().chain_update(&account);
    let pair = alone.clone().chain_update([0]).chain_update(from.number().to_be_bytes());
    (short(pair.finalize().into()), short(alone.finalize().into()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ANN: &str = "ann@example.test";

    fn address(last: u8) -> Address {
        Address::of([203, 0, 113, last].into())
    }

    async fn fail(sign_ins: &SignIns, account: &str, from: Address, times: usize) {
        for time in 0..times {
            sign_ins.check(account, from).await.unwrap_or_else(|no| panic!("{time}: {no}"));
            sign_ins.failed(account, from).await;
        }
    }

    #[tokio::test]
    async fn who_sends_wrong_passwords_keeps_nobody_else_out() {
        let clock = Clock::still();
        let sign_ins = SignIns::new(&clock, None);
        fail(&sign_ins, ANN, address(1), 10).await;
        for spelt in [ANN, " ANN@example.test "] {
            sign_ins.check(spelt, address(1)).await.unwrap_err();
        }
        sign_ins.check(ANN, address(2)).await.unwrap();
        sign_ins.check("ben@example.test", address(1)).await.unwrap();
        // One more for each 90 s.
        clock.advance(Duration::from_secs(90));
        fail(&sign_ins, ANN, address(1), 1).await;
        sign_ins.check(ANN, address(1)).await.unwrap_err();
    }

    #[tokio::test]
    async fn an_account_that_many_addresses_guess_at_is_closed_for_a_while() {
        let clock = Clock::still();
        let sign_ins = SignIns::new(&clock, None);
        for last in 1..=10 {
            sign_ins.check(ANN, address(99)).await.unwrap();
            fail(&sign_ins, ANN, address(last), 10).await;
        }
        let refused = sign_ins.check(ANN, address(99)).await.unwrap_err();
        assert!(!format!("{refused:?}").contains("example.test"), "{refused:?}");
        sign_ins.check("ben@example.test", address(99)).await.unwrap();
        clock.advance(Duration::from_secs(WINDOW_S));
        sign_ins.check(ANN, address(99)).await.unwrap();
    }
}
