#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portico::testing::fuzz::mailbox_page(data));
