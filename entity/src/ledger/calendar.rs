//! Months of a wallet: from the day somebody signed up to that day of the next month, UTC. Who
//! signed up on the 31st has it on the last day of shorter months, and on the 31st of longer ones.

use chrono::Months;

use crate::time::Time;

/// A month of a wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// Its first instant.
    pub start: Time,
    /// The first instant of the next one.
    pub end: Time,
}

/// The `n`-th month's first instant, counted from the day of signing up: never from the month
/// before, which may have been a short one.
fn boundary(anchor: Time, n: u32) -> Time {
    anchor.utc().checked_add_months(Months::new(n)).map_or(anchor, Time::from)
}

/// The month of `now` of somebody who signed up at `anchor`. Before that it is the first one.
pub fn cycle(anchor: Time, now: Time) -> Cycle {
    // A month has at most 31 days, so this many have begun at least.
    let whole = now.millis_since(anchor).max(0) / (31 * 24 * 3_600_000);
    let mut n = u32::try_from(whole).unwrap_or(0);
    while boundary(anchor, n + 1) <= now {
        n += 1;
    }
    Cycle { start: boundary(anchor, n), end: boundary(anchor, n + 1) }
}

/// The calendar month of free allowances, UTC: `2026-11`.
pub fn month_year(at: Time) -> String {
    at.utc().format("%Y-%m").to_string()
}

/// The calendar month so many months before that of `at`.
pub fn months_before(at: Time, months: u32) -> String {
    let before = at.utc().checked_sub_months(Months::new(months));
    before.map_or_else(|| month_year(at), |before| month_year(Time::from(before)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::parse_rfc3339;

    fn at(text: &str) -> Time {
        parse_rfc3339(text).unwrap()
    }

    fn months(anchor: &str, count: usize) -> Vec<String> {
        let anchor = at(anchor);
        let mut now = anchor;
        (0..count)
            .map(|_| {
                now = cycle(anchor, now).end;
                now.rfc3339()[..16].to_owned()
            })
            .collect()
    }

    #[test]
    fn who_signed_up_on_the_31st_is_reset_on_the_last_day_of_each_month() {
        assert_eq!(
            months("2027-01-31T22:15:00Z", 4),
            ["2027-02-28T22:15", "2027-03-31T22:15", "2027-04-30T22:15", "2027-05-31T22:15"]
        );
        assert_eq!(months("2028-01-31T00:00:00Z", 1), ["2028-02-29T00:00"], "a leap year");
        assert_eq!(months("2028-02-29T09:00:00Z", 12)[11], "2029-02-28T09:00");
        assert_eq!(months("2026-12-15T00:00:00Z", 1), ["2027-01-15T00:00"]);
    }

    #[test]
    fn every_instant_lies_in_one_month() {
        let anchor = at("2024-01-31T10:00:00Z");
        let mut now = anchor;
        let mut last = cycle(anchor, now);
        for _ in 0..4_000 {
            now.0 += 9 * 3_600_000 + 7;
            let this = cycle(anchor, now);
            assert!(this.start <= now && now < this.end, "{now:?} {this:?}");
            assert!(this == last || this.start == last.end, "without a gap");
            last = this;
        }
        assert_eq!(cycle(anchor, Time(anchor.0 - 1)).start, anchor, "before: the first one");
    }
}
