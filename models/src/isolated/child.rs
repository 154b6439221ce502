//! The other process, from inside.

use std::io;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::wire::{self, Said};
use crate::analysis::Analyzer;
use crate::engine::{LoadError, Progress};
use crate::load;
use crate::store::Store;
use crate::text::Prepared;
use crate::tier::{Tier, Wanted};

/// First argument of a program that is called as the process of an analyzer. The tier, the folder
/// of the models and, if there is one, the registry's file follow.
pub const CALL: &str = "ai-analyzer";

/// How often it is said how far loading has come.
const TELL: Duration = Duration::from_millis(100);

/// What makes the kernel, when memory ends, end this process rather than the worker: added to its
/// score, out of 1,000.
const OOM_SCORE: &str = "500";

/// Calls this program as the process of an analyzer.
pub(crate) fn call(tier: Tier, cache: &Path, registry: Option<&Path>) -> Command {
    // The program that runs, also when its file was replaced meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.arg(CALL).arg(tier.as_str()).arg(cache).args(registry);
    // Ctrl-C is for the worker, which ends what is under way before it stops.
    command.process_group(0);
    command
}

/// Serves as the process of an analyzer, when the program was called so; to be asked first of all.
pub fn main() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != CALL {
        return None;
    }
    let tier = arguments.next().and_then(|word| word.to_str()?.parse().ok());
    let (cache, registry) = (arguments.next().map(PathBuf::from), arguments.next());
    let (Some(Wanted::Tier(tier)), Some(cache)) = (tier, cache) else {
        eprintln!("{CALL}: which tier, and where are its models?");
        return Some(ExitCode::from(2));
    };
    end_with_the_worker();
    // A panic's own words may quote a caption.
    std::panic::set_hook(Box::new(|panic| eprintln!("{CALL}: panicked at {:?}", panic.location())));
    let registry = registry.map(PathBuf::from);
    let store = Store::open(cache, registry.as_deref());
    let store = store.map_err(|error| LoadError::Failed(error.to_string()));
    match serve(|progress| load::verified_before(&store?, tier, progress)) {
        Ok(()) => Some(ExitCode::SUCCESS),
        // Nobody is there to be answered any more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Some(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("{CALL}: {error}");
            Some(ExitCode::FAILURE)
        }
    }
}

/// A worker that is killed closes nothing that a computing process would notice.
fn end_with_the_worker() {
    use rustix::process::{Signal, set_parent_process_death_signal};
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        eprintln!("{CALL}: would outlive its worker: {error}");
    }
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
}

/// Loads, then answers each batch of the input until it ends.
fn serve(load: impl FnOnce(&Progress) -> Result<Box<dyn Analyzer>, LoadError>) -> io::Result<()> {
    let mut output = io::stdout();
    let mut analyzer = match loaded(load) {
        Ok(analyzer) => analyzer,
        Err(error) => return wire::write(&mut output, &Said::NotLoaded(error)),
    };
    let (models, bytes) = (analyzer.models(), analyzer.bytes());
    wire::write(&mut output, &Said::Loaded { models, bytes })?;
    let mut input = io::stdin().lock();
    while let Some(captions) = wire::read::<Vec<Prepared>>(&mut input)? {
        let answers = catch_unwind(AssertUnwindSafe(|| analyzer.analyze(&captions)));
        wire::write(&mut output, &answers.map_or(Said::Panicked, Said::Answers))?;
    }
    Ok(())
}

/// Loads on this thread, which will compute, while another says how far that has come.
fn loaded(
    load: impl FnOnce(&Progress) -> Result<Box<dyn Analyzer>, LoadError>,
) -> Result<Box<dyn Analyzer>, LoadError> {
    let (progress, done) = (Progress::default(), AtomicBool::new(false));
    let tell = || {
        let mut told = 0;
        while !done.load(Ordering::Relaxed) {
            let percent = progress.percent();
            if percent != told && wire::write(&mut io::stdout(), &Said::Progress(percent)).is_err()
            {
                break;
            }
            told = percent;
            std::thread::sleep(TELL);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(tell);
        let loaded = catch_unwind(AssertUnwindSafe(|| load(&progress)));
        done.store(true, Ordering::Relaxed);
        loaded.unwrap_or_else(|_| Err(LoadError::Failed("panicked while loading".to_owned())))
    })
}
