"""What fits into a text message, and is this a telephone number? Numbers, segments and the text of an SMS. Pure.

A message is paid by the segment: 160 characters of the GSM-7 alphabet (153 in a chain), or 70 UTF-16 units (67 in a
chain) as soon as one character is outside it. Our own dashes and dots are written in GSM-7; names stay as typed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import Annotated, Final
from urllib.parse import urlsplit

from django.conf import settings
from pydantic import AfterValidator, BeforeValidator, Field

from alerts.channels.wording import buttons, counts, cut_middle, first_line, line_where, line_word, one_line, word
from alerts.message import Message

GSM7: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM7_DOUBLE: Final = frozenset("^{}\\[~]|€\f")  # each takes two places
PLAIN: Final = str.maketrans(
    {"…": "...", "—": "-", "–": "-", "·": "-", "“": '"', "”": '"', "‘": "'", "’": "'", "\u00a0": " ", "→": "->"}
)
E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
HOW: Final = "Write the number with + and the country code, as +351912345678."
SHORTEST_NAME, LONGEST_NAME = 16, 500
KEPT_BARE: Final = "/:#()"  # stands for itself in a form's value: a log of the request stays readable


# --- Numbers ---------------------------------------------------------------------------------------------------------
def number(value: object) -> object:
    """A telephone number in E.164, without the spaces, dots, dashes and brackets that people write; "" stays.

    ValueError with a sentence for anything else.
    """
    if not isinstance(value, str):
        return value
    text = re.sub(r"[\s().\-/]", "", value.strip())
    if text.startswith("00"):
        text = "+" + text[2:]
    if text and not E164.fullmatch(text):
        raise ValueError(HOW)
    return text


def _given(value: str) -> str:
    if not value:
        raise ValueError(HOW)
    return value


def sender(value: object) -> object:
    """Who an SMS comes from: a number, a short code, or up to 11 letters and digits (nobody can answer those)."""
    if not isinstance(value, str) or not value.strip():
        return value.strip() if isinstance(value, str) else value
    text = value.strip()
    if re.fullmatch(r"[0-9]{3,8}", text) or (
        re.fullmatch(r"[A-Za-z0-9 ]{1,11}", text) and re.search(r"[A-Za-z]", text)
    ):
        return text
    try:
        return number(text)
    except ValueError:
        raise ValueError(
            "A sender is a number with + and the country code, a short code, or a name of up to 11 letters and digits."
        ) from None


def answerable(text: str) -> bool:
    """Can a person answer to this sender? Not to a name."""
    return not re.search(r"[A-Za-z]", text)


Number = Annotated[str, Field(max_length=40), BeforeValidator(number)]
RequiredNumber = Annotated[Number, AfterValidator(_given)]
Sender = Annotated[str, Field(max_length=40), BeforeValidator(sender)]


def masked(text: str) -> str:
    """`+351…91`: who it was, for a log, without the number."""
    return f"{text[:4]}…{text[-2:]}" if len(text) > 8 else "…"


# --- Segments --------------------------------------------------------------------------------------------------------
def is_gsm7(text: str) -> bool:
    """Does the text fit the short alphabet as a whole?"""
    return all(char in GSM7 or char in GSM7_DOUBLE for char in text)


def segments(text: str) -> int:
    """How many are paid. A character that takes two places is never torn apart between two of them."""
    short = is_gsm7(text)
    sizes = [2 if (char in GSM7_DOUBLE if short else ord(char) > 0xFFFF) else 1 for char in text]
    alone, chained = (160, 153) if short else (70, 67)
    if sum(sizes) <= alone:
        return 1
    count, room = 1, chained
    for size in sizes:
        if size > room:
            count, room = count + 1, chained
        room -= size
    return count


def longest(text: str, fits: Callable[[str], bool]) -> str:
    """The text, or as much of its beginning as fits, the rest told by `...`; "" when nothing does."""
    if fits(text):
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if fits(text[:middle].rstrip() + "..."):
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "..." if low else ""


def shortened(name: str, fits: Callable[[str], bool]) -> str:
    """The name with as little of its middle cut out as fits; a stump of it where nothing does."""
    low, high = SHORTEST_NAME, min(len(name), LONGEST_NAME)
    while low < high:
        middle = (low + high + 1) // 2
        if fits(cut_middle(name, middle).translate(PLAIN)):
            low = middle
        else:
            high = middle - 1
    return cut_middle(name, low).translate(PLAIN)


# --- The text --------------------------------------------------------------------------------------------------------
def said(message: Message) -> tuple[str, str]:
    """(what and where, why) in a few words; of a gathered message its counts and its alerts, worst first."""
    repeat = " (repeat)" if message.repeated else ""
    if message.lines:
        listed = "; ".join(f"{line_word(line)} {line_where(line)}" for line in message.lines)
        return counts(message) + repeat, listed
    about = message.where or one_line(message.title)
    cause = first_line(message)
    if message.resolved:
        cause = cause.replace(one_line(message.title), "").strip()  # "after 6 min": the word says the rest
    return f"{word(message)}: {one_line(about)}{repeat}", "" if cause == one_line(about) else cause


def link_of(message: Message) -> str:
    """The one link that a short text has room for: the most urgent."""
    pressed = buttons(message.links)
    return pressed[0].url if pressed else ""


def sms(message: Message, *, reply: str = "", most: int = 2, characters: int = 1600) -> str:
    """The text message: what, where, why, the link, how to answer. At most `most` segments, as long as the link fits.

    The cause is cut first, then the middle of the name; the link and the answer's code never.
    """
    what, why = (part.translate(PLAIN) for part in said(message))
    what, why = cut_middle(what, LONGEST_NAME), why[:characters]
    tail = [line for line in (link_of(message), reply) if line]

    def text(cause: str, name: str) -> str:
        return "\n".join(filter(None, (name, cause, *tail)))

    def fits(whole: str) -> bool:
        return segments(whole) <= most and len(whole.encode("utf-16-le")) // 2 <= characters

    cause = longest(why, lambda part: fits(text(part, what)))
    if cause or fits(text("", what)):
        return text(cause, what)
    return text("", shortened(what, lambda name: fits(text("", name))))


# --- The way back ----------------------------------------------------------------------------------------------------
def reachable() -> bool:
    """May a vendor call the portal back? Not when its address is this machine's own name, or a private one."""
    host = urlsplit(settings.BASE_URL).hostname or ""
    try:
        return ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".localhost", ".local", ".internal"))


def hook(path: str) -> str:
    """The address of one of our hooks; from settings, as a signature is made over it."""
    return f"{settings.BASE_URL}/hooks/{path}"
