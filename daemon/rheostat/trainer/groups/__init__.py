"""Param groups: every trainable parameter in exactly one, by its name in the model.

`places` says which parameter an entry of the spec wants and on what terms, with the layers counted
by `layers`; `modifiers` change those terms for some shapes and names; `merging` makes one group of
those that ended up equal; `making` puts the four together. Not here: optimizers, which are made
over the groups, and schedules. This room may ask `spec`, `runs` for its records, and `errors`.
"""

from rheostat.trainer.groups.making import make_groups
from rheostat.trainer.groups.records import ParamGroup

__all__ = ["ParamGroup", "make_groups"]
