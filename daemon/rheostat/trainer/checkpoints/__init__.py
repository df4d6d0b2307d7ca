"""A run's state between two steps: gathered, copied, written, read, and brought back."""
