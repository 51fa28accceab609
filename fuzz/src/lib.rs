//! What the targets share. Everything else is in `portico::testing::fuzz`.

/// Plays one conversation in a runtime of its own, whose clock is paused: hours pass at once.
pub fn play(conversation: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("the system has what a runtime needs").block_on(conversation);
}
