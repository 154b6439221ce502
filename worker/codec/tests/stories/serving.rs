//! The program's side of the protocol.

use std::io::Write;

use codec::wire;

use crate::encode;
use crate::picture::{assert_shown, made};
use crate::program::Program;

#[test]
fn images_are_answered_in_turn_until_the_input_ends() {
    let mut program = Program::start(&[]);
    let jpeg = encode::jpeg(700, 600);
    for _ in 0..3 {
        let thumbnails = program.ask(&jpeg).unwrap();
        assert_eq!(thumbnails, made(&jpeg));
        assert_shown(&thumbnails, 6);
        assert_eq!(program.ask(b"no image").unwrap_err().code, "not_an_image");
        assert_eq!(program.ask(b"").unwrap_err().code, "empty_image");
    }
    let (status, said) = program.end();
    assert!(status.success(), "{status}");
    assert_eq!(said, "");
}

#[test]
fn too_many_bytes_are_passed_over() {
    let mut program = Program::start(&[]);
    let refusal = program.ask(&vec![0xFF; codec::MAX_BYTES + 1]).unwrap_err();
    assert_eq!(refusal.code, "image_too_large");
    assert!(refusal.message.contains("26214401"), "{}", refusal.message);
    assert!(program.ask(&encode::jpeg(64, 64)).is_ok());
    // They were never held.
    assert!(program.peak() < 24 * 1024 * 1024, "{}", program.peak());
}

#[test]
fn settings_change_what_is_written() {
    let bytes = |arguments: &[&str]| {
        let thumbnails = Program::start(arguments).ask(&encode::jpeg(700, 600)).unwrap();
        thumbnails.images[1].webp.len()
    };
    assert!(bytes(&["--quality", "20"]) < bytes(&["--quality", "95", "--method", "6"]));
    for wrong in [&["--quality", "101"][..], &["--method", "7"], &["--size", "9"], &["--method"]] {
        let (status, said) = Program::start(wrong).end();
        assert_eq!(status.code(), Some(2));
        assert!(said.contains("usage: codec"), "{said}");
    }
}

#[test]
fn a_request_that_is_cut_off_ends_the_program() {
    for cut in [&[9, 0][..], &[9, 0, 0, 0, 1, 2], &[0xFF, 0xFF, 0xFF, 0xFF, 1]] {
        let mut program = Program::start(&[]);
        program.input().write_all(cut).unwrap();
        let (status, said) = program.end();
        assert_eq!(status.code(), Some(1));
        assert!(said.starts_with("codec: "), "{said}");
    }
}

#[test]
fn an_answer_that_lies_about_its_length_is_no_answer() {
    let line = |bytes: usize| {
        format!(
            "{{\"ok\":{{\"format\":\"png\",\"width\":9,\"height\":9,\"images\":[{{\"size\":256,\
             \"width\":9,\"height\":9,\"bytes\":{bytes}}}]}}}}\nab"
        )
    };
    assert_eq!(wire::read_answer(&mut line(2).as_bytes()).unwrap().unwrap().images[0].webp, b"ab");
    for lie in [line(3), line(wire::MAX_ANSWER), line(usize::MAX), "{}\n".into(), "x".repeat(9999)]
    {
        assert!(wire::read_answer(&mut lie.as_bytes()).is_err(), "{lie:.99}");
    }
}
