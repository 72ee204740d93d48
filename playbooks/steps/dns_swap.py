"""How does a name come to lead somewhere else? Its record set is replaced by values that were approved beforehand.

What was there is read from the zone's own server immediately before, is the condition of the change wherever the provider
knows conditions, and is kept to be put back. When the change was sent and no answer came, only the new values being there
proves anything: that the old ones still are does not, for a slow server may carry it out a moment later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, ClassVar, Final

from playbooks.steps.base import Context, Done, NotDone, Step, Unsure, seconds_left
from playbooks.steps.dns_cloudflare import Cloudflare
from playbooks.steps.dns_records import CannotRead, Provider, RecordSet
from playbooks.steps.dns_rfc2136 import NameServer
from playbooks.steps.dns_route53 import Route53
from playbooks.steps.dns_settings import LABELS, DnsSwapConfig

PAUSES: Final = (0.0, 1.0, 4.0)  # seconds before each look at what became of a change that was not answered
LEAST: Final = 5.0  # with fewer seconds left it does not begin


class DnsSwap(Step):
    """Replace a record set by pre-approved values."""

    kind: ClassVar[str] = "dns_swap"
    label: ClassVar[str] = "Swap a DNS record"
    Config = DnsSwapConfig
    undoable: ClassVar[bool] = True
    seconds: ClassVar[int] = 90

    def target(self) -> str:
        """`dns:<zone>/<name>/<type>`."""
        return f"dns:{self.config.zone}/{self.config.name}/{self.config.record_type}"

    def sentence(self) -> str:
        """From what, to what, where."""
        c = self.config
        before = f" if it is exactly {', '.join(c.expected)} before, and otherwise leave it alone" if c.expected else ", whatever it is before"  # fmt: skip
        return f"Set {c.record_type} of {c.name} (zone {c.zone}) to {', '.join(c.values)} with a TTL of {c.ttl} s at {self._place()}{before}."

    def undo_sentence(self) -> str:
        """What was before comes back."""
        c = self.config
        return f"Put {c.record_type} of {c.name} (zone {c.zone}) at {self._place()} back to what it was before, if it still is {', '.join(c.values)}."

    def _place(self) -> str:
        c = self.config
        if c.provider == "rfc2136":
            return f"{c.server} by {LABELS[c.provider]}, signed with the key {c.key_name}"
        return f"{LABELS[c.provider]} (zone {c.zone_id}{f' at {c.endpoint}' if c.endpoint else ''})"

    def do(self, context: Context) -> Done:
        """Read, replace, read back."""
        c = self.config
        wanted = RecordSet.of(c.values, c.ttl, c.record_type)

        def refusal(now: RecordSet) -> str:
            return f"It holds {now} and not {', '.join(c.expected)}: nothing was changed." if c.expected and now.values != c.expected else ""  # fmt: skip

        return swap(self._provider(context), wanted, refusal, context)

    def undo(self, context: Context, before: Mapping[str, Any], after: Mapping[str, Any]) -> Done:
        """Put `before` back where it still is `after`."""
        try:
            wanted = RecordSet.read(before, self.config.record_type)
            left = RecordSet.read(after, self.config.record_type)
        except ValueError as error:
            raise NotDone(f"{error} Nothing was changed.") from None

        def refusal(now: RecordSet) -> str:
            return f"It holds {now} and no longer {left}: somebody changed it since, so it was left alone." if now != left else ""  # fmt: skip

        return swap(self._provider(context), wanted, refusal, context)

    def _provider(self, context: Context) -> Provider:
        c = self.config
        if c.provider == "rfc2136":
            return NameServer(
                c.server, zone=c.zone, name=c.name, record_type=c.record_type,
                key_name=c.key_name, algorithm=c.key_algorithm, secret=c.key_secret.get_secret_value(),
            )  # fmt: skip
        about = {"endpoint": c.endpoint, "zone_id": c.zone_id, "name": c.name, "record_type": c.record_type}
        if c.provider == "cloudflare":
            return Cloudflare(context.fetch, **about, token=c.token.get_secret_value())
        key = {"key_id": c.access_key_id, "secret": c.secret_access_key.get_secret_value(), "region": c.region}
        return Route53(context.fetch, context.now, **about, **key)


def swap(provider: Provider, wanted: RecordSet, refusal: Callable[[RecordSet], str], context: Context) -> Done:
    """Replace what is there by `wanted` unless `refusal` says why not; nothing is done where it is there already."""
    if seconds_left(context, LEAST) < LEAST:
        raise NotDone("There was too little time left to begin.")
    try:
        old = provider.read()
    except CannotRead as error:
        raise NotDone(f"{error} Nothing was changed.") from None
    new, before = provider.fitted(wanted, old), old.as_json()
    if new == old:
        return Done(f"It held {old} already; nothing was changed.", before, before)
    if why := refusal(old):
        raise NotDone(why, before=before)
    try:
        note = provider.replace(old, new)
    except NotDone as error:
        raise NotDone(str(error), before=before) from None
    except Unsure as doubt:
        return _found_out(provider, old, new, doubt, context)
    try:
        now = provider.read()
    except CannotRead as error:
        told = f"{old} → {new}. The change was confirmed, but could not be read back: {error} {note}"
        return Done(told.strip(), before, new.as_json())
    if now != new:
        raise Unsure(
            f"The change to {new} was confirmed, but now it holds {now}: somebody else may have changed it.", before=before, after=now.as_json()
        )  # fmt: skip
    return Done(f"{old} → {now}. {note}".strip(), before, now.as_json())


def _found_out(provider: Provider, old: RecordSet, new: RecordSet, doubt: Unsure, context: Context) -> Done:
    """Done when the new values turn out to be there; Unsure in every other case."""
    seen = ""
    for pause in PAUSES:
        context.rest(timedelta(seconds=pause))
        try:
            now = provider.read()
        except CannotRead as error:
            seen = f"It cannot be read back either: {error}"
            continue
        if now == new:
            return Done(f"{old} → {now}. {doubt} Read back, it is done.", old.as_json(), now.as_json())
        seen = f"Read back, it holds {now}; the change may still come."
    raise Unsure(f"{doubt} {seen}", before=old.as_json(), after={})
