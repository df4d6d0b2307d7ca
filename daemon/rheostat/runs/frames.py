"""Messages as bytes on a stream: a 4-byte big-endian length, then that many bytes of msgpack."""

from typing import Any, Generic, TypeVar

import msgspec

from rheostat.runs.messages import Message, ToDaemon, ToTrainer

T = TypeVar("T")

MAX_FRAME_BYTES = 64 * 2**20
"""Longest payload of a frame. The longest honest one, a batch of step rows, is far below it."""

_LENGTH_BYTES = 4
_encoder = msgspec.msgpack.Encoder()


class BrokenFrame(ValueError):
    """The bytes are not a message of ours; nothing that follows on the stream can be read."""


def encode(message: Message) -> bytes:
    """Return a message as one frame.

    Raises:
        BrokenFrame: It is longer than the other side accepts.
    """
    payload = _encoder.encode(message)
    _check_length(len(payload))
    return len(payload).to_bytes(_LENGTH_BYTES, "big") + payload


class Decoder(Generic[T]):
    """Cuts one side's stream of bytes back into messages, however the stream was split."""

    def __init__(self, messages: Any) -> None:
        # A union is no `type` to mypy, so the two functions below say what T is.
        self._decode: Any = msgspec.msgpack.Decoder(messages).decode
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[T]:
        """Take the bytes that arrived and return the messages they complete, in order.

        Raises:
            BrokenFrame: A frame is longer than `MAX_FRAME_BYTES`, or no message of this side.
        """
        self._pending += data
        messages: list[T] = []
        start = 0
        while len(self._pending) >= start + _LENGTH_BYTES:
            payload = start + _LENGTH_BYTES
            length = int.from_bytes(self._pending[start:payload], "big")
            _check_length(length)
            end = payload + length
            if len(self._pending) < end:
                break
            try:
                messages.append(self._decode(self._pending[payload:end]))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise BrokenFrame(f"a frame of {length} bytes is no message: {error}") from error
            start = end
        del self._pending[:start]
        return messages


def to_daemon() -> Decoder[ToDaemon]:
    """Return a decoder of what a trainer says."""
    return Decoder(ToDaemon)


def to_trainer() -> Decoder[ToTrainer]:
    """Return a decoder of what the daemon says."""
    return Decoder(ToTrainer)


def _check_length(length: int) -> None:
    if length > MAX_FRAME_BYTES:
        raise BrokenFrame(f"a frame of {length} bytes is above the limit of {MAX_FRAME_BYTES}")
