#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Err(fault) = geminus_advisor::expires_in(data, 1_769_904_000) {
        assert!(fault.words.len() <= 200 && fault.words.is_ascii());
    }
});
