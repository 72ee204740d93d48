"""How is a record set changed at Cloudflare? One batch call, which its database carries out wholly or not at all.

Records keep their ids, comments and proxying where they can: values are patched into them. The API knows no condition "only
if it still holds …"; what is left is to read immediately before, and that a record deleted meanwhile makes the batch fail.
https://developers.cloudflare.com/api/resources/dns/subresources/records/methods/batch/
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote, urlencode

from alerts.channels.answers import hide, words_of
from alerts.channels.json_answers import object_of
from playbooks.steps.base import Unsure
from playbooks.steps.dns_http import Fetch, changed, looked_up, question
from playbooks.steps.dns_records import CannotRead, RecordSet
from portal.outbound.http import Request, Response

ENDPOINT: Final = "https://api.cloudflare.com/client/v4"
WHO: Final = "Cloudflare"
MOST: Final = 100
AUTOMATIC: Final = 1  # the TTL of everything that is proxied


class Cloudflare:
    """A zone at Cloudflare, for one name and type."""

    def __init__(self, fetch: Fetch, *, endpoint: str, zone_id: str, name: str, record_type: str, token: str) -> None:
        self.fetch, self.name, self.type, self.token = fetch, name, record_type, token
        self.records_url = f"{endpoint or ENDPOINT}/zones/{quote(zone_id, safe='')}/dns_records"
        self.records: list[dict[str, Any]] = []  # as read last

    def read(self) -> RecordSet:
        """The name's records of this type."""
        query = urlencode({"type": self.type, "name.exact": self.name, "per_page": MOST})
        response = looked_up(self.fetch, self._request("GET", f"{self.records_url}?{query}"), WHO, self._words)
        said = object_of(response)
        rows, about = said.get("result"), said.get("result_info")
        if said.get("success") is not True or not isinstance(rows, list):
            raise CannotRead("That is not Cloudflare's answer.")
        if len(rows) >= MOST or (isinstance(about, dict) and int(about.get("total_pages") or 0) > 1):
            raise CannotRead("Cloudflare has more records of this name than can be read at once.")
        self.records = [row for row in rows if isinstance(row, dict) and self._is_ours(row)]
        return self._held()

    def _is_ours(self, row: dict[str, Any]) -> bool:
        return str(row.get("name", "")).lower() == self.name and row.get("type") == self.type

    def _held(self) -> RecordSet:
        if not self.records:
            return RecordSet()
        kinds = {(row.get("ttl"), bool(row.get("proxied"))) for row in self.records}
        if len(kinds) > 1:
            raise CannotRead("Its records have different TTLs, or only some are proxied: make them alike first.")
        ((ttl, proxied),) = kinds
        try:
            return RecordSet.of([row["content"] for row in self.records], ttl, self.type, proxied=proxied)
        except (KeyError, TypeError, ValueError):
            raise CannotRead("Cloudflare told a record that is not one of its type.") from None

    def fitted(self, wanted: RecordSet, old: RecordSet) -> RecordSet:
        """Proxied records stay so, and have no TTL of their own."""
        if not (old.proxied or wanted.proxied) or not wanted.values:
            return wanted
        return replace(wanted, ttl=AUTOMATIC, proxied=True)

    def replace(self, old: RecordSet, new: RecordSet) -> str:
        """One batch."""
        body = json.dumps(self._batch(new)).encode()
        response = changed(self.fetch, self._request("POST", f"{self.records_url}/batch", body), WHO, self._words)
        if object_of(response).get("success") is not True:
            raise Unsure(f"Cloudflare's answer does not say that it was done: {words_of(response, [self.token])}")
        return "Cloudflare's servers may take some seconds to all know it."

    def _batch(self, new: RecordSet) -> dict[str, list[dict[str, Any]]]:
        about = {"type": self.type, "name": self.name, "ttl": new.ttl, "proxied": new.proxied}
        held = RecordSet.of  # one value at a time, in the form in which values are compared
        kept = [r for r in self.records if held([r["content"]], 1, self.type).values[0] in new.values]
        gone = [r for r in self.records if r not in kept]
        there = {held([r["content"]], 1, self.type).values[0] for r in kept}
        fresh = [value for value in new.values if value not in there]
        patches = [
            {"id": r["id"], "content": r["content"], **about} for r in kept if (r.get("ttl"), bool(r.get("proxied"))) != (new.ttl, new.proxied)
        ]  # fmt: skip
        patches += [{"id": r["id"], "content": value, **about} for r, value in zip(gone, fresh, strict=False)]
        deletes = [{"id": r["id"]} for r in gone[len(fresh) :]]
        posts = [{"content": value, **about} for value in fresh[len(gone) :]]
        parts = {"deletes": deletes, "patches": patches, "posts": posts}
        return {name: part for name, part in parts.items() if part}

    def _request(self, method: str, url: str, body: bytes | None = None) -> Request:
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        return question(method, url, {**headers, "Content-Type": "application/json"} if body else headers, body)

    def _words(self, response: Response) -> str:
        errors = object_of(response).get("errors")
        if not isinstance(errors, list) or not errors:
            return words_of(response, [self.token])
        said = "; ".join(f"{e.get('message')} ({e.get('code')})" for e in errors[:3] if isinstance(e, dict))
        return " ".join(hide(said, [self.token]).split())[:240]
