//! The settings: reads `portico.toml`, `--set` and `PORTICO_*`, and checks them.
