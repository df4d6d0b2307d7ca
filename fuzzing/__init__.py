"""Input that nobody would send, for everything that reads input: what `make test-fuzz` runs."""
