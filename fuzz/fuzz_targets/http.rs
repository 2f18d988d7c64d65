#![no_main]

use geminus_core::model::Protocol;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for (method, body) in [("GET", Some("well")), ("GET", None), ("HEAD", None)] {
        geminus_fuzz::holds(&geminus_fuzz::http(method, body), Protocol::Tcp, data);
    }
});
