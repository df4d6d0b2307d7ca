"""The trainer's end of the socket, against a real one."""

import socket
import threading
from pathlib import Path

from rheostat.runs.frames import encode, to_daemon
from rheostat.runs.messages import Finished, PauseCommand
from rheostat.runs.records import Result
from rheostat.trainer.link import Link


def test_the_last_words_arrive_though_the_daemon_has_just_said_something(tmp_path: Path) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "link"))
    listening.listen()
    link = Link(str(tmp_path / "link"))
    daemon, _ = listening.accept()
    link.send(Finished(result=Result(steps=1), stopped=False))
    daemon.sendall(encode(PauseCommand()))  # the trainer has ended and will not read this

    closing = threading.Thread(target=link.close)
    closing.start()
    closing.join(timeout=0.2)
    heard = []
    decoder = to_daemon()
    while data := daemon.recv(2**16):
        heard += decoder.feed(data)
    daemon.close()
    closing.join()

    assert [type(message) for message in heard] == [Finished]
    listening.close()
