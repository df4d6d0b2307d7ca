"""A policy in a program of its own: lowers the LR whenever the validation loss is over its best.

rheostat run examples/digits.yaml
python examples/remote_policy.py digits     # in a second terminal
"""

import math
import sys

from rheostat.client import Client

run, address = (*sys.argv[1:], "127.0.0.1:50051")[:2]
with Client(address) as client, client.connect_policy(run, "patient", every=500) as policy:
    best, factor = math.inf, 1.0
    for observation in policy:
        loss = observation.validation_loss or math.inf
        if loss > best:
            factor *= 0.8
            reason = f"validation loss {loss:.3g} is over its best of {best:.3g}"
            policy.answer(observation, factor=factor, ramp_steps=100, reason=reason)
        best = min(best, loss)
