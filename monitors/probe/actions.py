"""Is this order to act followed here? Signed, for this probe, in time, never seen, allowed by this machine's file; then once.

Everything else is refused, and the refusal is told to the portal and written to this program's log. The order of the
questions matters: nothing of an order is read before its signature, and a genuine one is used up by being asked about.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monitors.hosts.docker import EngineTrouble
from monitors.probe import allowed, command, containers, identity
from monitors.probe.allowed import Action, Listed, NotAllowed
from monitors.probe.clock import Clock
from monitors.probe.command import Ran
from monitors.probe.envelope import Envelope, Forged, Malformed, opened
from monitors.probe.identity import Identity
from monitors.probe.orders import Again, Orders

log = logging.getLogger("watchkeeper.probe.actions")

AHEAD = 5  # seconds that an order may be written in the future
APART = 30.0  # seconds between this machine's clock and the portal's, beyond which one of them lies
REREAD = 10.0  # seconds between two readings of the file for what is told of it
MOST_TOLD, MOST_TOLD_TEXT = 40, 16_000  # actions, and characters of what is told of them

Outcome = tuple[str, dict[str, Any]]


class Acts:
    """What this probe does on orders, one at a time; `carry_out` runs in the engine's loop."""

    def __init__(self, who: Identity, clock: Clock, orders: Orders) -> None:
        self.me = identity.digest(identity.public_of(who.key).encode())
        self.portal_key, self.clock, self.orders = who.portal_key, clock, orders
        self.busy = ""  # the action under way
        self._judging = asyncio.Lock()  # in the order in which they came
        self._said: tuple[float, dict[str, Any]] = (-REREAD, {})

    # --- Orders ---------------------------------------------------------------------------------------------------------
    async def carry_out(self, body: dict[str, Any], number: int) -> Outcome:
        """(state, result) of one order: done, failed, refused, or unknown when it was begun and nobody saw its end."""
        async with self._judging:
            judged = await self._judge(body, number)
        if len(judged) == 2:
            return judged
        e, action, argv = judged
        try:
            state, result = await self._begin(e, action, argv)
        finally:
            self.busy = ""
        log.warning("order %s: %s %s", e.job, e.action, state)
        return await self._keep(e, (state, {"action": e.action, "plan_hash": e.plan_hash, **result}))

    async def _judge(self, body: dict[str, Any], number: int) -> Outcome | tuple[Envelope, Action, list[str]]:
        """The refusal; or what is to be begun, with "accepted" on the disk."""
        try:
            listed, e = await asyncio.to_thread(self._genuine, body)
        except (NotAllowed, Forged, Malformed) as refusal:
            return self._refuse(str(refusal), None)
        try:
            await asyncio.to_thread(self.orders.take, e, number, self.clock.now())
        except Again as refusal:
            return self._refuse(str(refusal), e)
        try:
            action, argv = await asyncio.to_thread(self._permitted, listed, e)
            if self.busy:
                raise NotAllowed(f"Busy: {self.busy!r} is under way, and one action at a time is enough.")
            await asyncio.to_thread(self.orders.accept, e.job)
        except NotAllowed as refusal:
            return await self._keep(e, self._refuse(str(refusal), e))
        self.busy = e.action
        return e, action, argv

    def _genuine(self, body: dict[str, Any]) -> tuple[Listed, Envelope]:
        """The file as it is now, and the order that one of its signers wrote to this probe."""
        try:
            listed = allowed.read()
        except NotAllowed:
            if self.clock.known:
                self.orders.distrust(self.clock.now())
            raise
        self.remember()
        if self.portal_key in listed.signer:
            raise NotAllowed("The file's signer is the key of the portal's answers; orders need a key that the portal does not hold.")  # fmt: skip
        for key in listed.signers():
            try:
                e = opened(body, key)
                break
            except Forged as error:
                forged = error
        else:
            raise forged
        if e.probe != self.me:
            raise NotAllowed("The order is for another probe, or for an earlier enrolment of this one.")
        return listed, e

    def remember(self) -> None:
        """From when on are orders known here? From the first time that both clocks agreed."""
        if self._apart() <= APART:
            self.orders.begin_memory(self.clock.now())

    def _apart(self) -> float:
        return abs(self.clock.wall_offset_ms()) / 1000 if self.clock.known else float("inf")

    def _permitted(self, listed: Listed, e: Envelope) -> tuple[Action, list[str]]:
        """The action and what it runs. NotAllowed with the first reason against it."""
        now = self.clock.now()
        if (apart := self._apart()) > APART:
            raise NotAllowed(f"This machine's clock and the portal's are {apart:.0f} s apart; set them (NTP). Until then nothing is done.")  # fmt: skip
        if now < e.issued - AHEAD:
            raise NotAllowed("The order was written in the future.")
        if now >= e.expires:
            raise NotAllowed(f"The order expired {now - e.expires:.0f} s ago.")
        if listed.tenant is not None and e.tenant != listed.tenant:
            raise NotAllowed("The order is for another client than this machine's file names.")
        action = listed.action(e.action)
        argv = action.words(e.params)
        check_program(action, argv)
        return action, argv

    async def _begin(self, e: Envelope, action: Action, argv: list[str]) -> Outcome:
        began, at = time.monotonic(), self.clock.now()
        log.warning("order %s: %s begins: %s", e.job, e.action, argv or action.container)
        try:
            state, result = await (_restart(action) if action.container else _run(action, argv))
        except Exception as error:  # our own bug, after the beginning: what it did is for a person to see
            log.exception("order %s: it broke", e.job)
            state, result = "unknown", {**_result(Ran()), "why": f"It was started, and then the probe's program broke: {type(error).__name__}."}  # fmt: skip
        seconds = round(time.monotonic() - began, 3)
        return state, {**result, "seconds": seconds, "started_at": round(at, 3), "finished_at": round(at + seconds, 3)}

    def _refuse(self, why: str, e: Envelope | None) -> Outcome:
        if e is None:
            log.warning("an order was refused: %s", why)
            return "refused", {"why": why}
        log.warning("order %s (%s) was refused: %s", e.job, e.action, why)
        return "refused", {"why": why, "action": e.action, "plan_hash": e.plan_hash}

    async def _keep(self, e: Envelope, outcome: Outcome) -> Outcome:
        try:
            await asyncio.to_thread(self.orders.ended, e.job, *outcome)
        except sqlite3.Error:  # as when the disk is full: the portal hears how it ended all the same
            log.exception("order %s: its end could not be written down", e.job)
        return outcome

    # --- What it says of itself -----------------------------------------------------------------------------------------
    def said(self) -> dict[str, Any]:
        """For the portal: the actions by name and the shape of their parameters, never their programs; bounded."""
        now = time.monotonic()
        if now - self._said[0] >= REREAD:
            self._said = (now, told())
        return self._said[1]


