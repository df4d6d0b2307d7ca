"""The trainer: the process that trains one run, and the only room that imports torch.

Started by the daemon as `python -m rheostat.trainer`, it builds what the spec says, steps the
optimizer, lets `steering` decide every LR at the step boundary, and talks to the daemon over one
UNIX socket without ever waiting for it. No thread runs beside the loop but torch's own loaders.
"""
