//! Parses and prints transcripts.
