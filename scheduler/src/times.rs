//! When an entry is due: a cron expression in UTC, looked at from any point in time.

use std::str::FromStr;

use entity::Time;

/// The ticks of a cron expression, whole seconds each.
#[derive(Clone, Debug)]
pub struct Times(cron::Schedule);

impl Times {
    /// Reads an expression of six fields, the second first.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn parse(expression: &str) -> Result<Self, String> {
        cron::Schedule::from_str(expression).map(Self).map_err(|error| error.to_string())
    }

    /// The latest tick that is not after `now`.
    pub fn latest(&self, now: Time) -> Option<Time> {
        // Ticks before the next whole second are those up to this one.
        let next_second = Time((now.0.div_euclid(1_000) + 1) * 1_000);
        self.0.after(&next_second.utc()).next_back().map(Time::from)
    }

    /// The ticks after `time`, soonest first.
    pub fn after(&self, time: Time) -> impl Iterator<Item = Time> + use<> {
        self.0.after_owned(time.utc()).map(Time::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use entity::time::parse_rfc3339;
    use proptest::prelude::*;

    fn at(text: &str) -> Time {
        parse_rfc3339(text).unwrap()
    }

    #[test]
    fn a_tick_is_due_from_its_first_millisecond_on() {
        let hourly = Times::parse("0 45 * * * *").unwrap();
        let tick = at("2026-11-22T15:45:00Z");
        assert_eq!(hourly.latest(tick), Some(tick));
        assert_eq!(hourly.latest(Time(tick.0 + 1)), Some(tick));
        assert_eq!(hourly.latest(Time(tick.0 + 3_599_999)), Some(tick));
        assert_eq!(hourly.latest(Time(tick.0 - 1)), Some(Time(tick.0 - 3_600_000)));
        assert_eq!(hourly.after(tick).next(), Some(Time(tick.0 + 3_600_000)));
        assert_eq!(hourly.after(Time(tick.0 - 1)).next(), Some(tick));
    }

    #[test]
    fn months_and_years_end_where_they_should() {
        let monthly = Times::parse("0 5 0 1 * *").unwrap();
        assert_eq!(monthly.latest(at("2027-01-01T00:04:59Z")), Some(at("2026-12-01T00:05:00Z")));
        assert_eq!(monthly.latest(at("2027-01-01T00:05:00Z")), Some(at("2027-01-01T00:05:00Z")));
        assert_eq!(monthly.latest(at("2028-02-29T12:00:00Z")), Some(at("2028-02-01T00:05:00Z")));
        let other_days = Times::parse("0 30 2 */2 * *").unwrap();
        assert_eq!(other_days.latest(at("2026-12-01T02:29:00Z")), Some(at("2026-11-29T02:30:00Z")));
        let never = Times::parse("0 0 0 30 2 *").unwrap();
        assert_eq!(never.after(at("2026-11-22T00:00:00Z")).next(), None);
        assert_eq!(never.latest(at("2026-11-22T00:00:00Z")), None);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for wrong in ["", "45 * * * *", "0 60 * * * *", "0 0 0 32 * *", "hourly"] {
            assert!(Times::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        /// Looking back and looking ahead agree: nothing lies between the latest tick and now.
        #[test]
        fn no_tick_lies_between_the_latest_and_now(
            ms in 1_700_000_000_000_i64..2_000_000_000_000,
            which in 0_usize..8,
        ) {
            let expressions = [
                "* * * * * *", "0 45 * * * *", "0 0 */6 * * *", "0 0 2 * * *", "0 30 2 */2 * *",
                "0 5 0 1 * *", "0 */10 * * * *", "17 3 4 31 * *",
            ];
            let times = Times::parse(expressions[which]).unwrap();
            let now = Time(ms);
            let latest = times.latest(now).unwrap();
            let next = times.after(now).next().unwrap();
            prop_assert!(latest <= now && now < next);
            prop_assert_eq!(times.after(latest).next(), Some(next));
            prop_assert_eq!(times.latest(latest), Some(latest));
            prop_assert_eq!(times.latest(Time(next.0 - 1)), Some(latest));
        }
    }
}
