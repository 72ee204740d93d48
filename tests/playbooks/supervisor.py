"""What restarts a hung site? A supervisor as small as they come, and a real web site that can really hang.

`python -S supervisor.py HOME PORT` runs the site as a child process on 127.0.0.1:PORT, starts it again when it ends, and on
SIGHUP kills it and starts another. HOME/supervisor and HOME/site hold the two pids, the second once the site listens.

The site has one thread, as many small services do: `GET /deadlock` takes it and never gives it back. From then on the
process lives, its port accepts connections, and nobody is answered. Nothing but another process mends that.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Shop(BaseHTTPRequestHandler):
    """One page, and the bug."""

    timeout = 5  # a caller who connects and says nothing holds nobody up for longer

    def do_GET(self) -> None:
        """Answer, or never again."""
        if self.path == "/deadlock":
            lock = threading.Lock()
            lock.acquire()
            lock.acquire()
        body = f"served by {os.getpid()}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def write(path: Path, pid: int) -> None:
    """Whoever reads it reads a whole number."""
    fresh = path.with_name(f".{path.name}")
    fresh.write_text(f"{pid}\n")
    os.replace(fresh, path)


def serve(home: Path, port: int) -> None:
    """The site, until it is killed."""
    with HTTPServer(("127.0.0.1", port), Shop) as server:
        write(home / "site", os.getpid())
        server.serve_forever()


def supervise(home: Path, port: int) -> None:
    """Keep one site running; another one on SIGHUP, all ends on SIGTERM."""
    signals = {signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    write(home / "supervisor", os.getpid())
    while True:
        words = [sys.executable, "-S", __file__, str(home), str(port), "site"]
        with subprocess.Popen(words, process_group=0) as site:
            heard = signal.sigwait(signals)
            site.kill()
        signal.sigtimedwait({signal.SIGCHLD}, 0)  # of this very death
        if heard == signal.SIGTERM:
            return


if __name__ == "__main__":
    place, number = Path(sys.argv[1]), int(sys.argv[2])
    if sys.argv[3:] == ["site"]:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD})
        serve(place, number)
    else:
        supervise(place, number)
