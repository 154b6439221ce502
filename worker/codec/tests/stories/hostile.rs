//! Bytes that are meant to cost, to crash or to mislead: all through one program, with a good image
//! after each. What one of them takes is printed; that it is little is asserted of memory alone.

mod animations;
mod heavy;
mod jpegs;
mod pngs;
mod strangers;
mod tiffs;

use crate::encode;
use crate::picture::made;
use crate::program::Program;

/// What is wrong, with which bytes, and what comes of them: thumbnails, or the code of a refusal.
type Case = (&'static str, Vec<u8>, &'static str);

/// There are thumbnails.
const MADE: &str = "made";
const CORRUPT: &str = "corrupt_image";
const LARGE: &str = "image_too_large";
const COMPLEX: &str = "image_too_complex";
const UNSUPPORTED: &str = "unsupported_format";

/// The most memory the program may hold, in bytes.
const MOST: u64 = 64_000_000;

/// Cut off after these parts of a hundred, and before the last two bytes.
fn cuts(name: &'static str, bytes: &[u8]) -> Vec<Case> {
    let ends = [10, 50, 90].map(|part| (bytes.len() * part / 100).max(24));
    let cut = |end: usize| (name, bytes[..end].to_vec(), CORRUPT);
    [24].into_iter().chain(ends).chain([bytes.len() - 2]).map(cut).collect()
}

fn through_the_program(cases: Vec<Case>) {
    let good = encode::jpeg(320, 300);
    let wanted_of_good = made(&good);
    let mut program = Program::start(&[]);
    let mut failed = Vec::new();
    for (name, bytes, wanted) in &cases {
        let before = program.seconds();
        let answer = program.ask(bytes);
        let spent = program.seconds() - before;
        let outcome = answer.as_ref().map_or_else(|refusal| &refusal.code[..], |_| MADE);
        let message = answer.as_ref().map_or_else(|refusal| &refusal.message[..], |_| "");
        let (length, peak) = (bytes.len(), program.peak() / 1_000_000);
        println!("{spent:6.3} s {peak:3} MB {length:9} bytes  {name}: {outcome} {message}");
        if outcome != *wanted {
            failed.push(format!("{name}: {outcome} instead of {wanted}: {message}"));
        }
        assert_eq!(program.ask(&good).as_ref(), Ok(&wanted_of_good), "after {name}");
    }
    assert!(failed.is_empty(), "{failed:#?}");
    let peak = program.peak();
    assert!(peak < MOST, "it held {peak} bytes");
    let (status, said) = program.end();
    assert!(status.success(), "{status}");
    assert_eq!(said, "", "a bad image is nothing to log");
}
