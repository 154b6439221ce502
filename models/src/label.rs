//! The closed lists of answers: categories and sentiments. Languages are open: ISO 639-1 codes.

use serde::{Deserialize, Serialize};

/// Language of a text that says too little.
pub const UNDETERMINED: &str = "und";

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $(#[doc = $word] #[serde(rename = $word)] $variant),+
        }

        impl $name {
            /// All of them, in their order.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The stored word.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }

            /// The label of a stored word.
            pub fn parse(word: &str) -> Option<$name> {
                match word { $($word => Some($name::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// What a caption is about. The order breaks ties.
    Category {
        FashionBeauty = "Fashion & Beauty",
        FoodDrink = "Food & Drink",
        TravelTourism = "Travel & Tourism",
        Technology = "Technology",
        FitnessHealth = "Fitness & Health",
        Entertainment = "Entertainment",
        Lifestyle = "Lifestyle",
        BusinessFinance = "Business & Finance",
        Education = "Education",
        ArtCulture = "Art & Culture",
        Sports = "Sports",
        Music = "Music",
        Photography = "Photography",
        Gaming = "Gaming",
        Automotive = "Automotive",
        HomeGarden = "Home & Garden",
        PetsAnimals = "Pets & Animals",
        NewsPolitics = "News & Politics",
        Science = "Science",
        General = "General",
    }
}

words! {
    /// How a caption sounds.
    Sentiment {
        Negative = "negative",
        Neutral = "neutral",
        Positive = "positive",
    }
}

words! {
    /// Where an answer came from.
    Method {
        Model = "model",
        Hybrid = "hybrid",
        Rules = "rules",
        None = "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_twenty_categories_and_each_reads_back() {
        assert_eq!(Category::ALL.len(), 20);
        for label in Category::ALL {
            assert_eq!(Category::parse(label.as_str()), Some(*label));
            assert_eq!(serde_json::to_value(label).unwrap(), label.as_str());
        }
    }
}
