"""Which addresses only this machine can reach."""

from ipaddress import ip_address


def is_loopback(address: str) -> bool:
    """Tell whether a `host:port` or `unix:path` stays on this machine."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
