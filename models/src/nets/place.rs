//! Where nets compute, and with which numbers.

use tch::{Cuda, Device, Kind};

use crate::cpu;

/// Numbers to compute with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits: exact to 1e-4 against the reference.
    Full,
    /// bfloat16: half the memory, and faster where the CPU multiplies it well.
    Brain,
}

/// A device and a kind of number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub(super) device: Device,
    pub(super) kind: Kind,
}

impl Place {
    /// The GPU when libtorch sees one, else the CPU; the numbers that are faster there, or those
    /// that are asked for.
    pub fn detect(wanted: Option<Precision>) -> Self {
        let device = if Cuda::is_available() { Device::Cuda(0) } else { Device::Cpu };
        let fastest = match device {
            Device::Cpu if !cpu::prefers_bfloat16() => Precision::Full,
            _ => Precision::Brain,
        };
        Self { device, kind: kind(wanted.unwrap_or(fastest)) }
    }

    /// The CPU, with these numbers.
    pub fn cpu(precision: Precision) -> Self {
        Self { device: Device::Cpu, kind: kind(precision) }
    }

    /// The numbers computed with.
    pub fn precision(self) -> Precision {
        if self.kind == Kind::BFloat16 { Precision::Brain } else { Precision::Full }
    }

    /// `cpu` or `cuda`.
    pub fn device(self) -> &'static str {
        if self.device == Device::Cpu { "cpu" } else { "cuda" }
    }
}

fn kind(precision: Precision) -> Kind {
    match precision {
        Precision::Full => Kind::Float,
        Precision::Brain => Kind::BFloat16,
    }
}

/// Lets each thread that computes do so alone, rather than with helpers: as many captions are
/// worked on at once as there are threads that analyse. For the process; once, at its start.
///
/// libtorch's other pool, for work between operations, is started by nothing here.
pub fn one_thread_each() {
    tch::set_num_threads(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wanted_numbers_win_over_the_faster_ones() {
        for wanted in [Precision::Full, Precision::Brain] {
            assert_eq!(Place::detect(Some(wanted)).precision(), wanted);
        }
    }
}
