"""What a learned policy is worth: the runs that are compared, how, and the page that tells it.

Everybody trains the same tasks from the same seeds: the controller on one setting, its base without
it, the 48 step-decays of Xu et al. (arXiv 1909.09712), the usual schedules with their peak chosen
on that very task, a controller that answers at random, and the mean of what the controller did,
replayed with closed eyes. What is tuned is tuned on seeds of its own, so nobody is judged by lucky
ones.
"""
