"""Benchmarks for asv; fixtures and ways of measuring are those of `asap bench`."""
