"""What happened when, and what did each part of a battery say? Rows of words for the report, from evidence that was made plain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from console.pages.report_evidence import (
    LONG,
    moment,
    number,
    numbers,
    plain,
    rows,
    table,
    whole,
    words,
)
from console.pages.report_paths import route_words
from console.pages.report_verdict import Judged
from monitors.models import Diagnosis, RouteChange
from portal.templatetags.face import ms

# What a status word means to a person, and how loud it is. A word that is not listed is shown as it is.
STATUS = {
    "ok": ("OK", "up"), "up": ("Up", "up"), "degraded": ("Degraded", "degraded"), "failing": ("Failing", "down"), "unknown": ("Unknown", "unknown"),
    "refused": ("Refused", "down"), "timeout": ("No answer in time", "down"), "unreachable": ("Unreachable", "down"), "reset": ("Cut off", "down"),
    "some": ("Only some tries", "degraded"), "not_run": ("Not measured", "unknown"), "not_permitted": ("Not permitted here", "unknown"),
    "nxdomain": ("Says there is no such name", "down"), "nodata": ("No address", "down"), "servfail": ("Server failure", "down"), "lame": ("Not responsible", "down"),
    "expired": ("Expired", "down"), "not_yet_valid": ("Not valid yet", "down"), "wrong_host": ("For another name", "down"), "untrusted": ("Not trusted", "down"),
    "incomplete": ("Chain incomplete", "down"), "protocol": ("Protocol error", "down"), "stalled": ("Went silent", "down"),
    "http_status": ("Error status", "down"), "content": ("Wrong content", "down"), "black_hole": ("Large packets vanish", "down"),
    "reported": ("Smaller packets asked for", "degraded"), "no_answer": ("No answer", "unknown"), "failed": ("Failed", "unknown"),
    "missing": ("Missing", "down"), "mismatch": ("Differs", "degraded"),
}  # fmt: skip
PARTS = (
    ("check", "The check itself"), ("ping", "Ping"), ("connect", "TCP"), ("tls", "TLS"), ("http", "HTTP"), ("size", "Full-sized packets"),
)  # fmt: skip
ADDRESSES_FROM = {"others": "other name servers gave", "known": "is known from better days"}
ARP = {"complete": "answers on the LAN", "failed": "does not answer on the LAN", "unknown": ""}


def status(word: object) -> tuple[str, str]:
    """(word, tone) of a status."""
    key = plain(word, 40)
    return STATUS.get(key) or (key.replace("_", " ").capitalize() or "Not measured", "unknown")


def saw(e: Mapping[str, Any]) -> list[dict[str, str]]:
    """One line for each part of a battery that was measured."""
    found = []
    target = table(e.get("target"))
    if plain(target.get("blocked")):
        found.append({"label": "The target", "word": "Not looked at", "tone": "degraded", "detail": plain(target.get("blocked"), LONG)})  # fmt: skip
    elif target.get("addresses_from") in ADDRESSES_FROM:
        found.append({"label": "The target", "word": "No answer for its name", "tone": "down", "detail": f"measured at the address that {ADDRESSES_FROM[target['addresses_from']]}"})  # fmt: skip
    for key, label in PARTS:
        part = table(e.get(key))
        if not part:
            continue
        word, tone = status(part.get("status"))
        found.append({"label": label, "word": word, "tone": tone, "detail": DETAILS[key](part)})
    return found


def _check(part: Mapping[str, Any]) -> str:
    return plain(part.get("message"), 300) or plain(part.get("error_class")).replace("_", " ")


def _ping(part: Mapping[str, Any]) -> str:
    sent, got, times = whole(part.get("sent")), whole(part.get("got")), numbers(part.get("rtt_ms"))
    counted = f"{got or 0} of {sent} answered" if sent else ""
    return ", ".join(t for t in (counted, _span(times)) if t)


def _connect(part: Mapping[str, Any]) -> str:
    tries, ok = whole(part.get("tries")), whole(part.get("ok"))
    counted = f"{ok or 0} of {tries} connected" if tries else ""
    return ", ".join(t for t in (counted, _span(numbers(part.get("ms"))), plain(part.get("said"), 200)) if t)


def _tls(part: Mapping[str, Any]) -> str:
    took = number(part.get("ms"))
    return ", ".join(t for t in (plain(part.get("protocol"), 40), ms(took) if took is not None else "", plain(part.get("said"), 200)) if t)  # fmt: skip


def _http(part: Mapping[str, Any]) -> str:
    code, size = whole(part.get("code")), whole(part.get("bytes"))
    return ", ".join(
        t for t in (
            f"answer {code}" if code is not None else "", f"{size} bytes" if size is not None else "",
            f"by {plain(part.get('server'), 60)}" if plain(part.get("server")) else "", plain(part.get("said"), 200),
        ) if t
    )  # fmt: skip


def _size(part: Mapping[str, Any]) -> str:
    largest = whole(part.get("largest"))
    if part.get("status") == "ok":
        return f"{largest} bytes pass whole" if largest else ""
    sizes = ", ".join(
        f"{plain(size, 6)} bytes: {whole(n) or 0} of 3" for size, n in list(table(part.get("sizes")).items())[:8]
    )
    by, fits = plain(part.get("said_by"), 64), whole(part.get("mtu"))
    told = f"{by} says at most {fits} bytes" if by and fits else f"{by} says too big" if by else ""
    return ", ".join(t for t in (f"largest that passes {largest} bytes" if largest else "", told, sizes, plain(part.get("why"), 200)) if t)  # fmt: skip


DETAILS = {"check": _check, "ping": _ping, "connect": _connect, "tls": _tls, "http": _http, "size": _size}


def _span(times: Sequence[float]) -> str:
    if not times:
        return ""
    return ms(times[0]) if len(times) == 1 else f"{ms(min(times))} to {ms(max(times))}"


# --- Names and certificates --------------------------------------------------------------------------------------------------
def names(part: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """Who answered what for the name, and whether that is what is usual."""
    known = set(words(usual.get("addresses"), 64))
    asked = [
        ("This probe's resolver", table(part.get("system"))),
        ("The same, for a name that must exist", table(part.get("control"))),
    ]
    asked += [(f"Resolver {plain(a.get('server')) or 'without a name'}", a) for a in rows(part.get("resolvers"))]
    asked += [
        (f"Responsible: {plain(a.get('server')) or 'without a name'}", a) for a in rows(part.get("authoritative"))
    ]
    answers = []
    for n, (who, a) in enumerate(asked):
        if not a:
            continue
        addresses = words(a.get("addresses"), 16)
        word, tone = status(a.get("status"))
        seconds, took = whole(a.get("ttl")), number(a.get("ms"))
        answers.append(
            {
                "who": who, "word": word, "tone": tone, "addresses": addresses, "cname": words(a.get("cname"), 8),
                "changed": n != 1 and bool(known and addresses) and not known & set(addresses),
                "took": took, "ttl": f"{seconds} s" if seconds is not None else "",
                "note": ", ".join(t for t in (plain(a.get("why"), 200), DNSSEC.get(plain(a.get("dnssec")), "")) if t),
            }
        )  # fmt: skip
    above = delegation(table(part.get("delegation")))
    return {
        "name": plain(part.get("name"), 253),
        "answers": answers,
        "usual": sorted(known),
        "delegation": above,
        "odd": any(a["changed"] or a["tone"] not in ("up", "unknown") for a in answers)
        or (above is not None and above["tone"] != "up"),
    }


DNSSEC = {"secure": "signed (DNSSEC)", "bogus": "signature is wrong (DNSSEC)", "insecure": ""}


def delegation(part: Mapping[str, Any]) -> dict[str, Any] | None:
    """Who the zone above says is responsible, and who the zone itself says."""
    if not part:
        return None
    word, tone = status(part.get("status"))
    return {"zone": plain(part.get("zone"), 253), "word": word, "tone": tone, "parent": words(part.get("parent"), 16), "child": words(part.get("child"), 16), "lame": words(part.get("lame"), 16)}  # fmt: skip


def tls(part: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """The certificate that was shown, and the one that is usual where it is another."""
    word, tone = status(part.get("status"))
    print_now, print_usual = plain(part.get("fingerprint"), 100), plain(usual.get("fingerprint"), 100)
    return {
        "word": word, "tone": tone, "protocol": plain(part.get("protocol"), 40), "subject": plain(part.get("subject"), 253), "issuer": plain(part.get("issuer"), 253),
        "not_after": moment(part.get("not_after")), "chain": whole(part.get("chain")), "fingerprint": print_now, "took": number(part.get("ms")),
        "said": plain(part.get("said"), LONG), "changed": bool(print_now and print_usual) and print_now.lower() != print_usual.lower(),
        "usual_subject": plain(usual.get("subject"), 253), "usual_issuer": plain(usual.get("issuer"), 253),
    }  # fmt: skip


# --- The probe's own line --------------------------------------------------------------------------------------------------------
def own(part: Mapping[str, Any], staff: bool) -> list[dict[str, str]]:
    """Can its word be trusted? Each fact with its tone. Others than staff read numbers instead of names."""
    found: list[dict[str, str]] = []
    anchors = table(part.get("anchors"))
    if anchors:
        reached = sum(v is True for v in anchors.values()) if staff else whole(anchors.get("reached")) or 0
        asked = len(anchors) if staff else whole(anchors.get("asked")) or 0
        text = f"{reached} of {asked} independent places reached"
        missed = [plain(k) for k, v in list(anchors.items())[:20] if v is not True] if staff else []
        found.append({"tone": "up" if reached == asked else "degraded" if reached else "down", "text": text + (f"; not {', '.join(missed)}" if missed else "")})  # fmt: skip
    gateway = table(part.get("gateway"))
    if gateway:
        sent, got, took = whole(gateway.get("sent")) or 0, whole(gateway.get("got")) or 0, number(gateway.get("ms"))
        address = plain(gateway.get("address"), 64)
        text = f"first router{f' {address}' if address else ''} answered {got} of {sent}" + (f" in {ms(took)}" if took is not None else "")  # fmt: skip
        found.append({"tone": "up" if got >= sent else "degraded" if got else "unknown", "text": text})
    near = table(part.get("neighbours"))
    if near:
        asked, answered = whole(near.get("asked")) or 0, whole(near.get("answered")) or 0
        found.append(
            {"tone": "up" if answered else "degraded", "text": f"{answered} of {asked} neighbours on its LAN answered"}
        )
    if part.get("target_on_lan") is True:
        said = ARP.get(plain(part.get("arp")), "")
        found.append({"tone": "down" if part.get("arp") == "failed" else "up", "text": "the target stands on its LAN" + (f" and {said}" if said else "")})  # fmt: skip
    return found


# --- Timeline ------------------------------------------------------------------------------------------------------------------------
def timeline(
    d: Diagnosis, places: Sequence[Mapping[str, Any]], changes: Sequence[RouteChange], found: Judged | None, *, people: bool
) -> list[dict[str, Any]]:  # fmt: skip
    """What happened, oldest first. Who asked is named to staff only."""
    story: list[tuple[datetime | None, str, str]] = [(d.first_failure_at, "down", "The first check failed")]
    asked = f"{d.get_cause_display()}{f': {plain(d.requested_by)}' if people and d.requested_by else ''}"
    story.append((d.started_at, "info", f"Diagnosis began ({asked[:1].lower()}{asked[1:]})"))
    began: dict[datetime, list[str]] = {}
    for p in places:
        if p["row"].started_at:
            began.setdefault(p["row"].started_at.replace(microsecond=0), []).append(p["name"])
    # The first of that second is not before the diagnosis' own beginning.
    story += [(max(at, d.started_at), "unknown", f"{listed(names)} began to look") for at, names in began.items()]
    for p in places:
        b = p["row"]
        if b.finished_at:
            took = f" after {ms(p['took'])}" if p["took"] is not None else ""
            text, tone = {
                "done": (f"{p['name']} had looked{took}", "up"),
                "failed": (f"{p['name']} could not look", "degraded"),
                "late": (f"{p['name']} answered too late for the first verdict", "degraded"),
            }.get(b.state, (f"{p['name']}: {b.get_state_display()}", "unknown"))
            story.append(
                (b.finished_at, tone, text + (", with measurements of a moment before" if p["reused"] else ""))
            )
    if d.state == Diagnosis.State.DONE and found:
        story.append((d.finished_at, "down", f"Verdict: {found.summary}"))
        if d.revision:
            times = "once" if d.revision == 1 else f"{d.revision} times"
            story.append((d.finished_at, "info", f"Revised {times} since by evidence that came later; the latest stands here"))  # fmt: skip
    elif d.state == Diagnosis.State.DROPPED:
        story.append((d.finished_at, "up", "It was well again before anything was seen"))
    for c in changes:
        story.append((c.at, "maintenance", f"Route from {plain(c.probe.name)} moved: {moved(c)}"))
    known = [{"at": at, "tone": tone, "text": text} for at, tone, text in story if at is not None]
    return sorted(known, key=lambda line: line["at"])


def listed(names: Sequence[str]) -> str:
    """Names as people list them."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def moved(c: RouteChange) -> str:
    """A route's change in words."""
    return route_words(c.before, c.after, c.as_before, c.as_after)
