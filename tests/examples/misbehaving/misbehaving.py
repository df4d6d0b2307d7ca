"""Policies of people who made mistakes, each for so many steps; then they halve the LR, once."""

import time
from contextlib import suppress

from rheostat_policies import KEEP, Action


class Misbehaving:
    """Misbehaves in the way of a subclass in the steps before `until`."""

    def __init__(self, *, until: int):
        self.until = until

    def initial_state(self, run):
        return "before"

    def decide(self, state, observation):
        if observation.step < self.until:
            return self.misbehave(state)
        if state == "before":
            return Action(factor=0.5, reason="well behaved"), "after"
        return KEEP, state


class Raising(Misbehaving):
    def misbehave(self, state):
        raise RuntimeError("I know no state but my own")


class Sleeping(Misbehaving):
    def misbehave(self, state):
        time.sleep(0.15)
        return Action(factor=0.1), "overslept"


class Hanging(Misbehaving):
    def misbehave(self, state):
        while True:
            with suppress(Exception):
                time.sleep(60)


class Babbling(Misbehaving):
    def misbehave(self, state):
        return Action(factor=float("nan")), "babbled"
