//! How much memory can still be had.

use std::fs::read_to_string;

/// Bytes that can still be had: of the machine, or of the control group where that has less.
/// `None` where nothing tells (no Linux). Cached files count as free: their pages can be dropped.
pub fn available() -> Option<u64> {
    let machine = of_machine(&read_to_string("/proc/meminfo").ok()?);
    let of = |name: &str| read_to_string(format!("/sys/fs/cgroup/{name}")).unwrap_or_default();
    let group = of_group(&of("memory.max"), &of("memory.current"), &of("memory.stat"));
    [machine, group].into_iter().flatten().min()
}

fn of_machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

fn of_group(max: &str, current: &str, stat: &str) -> Option<u64> {
    let max: u64 = max.trim().parse().ok()?; // "max": no limit
    let current: u64 = current.trim().parse().ok()?;
    let of = |name: &str| -> u64 {
        let line = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|number| number.parse().ok()).unwrap_or(0)
    };
    let droppable = of("inactive_file") + of("active_file");
    Some(max.saturating_sub(current.saturating_sub(droppable)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_what_is_available() {
        let meminfo = "MemTotal:       24000000 kB\nMemAvailable:    1000 kB\nBuffers: 3 kB\n";
        assert_eq!(of_machine(meminfo), Some(1_024_000));
        assert_eq!(of_machine("MemTotal: 3 kB\n"), None);
    }

    #[test]
    fn a_group_has_what_is_left_of_its_limit_and_its_cached_files() {
        let stat = "anon 700\nfile 300\ninactive_file 200\nactive_file 100\n";
        assert_eq!(of_group("2000\n", "1000\n", stat), Some(1_300));
        assert_eq!(of_group("500\n", "1000\n", stat), Some(0));
        assert_eq!(of_group("max\n", "1000\n", stat), None);
        assert_eq!(of_group("", "", ""), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_has_some() {
        assert!(available().unwrap() > 1 << 20);
    }
}
