"""When is it to be quiet, and how often again? The times of silences and maintenance windows, as people fill them in.

Times are wall times of the zone that the form names. The usual recurrences are choices; whoever needs more writes a rule.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from alerts.models import MaintenanceWindow, Silence
from console.pages import visit
from portal.models.clients import known_zone

SHAPE = "%Y-%m-%dT%H:%M"
DURATIONS = (
    ("1800", "30 minutes"),
    ("3600", "1 hour"),
    ("7200", "2 hours"),
    ("14400", "4 hours"),
    ("28800", "8 hours"),
    ("86400", "1 day"),
    ("604800", "1 week"),
    ("at", "Until a time"),
)
DAYS = (("MO", "Mon"), ("TU", "Tue"), ("WE", "Wed"), ("TH", "Thu"), ("FR", "Fri"), ("SA", "Sat"), ("SU", "Sun"))
ONCE, DAILY, WEEKLY, MONTHLY, WEEKDAY, OWN = "", "daily", "weekly", "monthly", "weekday", "own"
REPEATS = (
    (ONCE, "Once"),
    (DAILY, "Every day"),
    (WEEKLY, "Every week"),
    (MONTHLY, "Every month, on the same day"),
    (WEEKDAY, "Every month, on the same weekday (as the second Sunday)"),
    (OWN, "By a rule of your own"),
)


class WallField(forms.Field):
    """A time as it stands on a wall, without a zone."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format=SHAPE)

    def to_python(self, value: Any) -> datetime | None:
        if value in self.empty_values:
            return None
        for shape in (SHAPE, f"{SHAPE}:%S"):
            try:
                return datetime.strptime(str(value), shape)  # noqa: DTZ007 - the zone is another field
            except ValueError:
                continue
        raise ValidationError("Write a day and a time, as 2026-11-21T22:00.")


class TimesForm(forms.Form):
    """From when, how long, how often, in which zone."""

    starts_at = WallField(required=False, label="From", help_text="Empty: now.")
    duration = forms.ChoiceField(choices=DURATIONS, initial="3600", label="How long")
    ends_at = WallField(required=False, label="Until", help_text="Only with “Until a time”.")
    repeat = forms.ChoiceField(choices=REPEATS, required=False, label="How often")
    days = forms.MultipleChoiceField(
        choices=DAYS,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="On these days",
        help_text="Only with “Every week”; none ticked: the day it starts.",
    )
    last_day = forms.DateField(
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        label="Last day",
        help_text="When it repeats. Empty: until somebody cancels it.",
    )
    rule = forms.CharField(
        required=False,
        max_length=300,
        label="Rule",
        help_text="Only with a rule of your own, as FREQ=MONTHLY;BYDAY=-1FR (an RRULE).",
    )
    timezone = forms.CharField(max_length=64, label="Time zone", help_text="As Europe/Lisbon. Starts follow its clock.")
    TIMES = ("starts_at", "duration", "ends_at", "repeat", "days", "last_day", "rule", "timezone")
    AGAIN = ("days", "last_day", "rule")

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        kwargs["initial"] = {"timezone": str(visit.zone_of(request)), **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)

    def clean_timezone(self) -> str:
        zone = str(self.cleaned_data["timezone"]).strip()
        known_zone(zone)
        return zone

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if values.get("duration") == "at" and not values.get("ends_at"):
            self.add_error("ends_at", "Say until when.")
        if values.get("repeat") == OWN and not values.get("rule"):
            self.add_error("rule", "Write the rule, or choose another answer above.")
        return values

    def times(self, at: datetime) -> dict[str, Any]:
        """As the doors take them: a start, exactly one end, a rule and its zone."""
        values, zone = self.cleaned_data, ZoneInfo(self.cleaned_data["timezone"])
        start = values["starts_at"].replace(tzinfo=zone) if values.get("starts_at") else None
        wish = values["duration"]
        if wish == "recovered":
            end: dict[str, Any] = {"until_recovered": True}
        elif wish == "at":
            end = {"ends_at": values["ends_at"].replace(tzinfo=zone)}
        else:
            end = {"duration_seconds": int(wish)}
        local = (start or at).astimezone(zone)
        return {"starts_at": start, **end, "recurrence": self.recurrence(local), "timezone": str(zone)}

    def recurrence(self, start: datetime) -> str:
        """The rule that the choices amount to, for a start on the wall; "" for once."""
        values = self.cleaned_data
        day = DAYS[start.weekday()][0]
        turn = (start.day - 1) // 7 + 1
        text = {
            ONCE: "",
            DAILY: "FREQ=DAILY",
            WEEKLY: f"FREQ=WEEKLY;BYDAY={','.join(values.get('days') or [day])}",
            MONTHLY: f"FREQ=MONTHLY;BYMONTHDAY={start.day}",
            WEEKDAY: f"FREQ=MONTHLY;BYDAY={-1 if turn == 5 else turn}{day}",
            OWN: values.get("rule", ""),
        }[values.get("repeat") or ONCE]
        last = values.get("last_day")
        return f"{text};UNTIL={last:%Y%m%d}" if text and last and "UNTIL" not in text.upper() else text


