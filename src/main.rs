//! The `portico` command.

fn main() -> std::process::ExitCode {
    portico::cli::main()
}
