"""Rheostat: a training daemon whose learning rate can be changed while it trains.

Rooms, looking only down: cli > app > client > trainer | api | telemetry > runs > steering > spec >
errors > rheostat_policies. `v1` holds the generated gRPC code that api and client share.
"""
