//! Texts side by side without padding, and attention that keeps them apart.
//!
//! The tokens of all texts of a batch form one long row, so matrix products and norms see no
//! padding and need no mask. Texts of equal length lie side by side and attend as one block; a text
//! sees its own tokens only, whatever else is in the batch.

use tch::{TchError, Tensor};

use super::place::Place;
use super::work;

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
    let (_, _, tokens, _) = keys.size4()?;
    let options = (queries.f_kind()?, queries.device());
    // tch hands libtorch an undefined mask for none, which it refuses; so one that hides nothing.
    let mask = match sight {
        Sight::Whole => Tensor::f_zeros([1, 1, 1, tokens], options)?,
        Sight::Past => Tensor::f_full([tokens, tokens], f64::NEG_INFINITY, options)?.f_triu(1)?,
    };
    Tensor::f_scaled_dot_product_attention(queries, keys, values, Some(mask), 0.0, false, None)
}