def initial_times(row: Silence | MaintenanceWindow) -> dict[str, Any]:
    """What the form shows of a stored row."""
    zone = ZoneInfo(row.timezone)
    start = row.starts_at.astimezone(zone)
    found: dict[str, Any] = {"starts_at": start.strftime(SHAPE), "timezone": row.timezone, "duration": "at"}
    if row.ends_at is not None:
        length = str(int((row.ends_at - row.starts_at).total_seconds()))
        found["duration"] = length if length in dict(DURATIONS) else "at"
        found["ends_at"] = row.ends_at.astimezone(zone).strftime(SHAPE) if found["duration"] == "at" else None
    return {**found, **told_by(row.recurrence, start)}


def told_by(rule: str, start: datetime) -> dict[str, Any]:
    """Which choices a stored rule amounts to; a rule that none of them gives is shown as it is."""
    text, _, until = rule.partition(";UNTIL=")
    found: dict[str, Any] = {}
    if until and ";" not in until:
        found["last_day"] = datetime.strptime(until[:8], "%Y%m%d").date()  # noqa: DTZ007 - a day on the wall
    elif until:
        text = rule
    parts = dict(part.partition("=")[::2] for part in text.split(";")) if text else {}
    day, turn = DAYS[start.weekday()][0], (start.day - 1) // 7 + 1
    match parts:
        case {} if not parts:
            return {"repeat": ONCE}
        case {"FREQ": "DAILY"} if len(parts) == 1:
            return {**found, "repeat": DAILY}
        case {"FREQ": "WEEKLY"} if set(parts) <= {"FREQ", "BYDAY"}:
            days = parts.get("BYDAY", day).split(",")
            if set(days) <= dict(DAYS).keys():
                return {**found, "repeat": WEEKLY, "days": days}
        case {"FREQ": "MONTHLY", "BYMONTHDAY": number} if len(parts) == 2 and number == str(start.day):
            return {**found, "repeat": MONTHLY}
        case {"FREQ": "MONTHLY", "BYDAY": which} if len(parts) == 2 and which == f"{-1 if turn == 5 else turn}{day}":
            return {**found, "repeat": WEEKDAY}
    return {"repeat": OWN, "rule": rule}


WEEK = dict(DAYS)
TURNS = {"1": "first", "2": "second", "3": "third", "4": "fourth", "-1": "last"}


def said(row: Silence | MaintenanceWindow) -> str:
    """How often, in words; "" for once."""
    if not row.recurrence:
        return ""
    start = row.starts_at.astimezone(ZoneInfo(row.timezone))
    seen = told_by(row.recurrence, start)
    turn = (start.day - 1) // 7 + 1
    words = {
        DAILY: "every day",
        WEEKLY: "every " + ", ".join(WEEK[d] for d in seen.get("days", [])),
        MONTHLY: f"every month on day {start.day}",
        WEEKDAY: f"every {TURNS['-1' if turn == 5 else str(turn)]} {start:%A} of a month",
        OWN: row.recurrence,
    }[seen["repeat"]]
    words += f" at {start:%H:%M}" if seen["repeat"] != OWN else ""
    return f"{words}, until {seen['last_day']:%d %b %Y}" if seen.get("last_day") else words
