//! How much the nets have multiplied: what a benchmark puts beside what the machine can do.

use std::sync::atomic::{AtomicU64, Ordering};

use tch::{TchError, Tensor};

static DONE: AtomicU64 = AtomicU64::new(0);

/// Floating-point operations in matrix products of this process so far: two for each pair of
/// numbers. Norms, activations and look-ups are not counted.
pub fn operations() -> u64 {
    DONE.load(Ordering::Relaxed)
}

/// A product of `[rows, inner]` and `[inner, columns]`, so many times.
pub(super) fn product(times: i64, rows: i64, inner: i64, columns: i64) {
    DONE.fetch_add((2 * times * rows * inner * columns) as u64, Ordering::Relaxed);
}

/// Counts `x·Wᵀ`, `x` being `[rows, inner]` and `W` `[columns, inner]`.
pub(super) fn linear(x: &Tensor, weight: &Tensor) -> Result<(), TchError> {
    let ((rows, inner), (columns, _)) = (x.size2()?, weight.size2()?);
    product(1, rows, inner, columns);
    Ok(())
}
