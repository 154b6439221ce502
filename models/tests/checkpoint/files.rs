//! Checkpoints that differ from those on disk.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

/// A copy of a folder.
pub fn copy(folder: &Path) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
    }
    dir
}

/// Changes a JSON file.
pub fn edit(file: &Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    change(&mut value);
    fs::write(file, value.to_string()).unwrap();
}

/// Puts the rows of a tensor of 32-bit numbers into another order: row i is the former `from[i]`.
pub fn permute(file: &Path, tensor: &str, from: &[usize]) {
    let mut bytes = fs::read(file).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let place = &header[tensor]["data_offsets"];
    let at = |end: usize| 8 + length + place[end].as_u64().unwrap() as usize;
    let old = bytes[at(0)..at(1)].to_vec();
    let row = old.len() / from.len();
    let new: Vec<u8> =
        from.iter().flat_map(|was| old[was * row..(was + 1) * row].to_vec()).collect();
    bytes[at(0)..at(1)].copy_from_slice(&new);
    // A new file: the old one may be mapped.
    fs::remove_file(file).unwrap();
    fs::write(file, bytes).unwrap();
}

/// A checkpoint as wide and deep as MiniLM-L6, thinner between its layers, with random weights and
/// the words of the small one.
pub fn write_minilm(folder: &Path) {
    const WIDTH: usize = 384;
    const INNER: usize = 32;
    const WORDS: usize = 320;
    let small = super::folder("embedding");
    fs::copy(small.join("vocab.txt"), folder.join("vocab.txt")).unwrap();
    fs::copy(small.join("config.json"), folder.join("config.json")).unwrap();
    edit(&folder.join("config.json"), |config| {
        config["hidden_size"] = json!(WIDTH);
        config["intermediate_size"] = json!(INNER);
        config["num_hidden_layers"] = json!(6);
        config["num_attention_heads"] = json!(12);
    });
    let mut tensors: Vec<(String, Vec<usize>)> = vec![
        ("embeddings.word_embeddings.weight".into(), vec![WORDS, WIDTH]),
        ("embeddings.position_embeddings.weight".into(), vec![128, WIDTH]),
        ("embeddings.token_type_embeddings.weight".into(), vec![2, WIDTH]),
    ];
    let mut pair = |name: String, shape: &[usize]| {
        tensors.push((format!("{name}.weight"), shape.to_vec()));
        tensors.push((format!("{name}.bias"), vec![shape[0]]));
    };
    pair("embeddings.LayerNorm".into(), &[WIDTH]);
    for layer in 0..6 {
        let of = |name: &str| format!("encoder.layer.{layer}.{name}");
        for name in ["attention.self.query", "attention.self.key", "attention.self.value"] {
            pair(of(name), &[WIDTH, WIDTH]);
        }
        pair(of("attention.output.dense"), &[WIDTH, WIDTH]);
        pair(of("attention.output.LayerNorm"), &[WIDTH]);
        pair(of("intermediate.dense"), &[INNER, WIDTH]);
        pair(of("output.dense"), &[WIDTH, INNER]);
        pair(of("output.LayerNorm"), &[WIDTH]);
    }
    let (mut header, mut data) = (serde_json::Map::new(), Vec::<u8>::new());
    let mut seed = 1_u64;
    for (name, shape) in tensors {
        let start = data.len();
        for _ in 0..shape.iter().product::<usize>() {
            // Xorshift: any numbers do, as long as they are the same ones every time.
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let unit = (seed >> 40) as f32 / (1_u64 << 24) as f32 - 0.5;
            let number = if name.contains("LayerNorm.weight") { 1.0 } else { 0.2 * unit };
            data.extend(f32::to_le_bytes(number));
        }
        let offsets = [start, data.len()];
        header.insert(name, json!({ "dtype": "F32", "shape": shape, "data_offsets": offsets }));
    }
    let mut header = Value::from(header).to_string();
    while header.len() % 8 != 0 {
        header.push(' ');
    }
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.extend(data);
    fs::write(folder.join("model.safetensors"), file).unwrap();
}
