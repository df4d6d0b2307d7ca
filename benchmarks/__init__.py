"""Measurements that stand behind docs/performance.md: `python -m benchmarks.<name> [--json]`."""
