//! Whether what was received is what a script expects.
