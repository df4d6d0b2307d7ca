"""A policy that is benched soon."""


class Stumbling:
    def initial_state(self, run):
        return None

    def decide(self, state, observation):
        raise RuntimeError("I know nothing")
