"""The proof of what docs/performance.md says. `make bench`, or `python -m benchmarks --help`."""
