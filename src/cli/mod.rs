//! The command line: one file per subcommand.

/// Runs the command line and answers the exit code: 0 fine, 1 the thing asked for failed, 2 usage
/// or start-up error.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(2)
}
