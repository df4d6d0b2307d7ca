"""What a learned policy is made of: what it sees, a network, what its answer means, its file.

The policy itself is `rheostat_policies.feedback.learned`. The environment it is trained in uses the
same modules, so that what is learned is what is deployed. Not here: training, torch, gymnasium.
This room may ask `rheostat_policies.api` alone.
"""
