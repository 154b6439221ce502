//! One category out of two answers.

use crate::label::{Category, Method};

/// A model that is less sure than this is not asked.
const HEARD: f64 = 0.3;
/// What agreement adds, and where it ends.
const AGREED: f64 = 0.2;
const MOST: f64 = 0.95;
/// What is left of a confidence that was contradicted.
const CONTRADICTED: f64 = 0.9;

/// A category and the confidence in it, 0 to 1.
pub type Answer = (Category, f64);

/// Joins what rules found (`None`: no word or hashtag hit) and what a model answered.
///
/// - No rule hit: the model's answer as it is.
/// - The model is sure of no label (0.3 or less): the rules' answer as it is.
/// - Both say the same: mean of the confidences + 0.2, at most 0.95; the method is hybrid.
/// - They differ: the one with the higher confidence, × 0.9; of two equal ones the model's. The
///   method is that of the one whose label is kept.
pub fn decide(rules: Option<Answer>, model: Answer) -> (Category, f64, Method) {
    let (label, confidence) = model;
    let Some((rule, sure)) = rules else { return (label, confidence, Method::Model) };
    if confidence <= HEARD {
        return (rule, sure, Method::Rules);
    }
    if rule == label {
        return (label, (f64::midpoint(sure, confidence) + AGREED).min(MOST), Method::Hybrid);
    }
    if sure > confidence {
        return (rule, sure * CONTRADICTED, Method::Rules);
    }
    (label, confidence * CONTRADICTED, Method::Model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Category::{FoodDrink, Music, TravelTourism};

    #[test]
    fn two_answers_become_one() {
        for (rules, model, (label, confidence, method)) in [
            // Nothing hit.
            (None, (Music, 0.8), (Music, 0.8, Method::Model)),
            (None, (Music, 0.1), (Music, 0.1, Method::Model)),
            // The model does not know.
            (Some((FoodDrink, 0.65)), (Music, 0.3), (FoodDrink, 0.65, Method::Rules)),
            (Some((FoodDrink, 0.65)), (FoodDrink, 0.1), (FoodDrink, 0.65, Method::Rules)),
            // Both agree.
            (Some((FoodDrink, 0.6)), (FoodDrink, 0.4), (FoodDrink, 0.7, Method::Hybrid)),
            (Some((FoodDrink, 0.9)), (FoodDrink, 0.9), (FoodDrink, 0.95, Method::Hybrid)),
            // They differ.
            (Some((FoodDrink, 0.9)), (Music, 0.5), (FoodDrink, 0.81, Method::Rules)),
            (Some((FoodDrink, 0.5)), (TravelTourism, 0.9), (TravelTourism, 0.81, Method::Model)),
            (Some((FoodDrink, 0.6)), (TravelTourism, 0.6), (TravelTourism, 0.54, Method::Model)),
        ] {
            let found = decide(rules, model);
            assert_eq!((found.0, found.2), (label, method), "{rules:?} {model:?}");
            assert!((found.1 - confidence).abs() < 1e-9, "{rules:?} {model:?}: {}", found.1);
        }
    }
}
