"""Commands of `rheostat` without the second that it takes to import it: `serving.py SOCKET`.

A page types a dozen of them, and all pages some two hundred. Each is a fork of this process, with
the arguments, the folder, the environment and the terminal of whoever typed it. So are the helpers
whose first line says `warmly`.
"""

import json
import os
import runpy
import signal
import socket
import sys
import traceback
from pathlib import Path

import rheostat.client  # what the commands import later
import rheostat.embedding  # noqa: F401
from rheostat.cli.main import main


def serve(where: str) -> None:
    """Run what is asked for, until killed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(where)
    listening.listen()
    while True:
        asking, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            run(asking)
        asking.close()


def run(asking: socket.socket) -> None:
    """Be the command that is asked for, to its end."""
    received, terminal, _flags, _address = socket.recv_fds(asking, 1 << 20, 3)
    sys.argv, folder, environment = json.loads(received)
    for number, descriptor in enumerate(terminal):
        os.dup2(descriptor, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [one for one in environment.get("PYTHONPATH", "").split(":") if one]
    code: object = 1
    try:
        if Path(sys.argv[0]).name == "rheostat":
            main()
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    asking.sendall(str(code if isinstance(code, int) else 1).encode())
    os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1])
