"""Where LR policies are learned: the environment, which is the trainer itself, and PPO on it.

Here live the gymnasium environment (ids are registered by importing this package), its tasks and
rewards, the training, and the way from a trained network to a policy file. Not here: what a learned
policy is made of and how it decides, which `rheostat_policies.learned` holds for both; and torch,
which is reached through the trainer's room and stable-baselines3. This room needs the extra `learn`
and may ask `client` and whatever lies below it. Nothing imports it but the command line, lazily.
"""

from rheostat.learning.registration import register

register()
