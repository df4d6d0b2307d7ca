"""The `rheostat` command: one file per noun, and what they share.

Verbs read their arguments, ask the client, and print: for people on a terminal, or as the JSON that
scripts rely on (`shapes.py`). Nothing is decided here. Torch, gRPC and matplotlib are imported by
the verbs that need them, so that `rheostat --help` answers at once. May ask every other room.
"""
