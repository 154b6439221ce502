//! stand-in
use crate::{Analysis, Analyzer, ModelId, Offence, Prepared, Tier};
/// stand-in
#[derive(Default)]
pub struct RulesAnalyzer;
impl RulesAnalyzer {
    /// stand-in
    pub fn new() -> Self {
        Self
    }
}
impl Analyzer for RulesAnalyzer {
    fn tier(&self) -> Tier {
        Tier::Rules
    }
    fn models(&self) -> Vec<ModelId> {
        vec![]
    }
    fn analyze(&mut self, captions: &[Prepared]) -> Vec<Result<Analysis, Offence>> {
        captions.iter().map(|_| Err(Offence::Model("none".into()))).collect()
    }
}
