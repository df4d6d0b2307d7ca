"""How this machine is reached by another."""

import socket
import struct
import sys

_SIOCGIFADDR = 0x8915


def address_towards(host: str, port: int) -> str:
    """Return the address from which this machine talks to another; nothing is sent.

    Raises:
        OSError: if there is no way there, or no such name.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as talker:
        talker.connect((host, port))
        return str(talker.getsockname()[0])


def interface_of(address: str) -> str | None:
    """Return the name of the interface that has an IPv4 address, None where that cannot be told."""
    if sys.platform != "linux":
        return None
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(
                    asker.fileno(), _SIOCGIFADDR, struct.pack("256s", name.encode()[:15])
                )
            except OSError:  # it has no address
                continue
            if socket.inet_ntoa(answer[20:24]) == address:
                return name
    return None
