"""How does libcurl's multi handle live inside an asyncio loop?

libcurl says which sockets it watches and when it wants to be called (``socket_action``). The sockets go into an epoll
of our own whose one descriptor is asyncio's single reader: an event costs its own work, however many others wait.
asyncio's reader-per-socket costs half as much again; ``perform`` and ``select`` look at every transfer each time, and
collapse as soon as a few thousand targets stop answering.
"""

import asyncio
import select
from typing import Any, Final

import pycurl

READ_WRITE: Final = {
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}
EVENTS_AT_ONCE: Final = 256  # then the rest of the loop gets its turn; epoll keeps what is left
Ended = tuple[int, str]  # libcurl's code (0 = well) and its text


class CurlLoop:
    """One multi handle in one event loop. Everything happens in the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._multi = pycurl.CurlMulti()
        self._epoll = select.epoll()
        self._watched: dict[int, int] = {}
        self._waiting: dict[pycurl.Curl, asyncio.Future[Ended]] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._due: float | None = None  # when libcurl wants its next call; the alarm may ring earlier and look again
        self._kicked = False
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._plan)
        # Nothing is reused, so nothing is kept: every check is a connection of its own.
        self._multi.setopt(pycurl.M_MAXCONNECTS, 1)
        loop.add_reader(self._epoll.fileno(), self._on_sockets)

    def __len__(self) -> int:
        return len(self._waiting)

    async def run(self, curl: pycurl.Curl) -> Ended:
        """Performs a prepared easy handle. When this returns or is cancelled the handle is free again."""
        ended: asyncio.Future[Ended] = self._loop.create_future()
        self._waiting[curl] = ended
        self._multi.add_handle(curl)
        try:
            return await ended
        finally:
            if self._waiting.pop(curl, None) is not None:
                self._multi.remove_handle(curl)

    def close(self) -> None:
        """Cancels what is under way and frees the sockets."""
        self._loop.remove_reader(self._epoll.fileno())
        if self._alarm is not None:
            self._alarm.cancel()
        waiting, self._waiting = self._waiting, {}
        for curl, ended in waiting.items():
            self._multi.remove_handle(curl)
            ended.cancel()
        self._multi.close()
        self._epoll.close()

    # Called by libcurl, in the middle of its own work: note it down, never call back into libcurl from here.

    def _watch(self, what: int, fd: int, _multi: Any, _data: Any) -> None:
        known = self._watched.get(fd)
        if what == pycurl.POLL_REMOVE:
            if known is not None:
                del self._watched[fd]
                self._epoll.unregister(fd)
            return
        mask = READ_WRITE[what]
        if known is None:
            self._epoll.register(fd, mask)
        elif known != mask:
            self._epoll.modify(fd, mask)
        self._watched[fd] = mask

    def _plan(self, timeout_ms: int) -> None:
        if timeout_ms < 0:
            self._due = None
        elif timeout_ms == 0:
            if not self._kicked:  # many transfers begun in one turn of the loop share one call
                self._kicked = True
                self._loop.call_soon(self._kick)
        else:
            self._due = due = self._loop.time() + timeout_ms / 1000
            if self._alarm is None:
                self._alarm = self._loop.call_at(due, self._on_time)
            elif self._alarm.when() > due:
                self._alarm.cancel()
                self._alarm = self._loop.call_at(due, self._on_time)

    # Called by asyncio.

    def _kick(self) -> None:
        self._kicked = False
        if self._epoll.closed:
            return
        self._due = None
        self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        self._collect()
        if self._due is None and not self._kicked:
            # libcurl does not repeat a wish it made before; asked too early by a hair, it would wait for ever.
            timeout_ms = self._multi.timeout()
            if timeout_ms >= 0:
                self._plan(timeout_ms)

    def _on_time(self) -> None:
        self._alarm = None
        if self._due is None:
            return
        if self._loop.time() < self._due:  # the wish moved later meanwhile: cheaper than moving the alarm each time
            self._alarm = self._loop.call_at(self._due, self._on_time)
        else:
            self._kick()

    def _on_sockets(self) -> None:
        act = self._multi.socket_action
        watched = self._watched
        for fd, events in self._epoll.poll(0, EVENTS_AT_ONCE):
            if fd not in watched:  # closed by the work of an earlier event in this same batch
                continue
            mask = 0
            if events & select.EPOLLIN:
                mask |= pycurl.CSELECT_IN
            if events & select.EPOLLOUT:
                mask |= pycurl.CSELECT_OUT
            if events & (select.EPOLLERR | select.EPOLLHUP):
                mask |= pycurl.CSELECT_ERR
            act(fd, mask)
        self._collect()

    def _collect(self) -> None:
        left = 1
        while left:
            left, well, failed = self._multi.info_read(EVENTS_AT_ONCE)
            for curl in well:
                self._end(curl, (0, ""))
            for curl, code, text in failed:
                self._end(curl, (code, text))

    def _end(self, curl: pycurl.Curl, ended: Ended) -> None:
        future = self._waiting.pop(curl, None)
        if future is None:
            return
        self._multi.remove_handle(curl)
        if not future.done():
            future.set_result(ended)
