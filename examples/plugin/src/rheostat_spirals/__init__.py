"""Plug-ins for Rheostat: what to learn, what learns it, and two ways to move its learning rate.

`policy` and `schedule` import nothing but `rheostat_policies`, so that they can be tried without
torch; `model` and `data` are only imported where a run is built.
"""
