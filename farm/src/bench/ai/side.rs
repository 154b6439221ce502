//! One way to answer, measured in a process of its own: libtorch's threads are the process's, and
//! nobody's weights warm another's caches.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use jobs::process::Failure;
use models::Prepared;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::task::{On, Task, captions};
use super::{ours, stock};

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Who {
    /// Our engine.
    Ours,
    /// rust-bert's pipelines.
    Stock,
    /// Nobody: what one core multiplies, times the cores.
    Matmul,
    /// Our engine loads its models, answers once and waits: for measures of memory.
    Load,
}

impl Who {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Stock => "stock",
            Self::Matmul => "matmul",
            Self::Load => "load",
        }
    }
}

/// What to measure.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[arg(value_enum)]
    who: Who,
    #[arg(value_enum)]
    task: Task,
    #[command(flatten)]
    on: On,
    #[arg(long)]
    seconds: u16,
}

/// What came of it; a line on standard output.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Rate {
    /// Captions answered; of matrix products, products.
    pub(crate) captions: usize,
    /// Seconds it took.
    pub(crate) seconds: f64,
    /// Floating-point operations in matrix products, where they were counted.
    pub(super) operations: u64,
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let Options { who, task, on, seconds } = options.clone();
    let time = Duration::from_secs(seconds.into());
    let file = std::fs::read_to_string(&on.captions).map_err(Failure::during("the captions"))?;
    let captions = captions(&file).map_err(Failure::during("the captions"))?;
    let rate = if who == Who::Ours {
        ours::rate(&on, task, &captions, time).await?
    } else {
        let measured = tokio::task::spawn_blocking(move || match who {
            Who::Matmul => Ok(matmul(time)),
            Who::Load => load(&on, task, &captions),
            Who::Ours | Who::Stock => stock::rate(&on, task, &captions, time),
        });
        measured.await.map_err(Failure::during("the measure"))??
    };
    let line = serde_json::to_string(&rate).map_err(Failure::during("the answer"))?;
    crate::commands::out::print(&line)
}

/// Loads, answers, says so, and waits for the end of standard input.
fn load(on: &On, task: Task, captions: &[String]) -> Result<Rate, Failure> {
    models::nets::one_thread_each();
    let began = Instant::now();
    let mut analyzer = ours::load(on, task).map_err(Failure::during("loading"))?;
    let seconds = began.elapsed().as_secs_f64();
    let some: Vec<_> = captions.iter().take(2).map(|text| Prepared::of(text, &[])).collect();
    let answers = analyzer.analyze(&some);
    let mut out = std::io::stdout();
    let told = writeln!(out, "ready {}", analyzer.bytes()).and_then(|()| out.flush());
    told.map_err(Failure::during("nobody listens"))?;
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    Ok(Rate { captions: answers.len(), seconds, operations: 0 })
}

/// Products of the size of BART's feed-forward layers for 512 tokens, in the numbers that nets
/// compute with here, on a thread per core that each compute alone.
fn matmul(time: Duration) -> Rate {
    const SIZE: (i64, i64, i64) = (512, 1_024, 4_096);
    models::nets::one_thread_each();
    let (rows, inner, columns) = SIZE;
    let brain = models::nets::Place::detect(None).precision() == models::nets::Precision::Brain;
    let kind = if brain { Kind::BFloat16 } else { Kind::Float };
    let began = Instant::now();
    let one = || {
        let x = Tensor::randn([rows, inner], (kind, Device::Cpu));
        let weight = Tensor::randn([columns, inner], (kind, Device::Cpu));
        let mut done = 0;
        while began.elapsed() < time {
            let _ = x.linear::<Tensor>(&weight, None);
            done += 1;
        }
        done
    };
    let products: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..crate::bench::host::cores()).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_default()).sum()
    });
    let operations = products as u64 * (2 * rows * inner * columns) as u64;
    Rate { captions: products, seconds: began.elapsed().as_secs_f64(), operations }
}
