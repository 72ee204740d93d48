"""How does a month's report reach a client's desk? As pages of PDF and as a table for a spreadsheet, from the report's own body."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from incidents import sla
from incidents.blocks import Block, Grid, Heading, Text, says
from incidents.documents import pdf
from incidents.spelling import table

HEAD = (
    "month", "service", "row", "monitor", "from", "until", "seconds", "counted_seconds", "down_seconds", "percent",
    "target_percent", "met", "why",
)  # fmt: skip


def percent(value: float | None) -> str:
    """`99.95 %`, never rounded up; `no data` where nothing was measured."""
    return "no data" if value is None else f"{value:.4f}".rstrip("0").rstrip(".") + " %"


def verdict(section: dict[str, Any]) -> str:
    """Was the target met, in words."""
    if section["met"] is None:
        return "Nothing was measured."
    word = "met" if section["met"] else "missed"
    return f"Target {percent(section['contract']['target_percent'])} {word}{'' if section['complete'] else ' so far'}."


def month_words(body: dict[str, Any]) -> str:
    """The report's month as people say it: `October 2026`."""
    return f"{date.fromisoformat(body['month'] + '-01'):%B %Y}"


def left(section: dict[str, Any]) -> str:
    """How much of the allowed downtime is left, in words."""
    if section["met"] is None:
        return "–"
    allowed, rest = section["allowed_seconds"], section["left_seconds"]
    if rest >= 0:
        return f"{sla.words(rest)} left of {sla.words(allowed)} allowed"
    return f"{sla.words(-rest)} over the {sla.words(allowed)} allowed"


def excludes(section: dict[str, Any]) -> str:
    """What the contract leaves out and from when it counts, in one sentence."""
    c = section["contract"]
    out = [
        words
        for name, words in (
            ("exclude_maintenance", "maintenance"), ("exclude_transit", "faults on the way (transit)"), ("exclude_probe", "faults of our own probes"),
            ("exclude_unknown", "time in which nothing was measured"),
        )
        if c[name]
    ]  # fmt: skip
    began = "the first failing check" if c["counted_from"] == sla.FIRST_FAILURE else "confirmation"
    return f"Left out: {', '.join(out) or 'nothing'}. Outages count from {began}. Degraded is no outage. Times in {c['timezone']}."


def moment(text: str, zone: str) -> str:
    """A report's time as its client reads clocks."""
    return f"{datetime.fromisoformat(text).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}"


def _until(stretch: dict[str, Any], zone: str) -> str:
    """When it ended: the day only where it is another one than it began on."""
    began, ended = moment(stretch["from"], zone), moment(stretch["until"], zone)
    return ended[11:] if began[:10] == ended[:10] else ended


def _wide(rows: list[dict[str, Any]], zone: str) -> int:
    """The width of their column of ends, as a share of the page."""
    return 34 if any(len(_until(row, zone)) > 8 for row in rows) else 18


def blocks(body: dict[str, Any], digest: str = "") -> list[Block]:
    """The report as headings, sentences and tables."""
    found: list[Block] = [Heading(f"Availability in {month_words(body)}", 1), Text(((body["client_name"], "b"),))]
    if not body["services"]:
        found.append(says("No service has a contract."))
    rows = tuple(
        (
            s["name"],
            percent(s["contract"]["target_percent"]),
            percent(s["contract_figures"]["percent"]),
            percent(s["raw"]["percent"]),
            verdict(s),
            left(s),
        )
        for s in body["services"]
    )
    if rows:
        found.append(
            Grid(("Service", "Target", "By contract", "Raw", "", "Allowed downtime"), rows, (36, 15, 22, 20, 33, 48))
        )
    for s in body["services"]:
        found += _section(s)
    kept = f" Report {digest[:16]}." if digest else ""
    found.append(says(f"Counted {body['counted_at']}.{kept} Percentages are rounded down.", faint=True))
    return found


def _section(s: dict[str, Any]) -> list[Block]:
    zone = s["contract"]["timezone"] or "UTC"
    rest = "" if s["met"] is None else f" {left(s)}."
    found: list[Block] = [Heading(s["name"], 2), Text(((verdict(s), "b"), (rest, "")))]
    found.append(says(excludes(s), faint=True))
    figures = (("Raw", s["raw"]), ("By contract", s["contract_figures"]))
    found.append(Grid(("", "Availability", "Down", "Of"), tuple((n, percent(f["percent"]), sla.words(f["down_seconds"]), sla.words(f["counted_seconds"])) for n, f in figures)))  # fmt: skip
    if s["outages"]:
        found.append(Heading("Outages", 3))
        found.append(
            Grid(
                ("Monitor", "From", "Until", "Lasted", "Cause", "Counts"),
                tuple(
                    (
                        o["monitor"],
                        moment(o["from"], zone),
                        _until(o, zone),
                        sla.words(o["seconds"]),
                        o["layer"] or o["reason"],
                        f"no, {o['excluded']}" if o["excluded"] else "yes",
                    )
                    for o in s["outages"]
                ),
                (38, 34, _wide(s["outages"], zone), 22, 34, 22),
            )  # fmt: skip
        )
    else:
        found.append(says("No outage."))
    if s["excluded"]:
        found.append(Heading("What does not count, and why", 3))
        found.append(Grid(("From", "Until", "Lasted", "Monitor", "Why"), tuple((moment(e["from"], zone), _until(e, zone), sla.words(e["seconds"]), e["monitor"] or "all", e["why"]) for e in s["excluded"]), (34, _wide(s["excluded"], zone), 22, 36, 56)))  # fmt: skip
    return found


def as_pdf(body: dict[str, Any], digest: str = "") -> bytes:
    """The report on paper."""
    title = f"Availability in {month_words(body)} · {body['client_name']}"
    return pdf(title, blocks(body, digest), foot=title)


def as_csv(body: dict[str, Any]) -> str:
    """One line for each figure, outage and excluded stretch; harmless in a spreadsheet."""
    rows: list[tuple[object, ...]] = []
    for s in body["services"]:
        target, about = s["contract"]["target_percent"], (body["month"], s["name"])
        for word, f in (("raw", s["raw"]), ("contract", s["contract_figures"])):
            met = {True: "yes", False: "no", None: ""}[s["met"]] if word == "contract" else ""
            rows.append(
                (
                    *about,
                    word,
                    "",
                    s["from"],
                    s["until"],
                    "",
                    f["counted_seconds"],
                    f["down_seconds"],
                    "" if f["percent"] is None else f["percent"],
                    target,
                    met,
                    "",
                )
            )
        rows += [
            (
                *about,
                "outage",
                o["monitor"],
                o["from"],
                o["until"],
                o["seconds"],
                "",
                "",
                "",
                "",
                "",
                o["excluded"] or o["layer"] or o["reason"],
            )
            for o in s["outages"]
        ]
        rows += [
            (*about, "excluded", e["monitor"], e["from"], e["until"], e["seconds"], "", "", "", "", "", e["why"])
            for e in s["excluded"]
        ]
    return table(HEAD, rows)
