//! `farm token`: prints the token and nothing else.

use api::Issuer;
use entity::user;
use jobs::process::Failure;

use super::out;
use crate::config::Settings;
use crate::machine;

pub(crate) async fn run(settings: &Settings, email: &str, ttl_s: i64) -> Result<(), Failure> {
    if settings.api.supabase.is_some() {
        return Err(Failure::new(
            "tokens come from Supabase while SUPABASE_URL is set; sign in with POST \
             /api/v1/auth/login",
        ));
    }
    let db = machine::open_existing(settings).await?;
    let user = user::by_email(db.read(), email).await?;
    let user = user.ok_or_else(|| {
        Failure::new(format!("no user has the address {email}; see farm admin create"))
    })?;
    if settings.api.jwt_secret.is_none() && !settings.common.data_dir.join("jwt-secret").exists() {
        return Err(Failure::new(format!(
            "there is no secret in {}; set FARM_JWT_SECRET or FARM_DATA_DIR as the API has them",
            settings.common.data_dir.display()
        )));
    }
    let issuer = Issuer::new(&settings.api.issuer_secret(&settings.common.data_dir)?);
    let token = issuer.sign(&user, ttl_s).map_err(Failure::during("no token"))?;
    db.close().await?;
    out::print(&token)
}

/// Seconds of `90s`, `30m`, `12h`, `7d` or a bare number of seconds; 1 s to 30 days.
pub(crate) fn parse_ttl(text: &str) -> Result<i64, String> {
    let rule = "must be like 90s, 30m, 12h or 7d, from 1s to 30d";
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(rule.to_owned()),
    };
    let seconds = number.parse::<i64>().ok().and_then(|n| n.checked_mul(unit));
    seconds.filter(|s| (1..=30 * 86_400).contains(s)).ok_or_else(|| rule.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_that_nobody_would_take_is_not_signed() {
        let vars = [("SUPABASE_URL", "https://p.supabase.co"), ("SUPABASE_ANON_KEY", "a")];
        let vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = Settings::read(&jobs::process::Env::of(vars).unwrap()).unwrap();
        let refused = run(&settings, "ann@example.test", 60).await.unwrap_err();
        assert!(refused.0.contains("SUPABASE_URL") && refused.0.contains("login"), "{refused}");
    }

    #[test]
    fn ttls_are_read_or_refused() {
        for (text, want) in [("90s", 90), ("30m", 1_800), ("1h", 3_600), ("7d", 604_800), ("5", 5)]
        {
            assert_eq!(parse_ttl(text), Ok(want));
        }
        for bad in ["", "h", "-1h", "1w", "0s", "31d", "99999999999999999999h", "1.5h"] {
            assert!(parse_ttl(bad).is_err(), "{bad}");
        }
    }
}
