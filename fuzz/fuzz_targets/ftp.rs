#![no_main]

use geminus_core::model::{Advisor, Protocol};

libfuzzer_sys::fuzz_target!(|data: &[u8]| geminus_fuzz::holds(&Advisor::Ftp, Protocol::Tcp, data));
