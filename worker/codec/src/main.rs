//! The codec as a program: images on its input, thumbnails on its output, until the input ends.
//!
//! Before it reads anything it gives up what it will not need: memory beyond a limit, and core
//! files. Before each image it gives itself two seconds of CPU time. Who runs it has to expect that
//! it ends at any time, and to start another.

use std::io::{self, BufReader, BufWriter};
use std::panic;
use std::process::ExitCode;

use codec::wire::{self, Request};
use codec::{CodecError, Settings, Thumbnails};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Address space that the process can never have more of.
const ADDRESS_SPACE: u64 = 384 * 1024 * 1024;

/// What it has beside an image that takes all it may: buffers of its own.
const ASIDE: u64 = 10 * 1024 * 1024;

/// CPU time for an image, in seconds.
const SECONDS: u64 = 2;

fn main() -> ExitCode {
    let settings = match settings(std::env::args().skip(1)) {
        Ok(settings) => settings,
        Err(message) => {
            eprintln!("codec: {message}\nusage: codec [--quality 0-100] [--method 0-6]");
            return ExitCode::from(2);
        }
    };
    match serve(settings) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody is there to be answered any more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("codec: {error}");
            ExitCode::FAILURE
        }
    }
}

fn settings(mut arguments: impl Iterator<Item = String>) -> Result<Settings, String> {
    let mut settings = Settings::default();
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} has no value"))?;
        let wrong = || format!("{name} cannot be {value}");
        match name.as_str() {
            "--quality" => {
                let quality = value.parse().ok().filter(|quality| (0.0..=100.0).contains(quality));
                settings.quality = quality.ok_or_else(wrong)?;
            }
            "--method" => {
                let method = value.parse().ok().filter(|method| *method <= 6);
                settings.method = method.ok_or_else(wrong)?;
            }
            _ => return Err(format!("there is no {name}")),
        }
    }
    Ok(settings)
}

fn serve(settings: Settings) -> io::Result<()> {
    lower(Resource::As, ADDRESS_SPACE)?;
    lower(Resource::Core, 0)?;
    codec::return_memory();
    confine()?;
    // A decoder that panics is answered for; what it says is for nobody.
    panic::set_hook(Box::new(|_| {}));
    let mut input = BufReader::new(io::stdin().lock());
    let mut output = BufWriter::new(io::stdout().lock());
    loop {
        allow(SECONDS)?;
        let answer = match wire::read_request(&mut input)? {
            None => return Ok(()),
            Some(Request::TooLarge(bytes)) => Err(CodecError::TooManyBytes { bytes }),
            Some(Request::Image(image)) => thumbnails(&image, settings),
        };
        wire::write_answer(&mut output, &answer)?;
    }
}

fn thumbnails(image: &[u8], settings: Settings) -> Result<Thumbnails, CodecError> {
    let made = panic::catch_unwind(|| codec::thumbnails(image, &settings));
    made.unwrap_or_else(|_| Err(CodecError::panicked(image)))
}

/// Lowers a limit for good, unless it is lower already.
fn lower(resource: Resource, most: u64) -> io::Result<()> {
    let now = getrlimit(resource);
    let most = |limit: Option<u64>| Some(limit.map_or(most, |limit| limit.min(most)));
    setrlimit(resource, Rlimit { current: most(now.current), maximum: most(now.maximum) })?;
    Ok(())
}

/// Keeps the process as small as its start and one image let it be. What a decoder takes beyond its
/// estimate is then refused to it.
fn confine() -> io::Result<()> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let start = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    // Told by Linux alone.
    let Some(start) = start else { return Ok(()) };
    let most = start * 1024 + codec::MAX_MEMORY + ASIDE;
    let now = getrlimit(Resource::As);
    let current = Some(now.current.map_or(most, |limit| limit.min(most)));
    setrlimit(Resource::As, Rlimit { current, maximum: now.maximum })?;
    Ok(())
}

/// Lets the process be ended by the system when it has used so many seconds more.
fn allow(seconds: u64) -> io::Result<()> {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let used = used.tv_sec as u64 + u64::from(used.tv_nsec > 0);
    let maximum = getrlimit(Resource::Cpu).maximum;
    let current = maximum.map_or(used + seconds, |maximum| maximum.min(used + seconds));
    setrlimit(Resource::Cpu, Rlimit { current: Some(current), maximum })?;
    Ok(())
}
