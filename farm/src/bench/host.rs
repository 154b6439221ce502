//! The machine: what it is, and what its processes cost.

use std::path::Path;
use std::time::Duration;

use jobs::process::Failure;

/// What the figures were measured on.
pub(super) fn describe() -> Vec<(String, String)> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    vec![
        ("CPU".to_owned(), model.map_or("unknown", |(_, model)| model).to_owned()),
        ("cores".to_owned(), cores().to_string()),
        ("Linux".to_owned(), kernel.trim().to_owned()),
        ("farm".to_owned(), format!("{} ({})", env!("CARGO_PKG_VERSION"), BUILD)),
    ]
}

const BUILD: &str =
    if cfg!(debug_assertions) { "debug build: figures mean nothing" } else { "release" };

pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// CPU time of a process, all its threads, and its children, those that have ended included.
///
/// # Errors
/// When it is gone.
pub(super) fn cpu(pid: u32) -> Result<Duration, Failure> {
    let mut total = ticks(pid, true)?;
    for child in children(pid) {
        // One that has ended by now is counted by its parent.
        total += ticks(child, false).unwrap_or(0);
    }
    Ok(time(total))
}

/// CPU time of a process and all its threads, without its children.
///
/// # Errors
/// When it is gone.
pub(super) fn cpu_alone(pid: u32) -> Result<Duration, Failure> {
    ticks(pid, false).map(time)
}

fn time(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
}

/// `sysconf(_SC_CLK_TCK)`: 100 on every Linux of the last decades.
const TICKS_PER_SECOND: u64 = 100;

/// From `/proc/<pid>/stat` (proc(5)): utime and stime, fields 14 and 15, and with `ended` those of
/// the children that were waited for, 16 and 17.
fn ticks(pid: u32, ended: bool) -> Result<u64, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .map_err(Failure::during(format!("process {pid}")))?;
    // The second field is the program's name in brackets, and may hold anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let times = fields.skip(11).take(if ended { 4 } else { 2 });
    Ok(times.filter_map(|time| time.parse::<u64>().ok()).sum())
}

fn children(pid: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    list.unwrap_or_default().split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Resident memory of a process in MiB: now, and the most it ever was.
pub(super) fn memory(pid: u32) -> Result<(f64, f64), Failure> {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"))
        .map_err(Failure::during(format!("process {pid}")))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.unwrap_or(f64::NAN) / 1_024.0
    };
    Ok((field("VmRSS:"), field("VmHWM:")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_cost_grows_with_our_work() {
        let me = std::process::id();
        let before = cpu(me).unwrap();
        let mut sum = 0_u64;
        while cpu(me).unwrap() < before + Duration::from_millis(20) {
            sum = std::hint::black_box((0..10_000_u64).fold(sum, u64::wrapping_add));
        }
        let (now, most) = memory(me).unwrap();
        assert!(now > 1.0 && most >= now, "{now} {most}");
        assert!(cpu_alone(me).unwrap() <= cpu(me).unwrap());
        assert!(cpu(u32::MAX).is_err());
    }
}
