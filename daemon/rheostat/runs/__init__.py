"""Runs: their lifecycle, their store, their trainers, and everything that is known of them.

The middle of the daemon. `service` is its face: the API asks it, telemetry reads it. It starts
trainer processes and talks to them (`supervisor`, `link`), writes every decision down before anyone
hears of it (`store`, `audit`), and knows nothing of gRPC, HTTP or torch. It may ask `steering` and
`spec` for what a change and a spec are.
"""
