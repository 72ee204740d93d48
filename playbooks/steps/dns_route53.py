"""How is a record set changed at Amazon Route 53? One batch that deletes exactly the old set and creates the new one.

Route 53 carries a batch out wholly or not at all, and refuses to delete a set whose values or TTL are not those named: so
nothing that somebody else wrote meanwhile is lost.
https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlencode
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from alerts.channels.answers import hide, words_of
from playbooks.steps.base import NotDone
from playbooks.steps.dns_http import Fetch, changed, looked_up, question
from playbooks.steps.dns_records import CannotRead, RecordSet
from portal.outbound.aws import sign
from portal.outbound.http import Request, Response

ENDPOINT: Final = "https://route53.amazonaws.com"
REGION: Final = "us-east-1"  # of the one global service; China and GovCloud have their own
VERSION: Final = "2013-04-01"
NAMESPACE: Final = "https://route53.amazonaws.com/doc/2013-04-01/"
WHO: Final = "Route 53"


class Route53:
    """A hosted zone, for one name and type."""

    def __init__(
        self, fetch: Fetch, now: Callable[[], datetime], *, endpoint: str, region: str, zone_id: str, name: str, record_type: str, key_id: str, secret: str
    ) -> None:  # fmt: skip
        self.fetch, self.now, self.name, self.type = fetch, now, name, record_type
        self.key_id, self.secret, self.region = key_id, secret, region or REGION
        self.url = f"{endpoint or ENDPOINT}/{VERSION}/hostedzone/{quote(zone_id, safe='')}/rrset"
        self.spelt: list[
            str
        ] = []  # the values as they were read last: Route 53 deletes what is named in its own spelling

    def read(self) -> RecordSet:
        """The set of this name and type; routing policies and aliases are not for this step."""
        query = urlencode({"name": f"{self.name}.", "type": self.type, "maxitems": "1"})
        response = looked_up(self.fetch, self._request("GET", f"{self.url}?{query}"), WHO, self._words)
        root = _tree(response)
        if root is None or _tag(root) != "ListResourceRecordSetsResponse":
            raise CannotRead("That is not Route 53's answer.")
        # The list begins at the first set at or after what was asked for: it may be another name's.
        found = next((e for e in root.iter() if _tag(e) == "ResourceRecordSet"), None)
        if found is None or _text(found, "Name").lower() != f"{self.name}." or _text(found, "Type") != self.type:
            return RecordSet()
        if _text(found, "SetIdentifier") or any(_tag(e) == "AliasTarget" for e in found):
            raise CannotRead("It is an alias or has a routing policy at Route 53; this step changes plain record sets.")
        values = [e.text or "" for e in found.iter() if _tag(e) == "Value"]
        try:
            held = RecordSet.of(values, int(_text(found, "TTL")), self.type)
        except ValueError:
            raise CannotRead("Route 53 told a record that is not one of its type.") from None
        self.spelt = values
        return held

    def fitted(self, wanted: RecordSet, old: RecordSet) -> RecordSet:
        """As it is."""
        return wanted

    def replace(self, old: RecordSet, new: RecordSet) -> str:
        """One batch: delete exactly `old`, create `new`."""
        parts = (("DELETE", self.spelt if old.values else [], old.ttl), ("CREATE", new.values, new.ttl))
        changes = "".join(self._change(action, values, ttl) for action, values, ttl in parts if values)
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?><ChangeResourceRecordSetsRequest xmlns="{NAMESPACE}">'
            f"<ChangeBatch><Changes>{changes}</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
        )
        try:
            response = changed(self.fetch, self._request("POST", f"{self.url}/", body.encode()), WHO, self._words)
        except NotDone as error:
            if "do not match the current values" in str(error) or "already exists" in str(error):
                raise NotDone(f"Somebody else changed it in this very moment: nothing was changed. {error}") from None
            raise
        root = _tree(response)
        change = next((e.text or "" for e in root.iter() if _tag(e) == "Id"), "") if root is not None else ""
        known = f" (change {change.removeprefix('/change/')[:40]})" if change else ""
        return f"Route 53's servers may take a minute to all know it{known}."

    def _change(self, action: str, values: Sequence[str], ttl: int | None) -> str:
        records = "".join(f"<ResourceRecord><Value>{escape(v)}</Value></ResourceRecord>" for v in values)
        return (
            f"<Change><Action>{action}</Action><ResourceRecordSet><Name>{escape(self.name)}.</Name><Type>{self.type}</Type>"
            f"<TTL>{ttl}</TTL><ResourceRecords>{records}</ResourceRecords></ResourceRecordSet></Change>"
        )

    def _request(self, method: str, url: str, body: bytes | None = None) -> Request:
        headers = {"Accept": "text/xml"} | ({"Content-Type": "text/xml"} if body else {})
        signed = sign(
            method, url, headers, body, key=self.key_id, secret=self.secret, region=self.region, service="route53", now=self.now()
        )  # fmt: skip
        return question(method, url, signed, body)

    def _words(self, response: Response) -> str:
        root = _tree(response)
        if root is None:
            return words_of(response, [self.secret])
        code = next((e.text or "" for e in root.iter() if _tag(e) == "Code"), _tag(root))
        said = [e.text or "" for e in root.iter() if _tag(e) == "Message"]
        return " ".join(hide(f"{code} {' '.join(said)}", [self.secret]).split())[:300]


def _tree(response: Response) -> ElementTree.Element | None:
    """The answer's XML; None when it is none. A document type has no place in it: entities are how XML grows without end."""
    if b"<!" in response.body:
        return None
    try:
        return ElementTree.fromstring(response.body)
    except ElementTree.ParseError:
        return None


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _text(element: ElementTree.Element, name: str) -> str:
    return next((e.text or "" for e in element if _tag(e) == name), "")
