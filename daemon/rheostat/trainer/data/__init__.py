"""What a run trains on: files turned into tensors, split, and dealt out in batches.

Here live the readers of the known data sets, the fixed split, and the batches the loop draws from.
Not here: the loop, models, and anything that downloads. This room may ask `spec` and `errors`;
its neighbour `models` asks it for the shape of the data and for `factories`.
"""

from rheostat.trainer.data.loading import load_data
from rheostat.trainer.data.records import (
    Data,
    DataDescription,
    ResidentSplit,
    Split,
    StreamedSplit,
    TextDescription,
)

__all__ = [
    "Data",
    "DataDescription",
    "ResidentSplit",
    "Split",
    "StreamedSplit",
    "TextDescription",
    "load_data",
]
