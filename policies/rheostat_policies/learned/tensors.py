"""Arrays in a file, in the safetensors format: a length, a JSON header, then the numbers.

The format is read and written here by hand, because this ground floor imports nothing but numpy,
and because a reader of this size can be seen to execute nothing. See the format's own page:
github.com/huggingface/safetensors.
"""

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.float32]]

MAX_HEADER_BYTES = 2**24
_METADATA = "__metadata__"
_ALIGNMENT = 8


def pack(arrays: Arrays, metadata: Mapping[str, str]) -> bytes:
    """Return the file of some float32 arrays and texts; the same ones give the same bytes."""
    header: dict[str, Any] = {_METADATA: dict(sorted(metadata.items()))}
    body = b""
    for name, array in sorted(arrays.items()):
        content = np.ascontiguousarray(array, dtype="<f4").tobytes()
        offsets = [len(body), len(body) + len(content)]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": offsets}
        body += content
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return struct.pack("<Q", len(text)) + text + body


def unpack(content: bytes) -> tuple[dict[str, NDArray[np.float32]], dict[str, str]]:
    """Return the arrays and the texts of a file.

    Raises:
        ValueError: if it is no such file, is damaged, or holds other numbers than float32.
    """
    if len(content) < 8:
        raise ValueError(f"it has {len(content)} bytes, too few for a safetensors file")
    (length,) = struct.unpack("<Q", content[:8])
    if length > min(MAX_HEADER_BYTES, len(content) - 8):
        raise ValueError("it is no safetensors file: its header would be longer than itself")
    try:
        header = json.loads(content[8 : 8 + length])
        metadata = dict(header.pop(_METADATA, {}))
        arrays = {name: _array(content[8 + length :], entry) for name, entry in header.items()}
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"its safetensors header is damaged: {error}") from error
    return arrays, metadata


def _array(body: bytes, entry: Mapping[str, Any]) -> NDArray[np.float32]:
    if entry["dtype"] != "F32":
        raise ValueError(f"it holds numbers of type {entry['dtype']}, and only F32 is read")
    begin, end = entry["data_offsets"]
    if not 0 <= begin <= end <= len(body):
        raise ValueError("it is truncated: its header names numbers beyond its end")
    # A copy, so that the whole file is not kept for its sake, aligned and in native order.
    return np.frombuffer(body[begin:end], dtype="<f4").astype(np.float32).reshape(entry["shape"])
