//! What a program is linked from: the front door and the scheduler without models.
//!
//! `deny.toml` says who may depend on a crate directly (`wrappers`), which keeps `models` with the
//! worker; this looks at the whole graph below a program, however a crate got there.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::process::Command;

/// Names of all packages below one, as cargo would build it alone for this machine.
#[allow(clippy::disallowed_methods)] // the build that runs the test, not a setting of the farm
fn below(package: &str) -> BTreeSet<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut tree = Command::new(cargo);
    tree.args(["tree", "--locked", "--offline", "--edges", "normal,build", "--prefix", "none"]);
    tree.args(["--format", "{p}", "--package", package]);
    let tree = tree.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let names = String::from_utf8(tree.stdout).unwrap();
    names.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// Our models, what they are made with, and whatever binds libtorch.
fn is_model_runtime(package: &str) -> bool {
    matches!(package, "models" | "tch" | "rust-bert" | "torch-sys" | "ort" | "candle-core")
}

#[test]
fn the_api_and_the_scheduler_link_no_models() {
    for program in ["api", "scheduler"] {
        let below = below(program);
        assert!(below.contains(program) && below.contains("entity"), "{program}: {below:?}");
        let models: Vec<_> = below.iter().filter(|name| is_model_runtime(name)).collect();
        assert!(models.is_empty(), "{program} is built with {models:?}");
    }
    // And this would be seen.
    assert!(below("worker").iter().any(|name| is_model_runtime(name)));
}
