//! From many texts to batches of a size that the machine likes.

use tch::{Kind, TchError, Tensor};

use super::error::NetError;
use super::packed::Packed;
use super::place::Place;

/// Tokens that go through a net at once. More fill the matrix units no better, and fall out of the
/// caches between layers.
const TOKENS_AT_ONCE: usize = 2048;

/// Runs texts through `net` in batches of similar length; answers one row of numbers for each
/// text, in the order of the texts. No text may be empty.
pub(super) fn rows<T: AsRef<[i64]>>(
    texts: &[T],
    place: Place,
    mut net: impl FnMut(&Packed) -> Result<Tensor, TchError>,
) -> Result<Vec<Vec<f32>>, NetError> {
    let lengths: Vec<_> = texts.iter().map(|text| text.as_ref().len()).collect();
    let mut rows = vec![Vec::new(); texts.len()];
    let _no_grad = tch::no_grad_guard();
    for batch in batches(&lengths, TOKENS_AT_ONCE) {
        let packed: Vec<_> = batch.iter().map(|text| texts[*text].as_ref()).collect();
        let found = net(&Packed::of(&packed, place))?;
        for (index, row) in batch.into_iter().zip(numbers(&found)?) {
            rows[index] = row;
        }
    }
    Ok(rows)
}

/// Groups texts by length, each group at most so many tokens (or one text).
fn batches(lengths: &[usize], tokens: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<_> = (0..lengths.len()).collect();
    order.sort_by_key(|text| lengths[*text]);
    let mut batches = Vec::<Vec<usize>>::new();
    let mut room = 0;
    for text in order {
        match batches.last_mut() {
            Some(batch) if lengths[text] <= room => batch.push(text),
            _ => {
                batches.push(vec![text]);
                room = tokens;
            }
        }
        room = room.saturating_sub(lengths[text]);
    }
    batches
}

/// The rows of a matrix.
fn numbers(matrix: &Tensor) -> Result<Vec<Vec<f32>>, NetError> {
    let (_, width) = matrix.size2()?;
    let flat = matrix.f_to_kind(Kind::Float)?.f_contiguous()?.f_view([-1])?;
    let flat = Vec::<f32>::try_from(&flat)?;
    Ok(flat.chunks(width as usize).map(<[f32]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_texts_of_similar_length_and_no_more_tokens_than_allowed() {
        assert_eq!(batches(&[5, 1, 9, 2, 4], 8), [vec![1, 3, 4], vec![0], vec![2]]);
        assert!(batches(&[], 8).is_empty());
    }
}
