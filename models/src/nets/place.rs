//! Where nets compute, and with which numbers.

use std::sync::OnceLock;

use tch::{Cuda, Device, Kind};

/// Numbers to compute with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits: exact to 1e-4 against the reference.
    Full,
    /// bfloat16: half the memory, and faster where there are matrix units for it.
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
            Device::Cpu if !has_matrix_units() => Precision::Full,
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

/// Whether the CPU multiplies bfloat16 matrices (AMX). Without such units, bfloat16 is slower than
/// 32 bits: AVX-512's instruction for it does half the work per cycle, and older CPUs have none.
/// The kernel's list is read rather than the CPU asked: it leaves out what the kernel does not
/// allow.
fn has_matrix_units() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        amx_in(&about)
    })
}

fn amx_in(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().find_map(|line| line.strip_prefix("flags"));
    flags.is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "amx_bf16"))
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
    fn matrix_units_are_read_from_the_flags() {
        assert!(amx_in("model name\t: x\nflags\t\t: fpu amx_bf16 amx_tile\nbugs\t:\n"));
        assert!(!amx_in("flags\t\t: fpu avx512_bf16\nbugs\t: amx_bf16\n"));
        assert!(!amx_in(""));
    }

    #[test]
    fn the_wanted_numbers_win_over_the_faster_ones() {
        for wanted in [Precision::Full, Precision::Brain] {
            assert_eq!(Place::detect(Some(wanted)).precision(), wanted);
        }
    }
}
