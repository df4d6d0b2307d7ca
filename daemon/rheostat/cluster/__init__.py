"""Kubernetes: runs as custom resources, and the way to daemons that live in pods.

`reconciling`, `changing`, `status`, `story` and `events` decide, and know neither network nor
clock; `caretaker` and `controller` carry out, on the daemon's event loop, through `calling`. An API
server that is slow or away delays what it is told and nothing else: no trainer ever waits for it.
This is the only room that imports kubernetes, and only when it is used. It asks runs, steering and
spec, never api or client.
"""
