//! THE REGISTRY: one row per service.
