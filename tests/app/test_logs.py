"""What stands in the daemon's log, whoever made it say so."""

import errno
import io
import json
import logging
import os
import subprocess
import sys

import pytest
import structlog
from structlog.testing import capture_logs

from rheostat.logs import configure_logs
from rheostat.overhearing import tell

CERTIFICATE = (
    "I1129 00:12:46.524293   20419 ssl_transport_security.cc:2563] Handshake failed with error "
    "SSL_ERROR_SSL: error:1000007d:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: "
    "certificate has expired"
)
NONE = (
    "I1129 00:12:47.405681   20419 ssl_transport_security.cc:2563] Handshake failed with error "
    "SSL_ERROR_SSL: error:100000c0:SSL routines:OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE:"
    " Invalid certificate verification context"
)
PLAINTEXT = (
    "I1129 00:12:47.405681   20419 ssl_transport_security.cc:2563] Handshake failed with error "
    "SSL_ERROR_SSL: error:1000009c:SSL routines:OPENSSL_internal:HTTP_REQUEST"
)


@pytest.fixture
def written():
    """Configure logs of a format, and return what is written from then on."""
    handlers = list(logging.getLogger().handlers)

    def configure(log_format):
        configure_logs(log_format, "info", stream := io.StringIO())
        return stream

    yield configure
    logging.getLogger().handlers = handlers
    structlog.reset_defaults()


@pytest.mark.parametrize("text", ["/\x1b[31mred", "a\nforged", "\x07", "\u202eback"])
def test_nobody_writes_to_the_terminal_of_who_reads_the_log(written, text):
    stream = written("human")
    structlog.get_logger().info("caller.refused", to=text)

    [line] = stream.getvalue().splitlines()
    assert line.isprintable()


def test_what_libraries_log_is_an_event_like_any_other(written):
    stream = written("json")
    logging.getLogger("aiohttp.server").error("it went %s", "wrong")

    line = json.loads(stream.getvalue())
    assert (line["event"], line["library"], line["text"], line["level"]) == (
        "library.said",
        "aiohttp.server",
        "it went wrong",
        "error",
    )


@pytest.mark.parametrize(
    ("line", "presented", "why"),
    [
        (CERTIFICATE, "a client certificate", "certificate has expired"),
        (NONE, "no client certificate", "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
        (PLAINTEXT, "TLS", "HTTP_REQUEST"),
    ],
)
def test_a_handshake_of_grpc_that_failed_is_an_event(line, presented, why):
    with capture_logs() as logs:
        assert tell(line)

    [one] = logs
    assert (one["event"], one["over"]) == ("handshake.refused", "gRPC")
    assert (one["presented"], one["why"]) == (presented, why)


def test_other_lines_of_grpc_are_events_too_and_what_is_not_its_is_left_alone():
    with capture_logs() as logs:
        assert tell("E1129 00:12:47.405681   20419 tcp_server.cc:12] no port")
        assert not tell("Traceback (most recent call last):")

    assert [(one["event"], one["log_level"], one["text"]) for one in logs] == [
        ("grpc.said", "error", "no port")
    ]


def test_what_is_overheard_is_told_and_the_rest_passed_on():
    program = f"""
import os
from rheostat.logs import configure_logs
from rheostat.overhearing import overheard

with overheard() as output:
    configure_logs("json", "info", output)
    os.write(2, {CERTIFICATE.encode() + b"!"!r} + b"\\n" + b"the last words\\n")
os.write(2, b"as ever\\n")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ
    )

    assert done.returncode == 0, done.stderr
    event, *others = done.stderr.splitlines()
    assert json.loads(event)["why"] == "certificate has expired!"
    assert others == ["the last words", "as ever"]


def test_a_log_that_cannot_be_written_is_dropped_and_goes_on_when_it_can(written):
    class Disk(io.StringIO):
        is_full = True

        def flush(self):
            if self.is_full:
                raise OSError(errno.ENOSPC, "No space left on device")

    disk = Disk()
    configure_logs("json", "info", disk)
    structlog.get_logger().error("rows.not_saved")
    logging.getLogger("asyncio").error("a library's line")
    disk.is_full = False
    structlog.get_logger().info("rows.saved")

    assert json.loads(disk.getvalue().splitlines()[-1])["event"] == "rows.saved"
