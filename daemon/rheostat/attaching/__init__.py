"""Training loops that are not ours: a few lines make any PyTorch script a run that can be steered.

The script's own scheduler goes on to say what the LR is to be, and is read as the base; the LR
that the composition law makes of it stands in the optimizer while `optimizer.step` runs, and at no
other time. So no scheduler sees a value that is not its own, whatever it does with it.

The same steering, link, rows and records as the trainer's loop has; what the daemon is asked for
beyond LRs is done where the script says how, and refused with the reason elsewhere.
"""

from rheostat.attaching.attaching import attach
from rheostat.attaching.run import AttachedRun, Stopped

__all__ = ["AttachedRun", "Stopped", "attach"]
