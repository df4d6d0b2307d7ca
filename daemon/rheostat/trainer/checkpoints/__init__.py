"""Everything a run is, on the disk and back: what a trainer captures, writes and restores.

The layout of a checkpoint's folder and its manifest are the daemon's too and stand in
`runs/checkpoints.py`. Nothing here decides when to save; that is the loop's business. No file is
ever unpickled: tensors are safetensors, the rest is JSON.
"""
