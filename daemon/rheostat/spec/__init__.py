"""What to train: the spec, from text to a checked description of a run.

`loading` reads YAML or JSON, `validation` finds every mistake at once, `models` is the result, and
`resolving` and `arguments` turn names and keyword arguments into the plug-ins they stand for. What
only the model or the data can tell (parameter names, sample shapes) is the trainer's to check. May
ask `errors` and `rheostat_policies`; knows neither torch nor the daemon.
"""
