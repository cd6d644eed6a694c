"""A process that has a server as its child for as long as somebody uses it: see `serving.py`.

    python keeper.py DIRECTORY COMMAND…

It passes on the server's first line, the ready line, and ends when nobody holds a lock on DIRECTORY/members any more.
A program of its own, which imports nothing of ours: it stays beside the tests for as long as they run.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

# A server that is told to stop lets what is under way finish, for ten seconds at most.
STOP_S = 15.0


def main(directory: Path, command: list[str]) -> None:
    # Whoever started us need not wait for us, and Ctrl-C in his terminal is not for us: he may still be asking.
    if os.fork():
        os._exit(0)
    os.setsid()
    members = os.open(directory / "members", os.O_RDWR)
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        sys.stdout.buffer.write(server.stdout.readline() or b"\n")
        sys.stdout.flush()
        fcntl.flock(members, fcntl.LOCK_EX)
        stop(server)
    clear_up(directory, members)


def stop(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(STOP_S)
    except subprocess.TimeoutExpired:
        server.kill()


def clear_up(directory: Path, members: int) -> None:
    """The lock goes last: as long as it is there, whoever joins waits for it."""
    lock = directory / "members"
    try:
        if os.path.samestat(os.fstat(members), lock.stat()):
            shutil.rmtree(directory / "server", ignore_errors=True)
            lock.unlink()
            directory.rmdir()
    except OSError:
        pass  # another keeper was quicker, or somebody joined just now


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
