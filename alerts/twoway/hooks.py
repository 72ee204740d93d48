"""What holds for every address that vendors call? POST only, small, without a session; a proof is asked for in each.

`/hooks/<vendor>/…` is the only place without CSRF's cookie: a signature takes its place.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

log = logging.getLogger("watchkeeper.hooks")

LARGEST = 64 * 1024
HOUR = 3600
MOST_WRONG = 10  # wrong codes of one number within an hour; then it is not listened to
MOST_HINTS = 3  # "reply ACK …" within an hour: two machines must not talk to each other all night
REMEMBERED = 24 * HOUR

View = Callable[..., HttpResponse]


def hook(view: View) -> View:
    """A vendor's door: 405 for anything but POST, 413 above 64 KB."""

    @functools.wraps(view)
    def guarded(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if request.method != "POST":
            return text("This address is for POST.", 405, Allow="POST")
        try:
            length = int(request.META.get("CONTENT_LENGTH") or 0)
        except ValueError:
            return text("The length cannot be read.", 400)
        if length > LARGEST or len(request.body) > LARGEST:
            return text("The body is larger than 64 KB.", 413)
        return view(request, *args, **kwargs)

    return csrf_exempt(never_cache(guarded))


def text(said: str, status: int = 200, **headers: str) -> HttpResponse:
    """A short answer in plain text."""
    return HttpResponse(said, status=status, content_type="text/plain; charset=utf-8", headers=headers)


def refused(request: HttpRequest, why: str) -> HttpResponse:
    """403, and a line in the log: whoever sets a hook up wrongly finds the reason there."""
    log.warning("%s was refused: %s", request.path.partition("/hooks/")[2].split("/")[0] or request.path, why)
    return unlogged(text(f"Refused: {why}", 403))


def unlogged(response: HttpResponse) -> HttpResponse:
    """Django logs the path of every refusal; where the path carries a token that is good still, it must not."""
    response._has_been_logged = True
    return response


def counted(kind: str, who: str) -> int:
    """How often within the hour, this time included."""
    key = f"twoway:{kind}:{who}"
    if cache.add(key, 1, HOUR):
        return 1
    try:
        return int(cache.incr(key))
    except ValueError:  # it ended between the two
        cache.set(key, 1, HOUR)
        return 1


def count_of(kind: str, who: str) -> int:
    """The same without counting."""
    return int(cache.get(f"twoway:{kind}:{who}") or 0)


def seen_before(mark: str) -> bool:
    """Was this very message handled already? Vendors repeat what they think was lost; others replay what they overheard."""
    return cache.get(f"twoway:seen:{mark}") is not None


def remember(mark: str) -> None:
    """It is handled: a repeat does nothing for a day."""
    cache.set(f"twoway:seen:{mark}", 1, REMEMBERED)
