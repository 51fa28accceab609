#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portico_fuzz::play(portico::testing::fuzz::relay_conversation(data)));
