//! From a batch of captions to one answer each, whatever fails.

use super::error::NetError;
use crate::analysis::{Analysis, Offence};
use crate::rules;
use crate::text::Prepared;
use crate::tier::Tier;

/// Asks `net` about the captions of which something is left. When it fails on them together it is
/// asked about each alone, so that one that it fails on takes no other along.
pub(crate) fn answered(
    captions: &[Prepared],
    tier: Tier,
    net: impl Fn(&[&Prepared]) -> Result<Vec<Analysis>, NetError>,
) -> Vec<Result<Analysis, Offence>> {
    let asked: Vec<_> = captions.iter().filter(|caption| !caption.text.is_empty()).collect();
    let failed = |error: NetError| Offence::Model(error.to_string());
    let found: Vec<Result<Analysis, Offence>> = match net(&asked) {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(error) if asked.len() == 1 => vec![Err(failed(error))],
        Err(_) => {
            let alone = |caption: &&Prepared| {
                let answers = net(&[*caption]).map_err(failed)?;
                answers.into_iter().next().ok_or_else(|| Offence::Model("no answer".to_owned()))
            };
            asked.iter().map(alone).collect()
        }
    };
    let mut found = found.into_iter();
    let answer = |caption: &Prepared| {
        if caption.text.is_empty() {
            return Ok(rules::empty(tier));
        }
        found.next().unwrap_or_else(|| Err(Offence::Model("no answer".to_owned())))
    };
    captions.iter().map(answer).collect()
}
