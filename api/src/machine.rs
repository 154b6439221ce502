//! How full the machine is that a process runs on.

use std::collections::VecDeque;
use std::path::Path;

use sysinfo::System;

/// Looks at the processors are averaged over so many samples: about a minute.
const LOOKS: usize = 12;

/// How full the machine is, each in percent; null where it does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Fullness {
    /// Busy processors, over the last minute.
    pub(crate) cpu: Option<f64>,
    /// Memory, of the container when it has a limit.
    pub(crate) memory: Option<f64>,
    /// The disk with the data dir.
    pub(crate) disk: Option<f64>,
}

/// What remembers earlier looks.
#[derive(Debug)]
pub(crate) struct Machine {
    system: Option<System>,
    busy: VecDeque<f64>,
}

impl Default for Machine {
    fn default() -> Self {
        let mut system = System::new().ok();
        // The next look has something to compare with.
        if let Some(system) = &mut system {
            system.refresh_cpu_usage();
        }
        Self { system, busy: VecDeque::new() }
    }
}

impl Machine {
    /// Looks. It reads files of the kernel, none of which waits for a disk.
    pub(crate) fn look(&mut self, data_dir: &Path) -> Fullness {
        let disk = disk(data_dir);
        let Some(system) = &mut self.system else {
            return Fullness { disk, ..Fullness::default() };
        };
        system.refresh_memory();
        system.refresh_cpu_usage();
        self.busy.push_back(f64::from(system.global_cpu_usage()));
        if self.busy.len() > LOOKS {
            self.busy.pop_front();
        }
        let cpu = self.busy.iter().sum::<f64>() / self.busy.len().max(1) as f64;
        let (total, free) = match system.cgroup_limits() {
            Some(limits) if limits.total_memory < system.total_memory() => {
                (limits.total_memory, limits.free_memory)
            }
            _ => (system.total_memory(), system.available_memory()),
        };
        Fullness { cpu: Some(cpu), memory: used(total, free), disk }
    }
}

fn disk(path: &Path) -> Option<f64> {
    let found = rustix::fs::statvfs(path).ok()?;
    used(found.f_blocks, found.f_bavail)
}

/// Percent of a total that is not free.
fn used(total: u64, free: u64) -> Option<f64> {
    (total > 0).then(|| 100.0 * total.saturating_sub(free) as f64 / total as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_tells_how_full_it_is() {
        let mut machine = Machine::default();
        let fullness = machine.look(Path::new("/"));
        for percent in [fullness.cpu, fullness.memory, fullness.disk] {
            assert!((0.0..=100.0).contains(&percent.unwrap()), "{fullness:?}");
        }
        assert_eq!(machine.look(Path::new("/nowhere/at/all")).disk, None);
        assert_eq!((used(200, 50), used(0, 0)), (Some(75.0), None));
    }
}
