//! The fuzzers begin with what the tests have: kept true here, written by `UPDATE_CORPORA=1`.
#![allow(missing_docs, unreachable_pub, dead_code, reason = "a test")]

mod transcripts;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Longer ones are a few bytes over and over, which a fuzzer does without help.
const LONGEST: usize = 512;

fn corpora() -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    for case in transcripts::all().into_iter().filter(|case| case.server.len() <= LONGEST) {
        let word = case.advisor.word();
        let number = numbers.entry(word).or_default();
        // The first byte is the size of the pieces.
        let bytes = [&[7], case.server.as_slice()].concat();
        files.insert(Path::new(word).join(format!("{number:02}")), bytes);
        *number += 1;
    }
    files.insert("certificate/00".into(), include_bytes!("certificate.der").to_vec());
    files
}

#[test]
fn the_fuzzers_begin_with_every_transcript() {
    let own = env::var_os("CARGO_MANIFEST_DIR").expect("cargo test says where the package is");
    let folder = Path::new(&own).join("../../fuzz/corpus");
    for (file, bytes) in corpora() {
        let path = folder.join(&file);
        if env::var_os("UPDATE_CORPORA").is_some() {
            fs::create_dir_all(path.parent().expect("a file is in a directory")).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        let found = fs::read(&path).unwrap_or_default();
        assert!(found == bytes, "{} is out of date: run with UPDATE_CORPORA=1", file.display());
    }
}
