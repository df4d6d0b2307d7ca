"""Several processes that train one run: rank 0 leads, the others follow.

Torch's elastic launcher starts them (`launching`). Rank 0 is the trainer that everybody knows, with
`Leading` in the place of `Alone`; at each boundary it says one word to all (`words`), and a
`Follower` carries it out. What they exchange goes through a `Gang`.
"""
