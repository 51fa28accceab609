//! The one hidden door through which tests, benches and fuzz targets reach inside.
