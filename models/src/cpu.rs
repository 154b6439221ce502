//! Which numbers this CPU multiplies faster.

use std::sync::OnceLock;

/// Whether products of bfloat16 matrices take less time here than those of 32 bits.
///
/// They do with matrix units (AMX), and on AMD's CPUs with AVX-512's instruction for it, which runs
/// there at full width: 2.2 to 2.4 times as fast, measured on a Zen 4. On Intel's without AMX the
/// same instruction does half the work per cycle, and was 1.6 to 2 times slower; older CPUs have
/// none. The kernel's list is read rather than the CPU asked: it leaves out what the kernel does
/// not allow.
pub fn prefers_bfloat16() -> bool {
    about().prefers_bfloat16
}

/// Whether this CPU has matrix units for bfloat16 (AMX).
pub fn has_matrix_units() -> bool {
    about().has_matrix_units
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct About {
    has_matrix_units: bool,
    prefers_bfloat16: bool,
}

fn about() -> About {
    static FOUND: OnceLock<About> = OnceLock::new();
    *FOUND.get_or_init(|| read(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default()))
}

fn read(cpuinfo: &str) -> About {
    let of = |field| cpuinfo.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    let (flags, vendor) = (of("flags"), of("vendor_id"));
    let has = |wanted: &str| flags.split_whitespace().any(|flag| flag == wanted);
    let has_matrix_units = has("amx_bf16");
    let at_full_width = vendor.contains("AuthenticAMD") && has("avx512_bf16");
    About { has_matrix_units, prefers_bfloat16: has_matrix_units || at_full_width }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_from_the_vendor_and_the_flags() {
        let cpu = |vendor: &str, flags: &str| {
            format!("processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: fpu {flags} sse\nbugs\t:\n")
        };
        let of = |cpuinfo: &str| {
            let about = read(cpuinfo);
            (about.prefers_bfloat16, about.has_matrix_units)
        };
        assert_eq!(of(&cpu("GenuineIntel", "avx512_bf16 amx_bf16 amx_tile")), (true, true));
        assert_eq!(of(&cpu("AuthenticAMD", "avx512_bf16 avx512_vnni")), (true, false));
        assert_eq!(of(&cpu("GenuineIntel", "avx512_bf16 amx_tile")), (false, false));
        assert_eq!(of(&cpu("AuthenticAMD", "avx2")), (false, false));
        assert_eq!(of("flags\t\t: fpu avx2\nbugs\t: amx_bf16\n"), (false, false));
        assert_eq!(of(""), (false, false));
    }
}
