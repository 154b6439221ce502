//! Texts side by side without padding, and attention that keeps them apart.
//!
//! The tokens of all texts of a batch form one long row, so matrix products and norms see no
//! padding and need no mask. Texts of equal length lie side by side and attend as one block; a text
//! sees its own tokens only, whatever else is in the batch.

use tch::{Device, Kind, TchError, Tensor};

use super::place::Place;
use super::work;
use crate::cpu;

/// Token ids of several texts, and where each begins.
pub(super) struct Packed {
    /// Token ids, `[tokens]`.
    pub ids: Tensor,
    /// Place of each token within its text, from 0, `[tokens]`.
    pub positions: Tensor,
    /// Index of each text's first token, `[texts]`.
    pub firsts: Tensor,
    /// Index of each text's last token, `[texts]`.
    pub lasts: Tensor,
    /// The texts, by length.
    pub runs: Vec<Run>,
}

/// Neighbouring texts of equal length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Index of the first token of the first text.
    start: i64,
    /// Index of the first text.
    text: i64,
    /// How many texts.
    texts: i64,
    /// How many tokens each has.
    tokens: i64,
}

impl Packed {
    /// Packs texts, none of them empty; best when those of equal length are neighbours.
    pub(super) fn of(texts: &[&[i64]], place: Place) -> Self {
        let tokens = texts.iter().map(|text| text.len()).sum();
        let mut positions = Vec::with_capacity(tokens);
        let (mut firsts, mut lasts, mut runs) = (Vec::new(), Vec::new(), Vec::<Run>::new());
        let mut start = 0;
        for (index, text) in texts.iter().enumerate() {
            let length = text.len() as i64;
            positions.extend(0..length);
            firsts.push(start);
            lasts.push(start + length - 1);
            match runs.last_mut() {
                Some(run) if run.tokens == length => run.texts += 1,
                _ => runs.push(Run { start, text: index as i64, texts: 1, tokens: length }),
            }
            start += length;
        }
        let there = |numbers: &[i64]| Tensor::from_slice(numbers).to_device(place.device);
        Self {
            ids: there(&texts.concat()),
            positions: there(&positions),
            firsts: there(&firsts),
            lasts: there(&lasts),
            runs,
        }
    }
}

impl Packed {
    /// The mean over the tokens of each text: `[tokens, width]` to `[texts, width]`.
    pub(super) fn means(&self, states: &Tensor) -> Result<Tensor, TchError> {
        let (_, width) = states.size2()?;
        let means = self.runs.iter().map(|run| {
            states
                .f_narrow(0, run.start, run.texts * run.tokens)?
                .f_view([run.texts, run.tokens, width])?
                .f_mean_dim([1_i64].as_slice(), false, None)
        });
        Tensor::f_cat(&means.collect::<Result<Vec<_>, _>>()?, 0)
    }
}

/// What a query may look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// Every token of its text.
    Whole,
    /// The tokens up to its own.
    Past,
}

/// Queries, keys and values of every token, each `[tokens, width]`.
pub(super) struct Projected {
    pub queries: Tensor,
    pub keys: Tensor,
    pub values: Tensor,
}

impl Projected {
    /// What each token takes from the tokens of its text, `[tokens, width]`. With queries for one
    /// token of each text only (`[texts, width]`), what those take: `[texts, width]`.
    pub(super) fn attend(
        &self,
        runs: &[Run],
        heads: i64,
        sight: Sight,
    ) -> Result<Tensor, TchError> {
        let (_, width) = self.queries.size2()?;
        let (tokens, _) = self.keys.size2()?;
        let each = self.queries.size2()?.0 == tokens;
        let mut taken = Vec::with_capacity(runs.len());
        for run in runs {
            let block = |rows: &Tensor, start, per_text| -> Result<Tensor, TchError> {
                rows.f_narrow(0, start, run.texts * per_text)?
                    .f_view([run.texts, per_text, heads, width / heads])?
                    .f_transpose(1, 2)
            };
            let (start, asking) = if each { (run.start, run.tokens) } else { (run.text, 1) };
            // Scores, and what is taken by them.
            work::product(2 * run.texts, asking, width, run.tokens);
            let queries = block(&self.queries, start, asking)?;
            let keys = block(&self.keys, run.start, run.tokens)?;
            let values = block(&self.values, run.start, run.tokens)?;
            let mixed = attention(&queries, &keys, &values, sight)?;
            taken.push(mixed.f_transpose(1, 2)?.f_reshape([run.texts * asking, width])?);
        }
        if taken.len() == 1 { Ok(taken.remove(0)) } else { Tensor::f_cat(&taken, 0) }
    }
}

/// Softmax of scaled products, over `[texts, heads, tokens, width of a head]`.
fn attention(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    sight: Sight,
) -> Result<Tensor, TchError> {
    let kind = queries.f_kind()?;
    if kind == Kind::BFloat16 && queries.device() == Device::Cpu && !cpu::has_matrix_units() {
        return by_products(queries, keys, values, sight);
    }
    // tch hands libtorch an undefined mask for none, which it refuses; so one that hides nothing.
    let mask = match sight {
        Sight::Whole => Tensor::f_zeros([1, 1, 1, keys.size4()?.2], (kind, queries.device()))?,
        Sight::Past => hidden_future(keys)?,
    };
    Tensor::f_scaled_dot_product_attention(queries, keys, values, Some(mask), 0.0, false, None)
}

/// The same in steps. libtorch's fused one multiplies bfloat16 with MKL, which has no good way to
/// do so on AMD's CPUs: these products take a third of its time there.
fn by_products(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    sight: Sight,
) -> Result<Tensor, TchError> {
    let (texts, heads, asking, width) = queries.size4()?;
    let flat = |block: &Tensor| block.f_reshape([texts * heads, -1, width]);
    let keys_across = flat(keys)?.f_transpose(1, 2)?;
    let scale = 1.0 / (width as f64).sqrt();
    let scores = match sight {
        Sight::Whole => {
            let nothing = Tensor::f_zeros([1, 1, 1], (queries.f_kind()?, queries.device()))?;
            nothing.f_baddbmm(&flat(queries)?, &keys_across, 0.0, scale)?
        }
        Sight::Past => hidden_future(keys)?.f_baddbmm(&flat(queries)?, &keys_across, 1.0, scale)?,
    };
    let taken = scores.f_softmax(-1, None)?.f_bmm(&flat(values)?)?;
    taken.f_view([texts, heads, asking, width])
}

/// To be added to the scores of `[tokens, tokens]`: what comes later is not looked at.
fn hidden_future(keys: &Tensor) -> Result<Tensor, TchError> {
    let (_, _, tokens, _) = keys.size4()?;
    let options = (keys.f_kind()?, keys.device());
    Tensor::f_full([tokens, tokens], f64::NEG_INFINITY, options)?.f_triu(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_attend_are_the_same() {
        tch::manual_seed(7);
        let block = |asking| Tensor::randn([3, 4, asking, 8], (Kind::Float, Device::Cpu));
        for (asking, sight) in [(9, Sight::Whole), (1, Sight::Whole), (9, Sight::Past)] {
            let (queries, keys, values) = (block(asking), block(9), block(9));
            let fused = attention(&queries, &keys, &values, sight).unwrap();
            let steps = by_products(&queries, &keys, &values, sight).unwrap();
            assert_eq!(fused.size(), steps.size());
            let apart = (fused - steps).abs().max().double_value(&[]);
            assert!(apart < 1e-5, "{asking} asking, {sight:?}: {apart} apart");
        }
    }
}
