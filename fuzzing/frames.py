"""HTTP/2 as no gRPC client speaks it: calls that withhold their end, or are taken back at once."""

import socket
import struct
from contextlib import suppress

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _WINDOW = 0, 1, 3, 4, 6, 8
_ACKNOWLEDGED = _END_STREAM = 1
_END_HEADERS = 4
_INITIAL_WINDOW_SIZE = 4
_FRAME_BYTES = 16_384
_CANCEL = 8


class Withheld:
    """One call that has begun, on a connection of its own.

    Args:
        address: host:port of gRPC in plaintext.
        method: `/package.Service/Method`.
        length: of the message that is announced; one byte of it is kept back.
        token: to present; None is none.
    """

    def __init__(self, address: str, method: str, *, length: int, token: str | None = None) -> None:
        host, _, port = address.rpartition(":")
        self._connection = socket.create_connection((host, int(port)), timeout=10)
        self._connection.setblocking(False)
        self._received = b""
        self._pending = bytearray(_PREFACE + _frame(_SETTINGS, 0, 0))
        self._message = bytearray(b"\0" + struct.pack(">I", length) + bytes(length - 1))
        self._windows = {0: 65_535, 1: 65_535}
        self.sent = 0
        self.trailers: bytes | None = None
        """What the call has ended with, as HTTP/2 packs it; None while it goes on."""
        self._pending += _frame(_HEADERS, _END_HEADERS, 1, _headers(method, token))

    def fileno(self) -> int:
        return self._connection.fileno()

    def close(self) -> None:
        self._connection.close()

    def push(self) -> None:
        """Take what has come, and send as much of the message as flow control allows."""
        with suppress(BlockingIOError, ConnectionError):
            while content := self._connection.recv(65_536):
                self._received += content
        while len(self._received) >= 9:
            length = int.from_bytes(self._received[:3], "big")
            if len(self._received) < 9 + length:
                break
            kind, flags = self._received[3], self._received[4]
            stream = int.from_bytes(self._received[5:9], "big")
            self._take(kind, flags, stream, self._received[9 : 9 + length])
            self._received = self._received[9 + length :]
        while self.trailers is None and self._message:
            room = min(*self._windows.values(), _FRAME_BYTES, len(self._message))
            if room <= 0:
                break
            self._pending += _frame(_DATA, 0, 1, bytes(self._message[:room]))
            del self._message[:room]
            self.sent += room
            self._windows = {stream: window - room for stream, window in self._windows.items()}
        with suppress(BlockingIOError, ConnectionError):
            while self._pending:
                del self._pending[: self._connection.send(self._pending)]

    def _take(self, kind: int, flags: int, stream: int, content: bytes) -> None:
        if kind == _SETTINGS and not flags & _ACKNOWLEDGED:
            for key, value in struct.iter_unpack(">HI", content):
                if key == _INITIAL_WINDOW_SIZE:
                    self._windows[1] += value - 65_535
            self._pending += _frame(_SETTINGS, _ACKNOWLEDGED, 0)
        elif kind == _WINDOW and stream in self._windows:
            self._windows[stream] += int.from_bytes(content, "big")
        elif kind == _PING and not flags & _ACKNOWLEDGED:
            self._pending += _frame(_PING, _ACKNOWLEDGED, 0, content)
        elif kind == _RESET or (kind == _HEADERS and flags & _END_STREAM):
            self.trailers = self.trailers or content


def taken_back(method: str, calls: int) -> bytes:
    """Return what begins many calls on a new connection, and takes each back in the next frame."""
    began = _headers(method, None)
    frames = [_PREFACE, _frame(_SETTINGS, 0, 0)]
    for stream in range(1, 2 * calls, 2):
        frames.append(_frame(_HEADERS, _END_HEADERS, stream, began))
        frames.append(_frame(_RESET, 0, stream, struct.pack(">I", _CANCEL)))
    return b"".join(frames)


def _headers(method: str, token: str | None) -> bytes:
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": method,
        ":authority": "x",
        "te": "trailers",  # codespell:ignore te
        "content-type": "application/grpc",
    }
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    return b"".join(_literal(*header) for header in headers.items())


def _frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
    head = struct.pack(">I", len(content))[1:] + bytes([kind, flags]) + struct.pack(">I", stream)
    return head + content


def _literal(name: str, value: str) -> bytes:
    """Pack a header as HPACK does where nothing is indexed; neither is longer than 126 bytes."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