async def _run(action: Action, argv: list[str]) -> Outcome:
    try:
        ran = await command.run(argv, action.timeout_seconds, user=action.user)
    except OSError as error:
        return "failed", {**_result(Ran()), "why": f"{argv[0]} could not be started: {error.strerror}."}
    result = _result(ran)
    if not ran.late:
        return ("done" if ran.exit_code == 0 else "failed"), result
    if action.unit:  # systemd goes on without whoever asked it to
        return "unknown", {**result, "why": f"systemd did not finish within {action.timeout_seconds} s; it may still be at it."}  # fmt: skip
    return "failed", {**result, "why": f"It was not finished after {action.timeout_seconds} s and was ended, with all it had started."}  # fmt: skip


async def _restart(action: Action) -> Outcome:
    """A container, by its engine. Once the engine was asked, only its answer says how it ended."""
    empty = _result(Ran())
    try:
        await containers.restart(action.socket, action.container, action.timeout_seconds)
    except containers.NotAsked as error:
        return "failed", {**empty, "why": str(error)}
    except EngineTrouble as error:
        return ("failed" if error.status else "unknown"), {**empty, "why": str(error)}
    except (OSError, TimeoutError):
        return "unknown", {**empty, "why": f"The container engine did not answer within {action.timeout_seconds} s; it may still be at it."}  # fmt: skip
    return "done", {**empty, "exit_code": 0}


def _result(ran: Ran) -> dict[str, Any]:
    text, cut = ran.output.text()
    return {"exit_code": ran.exit_code, "output": text, "cut_bytes": cut}


def check_program(action: Action, argv: list[str]) -> None:
    """NotAllowed when what would run is not there, or can be changed by anybody but root and the user it runs as."""
    if action.container:
        return
    whose = allowed.owners()
    try:
        if action.user:
            whose.add(pwd.getpwnam(action.user).pw_uid)
        allowed.trusted(Path(argv[0]), whose)
    except KeyError:
        raise NotAllowed(f"There is no user {action.user} here.") from None
    except OSError as error:
        raise NotAllowed(f"{argv[0]} cannot be run: {error.strerror}.") from None
    if not os.access(argv[0], os.X_OK):
        raise NotAllowed(f"{argv[0]} cannot be executed.")


def told() -> dict[str, Any]:
    """What the file allows, as it is told to the portal."""
    try:
        listed = allowed.read()
    except NotAllowed as why:
        return {"actions": [], "actions_trusted": False, "actions_why": str(why)[:200]}
    shapes: list[dict[str, Any]] = []
    size = 0
    for name, action in listed.actions.items():
        shape = action.shape(name)
        size += len(str(shape))
        if len(shapes) == MOST_TOLD or size > MOST_TOLD_TEXT:
            return {"actions": shapes, "actions_trusted": True, "actions_why": f"{len(listed.actions) - len(shapes)} more are not told: too much."}  # fmt: skip
        shapes.append(shape)
    return {"actions": shapes, "actions_trusted": True, "actions_why": ""}


# --- For the person at this machine -------------------------------------------------------------------------------------
def listing() -> Iterator[str]:
    """What the file allows, in lines. NotAllowed when it is not to be believed."""
    listed = allowed.read()
    yield f"{allowed.where()} is trusted."
    for key in listed.signer:
        yield f"Orders are signed by {identity.fingerprint(key)}."
    if listed.tenant is not None:
        yield f"Only orders for client {listed.tenant}."
    for name, action in listed.actions.items():
        yield f"{name}: {action.kind}, at most {action.timeout_seconds} s. {action.describe}".rstrip()
        yield f"  {action.container or action.unit or ' '.join(action.argv)}"
        for parameter, kind in action.params.items():
            yield f"  {{{parameter}}} {kind.model_dump(exclude_defaults=True)}"
    if not listed.actions:
        yield "It allows no action."


def faults() -> Iterator[str]:
    """What would keep an allowed action from being carried out by this user on this machine, in lines."""
    for name, action in allowed.read().actions.items():
        try:
            argv = [action.argv[0]] if action.argv else action.words({})
            check_program(action, argv)
            command.become(action.user)
            if action.container and not os.access(action.socket, os.W_OK):
                raise NotAllowed(f"{action.socket} cannot be written by this user: is the engine there?")
        except (NotAllowed, OSError) as why:
            yield f"{name}: {getattr(why, 'strerror', None) or why}"
