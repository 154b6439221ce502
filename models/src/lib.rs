//! Caption analysis: tiers, and later the models behind them. No HTTP, no database.
//!
//! For now it holds what the rest of the farm configures: which [`Tier`] is wanted.

#![deny(missing_docs)]

/// How much machinery analyses captions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Tier {
    /// The best tier whose models are on this machine.
    #[default]
    Auto,
    /// Large models.
    Full,
    /// Small models.
    Lite,
    /// Word lists and rules; always at hand.
    Rules,
}

impl std::str::FromStr for Tier {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "auto" => Ok(Self::Auto),
            "full" => Ok(Self::Full),
            "lite" => Ok(Self::Lite),
            "rules" => Ok(Self::Rules),
            _ => Err("must be one of auto, full, lite, rules".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_is_one_of_four_words() {
        assert_eq!("lite".parse(), Ok(Tier::Lite));
        assert_eq!(Tier::default(), Tier::Auto);
        assert!("Full".parse::<Tier>().unwrap_err().contains("auto, full, lite, rules"));
    }
}
