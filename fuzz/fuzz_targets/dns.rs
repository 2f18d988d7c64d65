#![no_main]

use geminus_core::model::{Advisor, DnsRecord, Protocol};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let advisor = Advisor::Dns { name: "www.example.org".to_owned(), record: DnsRecord::A };
    geminus_fuzz::holds(&advisor, Protocol::Tcp, data);
    // Over UDP there is no length in front.
    if let Some((_, message)) = data.split_at_checked(2) {
        geminus_fuzz::holds(&advisor, Protocol::Udp, message);
    }
});
