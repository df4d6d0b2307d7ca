import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.runs import frames, messages
from rheostat.runs.records import Snapshot, StepRows
from rheostat.steering.records import Change, Verb

TO_DAEMON = [
    messages.Hello(run="digits", token="secret", pid=7),
    messages.Ready(steps=100, groups=(), device="cpu", warnings=("ASGD is slow",)),
    messages.Telemetry(
        snapshot=Snapshot(step=2, revision=0, groups=(), train_loss=0.1 + 0.2),
        rows=StepRows(
            first_step=0,
            count=2,
            train_loss=struct.pack("<2d", 0.1, math.pi),
            learning_rate={"head": struct.pack("<2d", 1e-3, 1e-300)},
            duration=b"\x00" * 16,
            gradient_norm={1: 2.5},
        ),
    ),
    messages.Decided(decisions=()),
    messages.Paused(step=3),
]
TO_TRAINER = [
    messages.ChangeCommand(command_id=1, change=Change(verb=Verb.SCALE, value=0.5)),
    messages.PauseCommand(),
    messages.ResumeCommand(),
    messages.StopCommand(),
]


@given(st.data())
def test_any_split_of_the_stream_gives_the_same_messages(data):
    stream = b"".join(frames.encode(message) for message in TO_DAEMON)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12).map(sorted))
    decoder = frames.to_daemon()

    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    received = [message for piece in pieces for message in decoder.feed(piece)]

    assert received == TO_DAEMON


def test_one_byte_at_a_time_gives_the_same_messages():
    decoder = frames.to_trainer()
    stream = b"".join(frames.encode(message) for message in TO_TRAINER)

    received = [message for byte in stream for message in decoder.feed(bytes([byte]))]

    assert received == TO_TRAINER


def test_a_frame_is_a_big_endian_length_and_that_many_bytes():
    frame = frames.encode(messages.PauseCommand())

    assert struct.unpack(">I", frame[:4]) == (len(frame) - 4,)


def test_a_length_above_the_limit_is_refused_before_its_bytes_arrive():
    decoder = frames.to_daemon()

    with pytest.raises(frames.BrokenFrame, match="67108865 bytes is above the limit of 67108864"):
        decoder.feed(struct.pack(">I", 64 * 2**20 + 1))


def test_a_message_above_the_limit_is_refused_by_its_sender():
    with pytest.raises(frames.BrokenFrame, match="above the limit"):
        frames.encode(messages.Hello(run="x" * (64 * 2**20), token="", pid=1))


def test_a_message_for_the_other_side_is_refused():
    with pytest.raises(frames.BrokenFrame, match="is no message: Invalid value 'PauseCommand'"):
        frames.to_daemon().feed(frames.encode(messages.PauseCommand()))


def test_bytes_that_are_no_msgpack_are_refused():
    with pytest.raises(frames.BrokenFrame, match="a frame of 2 bytes is no message"):
        frames.to_daemon().feed(b"\x00\x00\x00\x02\xc1\xc1")


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(bytes.fromhex("81a474797065ac5061757365436f65ac506175"), id="not UTF-8"),
        pytest.param(b"\x91" * 100_000, id="nested without end"),
    ],
)
def test_what_breaks_the_reader_in_a_way_of_its_own_is_a_broken_frame_too(payload):
    """The first was found by fuzzing: it raised UnicodeDecodeError, which nobody expected."""
    with pytest.raises(frames.BrokenFrame):
        frames.to_daemon().feed(len(payload).to_bytes(4, "big") + payload)
