//! How much machinery analyses captions.

use serde::{Deserialize, Serialize};

/// A tier that answers. Ordered: what a lower one answered is done again when a higher one is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Word lists and rules; always at hand.
    Rules,
    /// Small models.
    Lite,
    /// Large models.
    Full,
}

impl Tier {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Lite => "lite",
            Self::Full => "full",
        }
    }
}

impl std::fmt::Display for Tier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which tier is wanted: `AI_TIER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Wanted {
    /// The best tier whose models are on this machine.
    #[default]
    Auto,
    /// This one, or a lower one that says so while its models are missing.
    Tier(Tier),
}

impl std::str::FromStr for Wanted {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "auto" => Ok(Self::Auto),
            "full" => Ok(Self::Tier(Tier::Full)),
            "lite" => Ok(Self::Tier(Tier::Lite)),
            "rules" => Ok(Self::Tier(Tier::Rules)),
            _ => Err("must be one of auto, full, lite, rules".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_is_one_of_four_words() {
        assert_eq!("lite".parse(), Ok(Wanted::Tier(Tier::Lite)));
        assert_eq!(Wanted::default(), Wanted::Auto);
        assert!("Full".parse::<Wanted>().unwrap_err().contains("auto, full, lite, rules"));
        assert!(Tier::Rules < Tier::Lite && Tier::Lite < Tier::Full);
    }
}
