//! A full tier that fits into a test: the small checkpoints with random weights that the nets are
//! compared with. What they answer means nothing, but they answer the same thing every time.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use models::store::sha256;

/// Where they are kept.
const FROM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/tests/data/tiny");
/// Files that lie beside them for other tests.
const NOT_THEIRS: [&str; 2] = ["golden.json", "tokens.json"];

/// Fills a cache of models: the checkpoints, and the registry that pins them by checksum.
///
/// # Panics
/// When it cannot be written.
pub fn write(cache: &Path) {
    let revision = "0".repeat(40);
    let mut registry = String::new();
    for (task, labels, template) in [
        ("sentiment", "config.json", ""),
        ("language", "config.json", ""),
        ("zero-shot", "categories", "template = \"This example is {}.\"\n"),
    ] {
        let to = cache.join(format!("small--{task}")).join(&revision);
        fs::create_dir_all(&to).unwrap();
        let mut files = String::new();
        for file in fs::read_dir(Path::new(FROM).join(task)).unwrap() {
            let from = file.unwrap().path();
            let name = from.file_name().unwrap().to_str().unwrap().to_owned();
            if NOT_THEIRS.contains(&name.as_str()) {
                continue;
            }
            fs::copy(&from, to.join(&name)).unwrap();
            let (size, sum) = (from.metadata().unwrap().len(), sha256(&from).unwrap());
            // A String takes everything.
            let _ =
                writeln!(files, "    {{ name = \"{name}\", size = {size}, sha256 = \"{sum}\" }},");
        }
        let _ = writeln!(
            registry,
            "[[full]]\ntask = \"{task}\"\nrepository = \"small/{task}\"\nrevision = \"{revision}\"\n\
             licence = \"MIT\"\nlabels = \"{labels}\"\n{template}files = [\n{files}]\n"
        );
    }
    fs::write(cache.join("models.toml"), registry).unwrap();
}
