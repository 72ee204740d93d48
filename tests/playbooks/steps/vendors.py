"""How do Cloudflare and Route 53 behave towards whoever changes records? Their rules as servers on loopback: they judge method,
path, headers, body and signature as the real ones document it, and refuse what those would refuse."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit
from xml.etree import ElementTree

from tests.rig.answers import Answer
from tests.rig.calls import Call

NAME, ZONE = "www.example.test", "example.test"
R53 = "https://route53.amazonaws.com/doc/2013-04-01/"


class CloudflareZone:
    """One zone of API v4: https://developers.cloudflare.com/api/resources/dns/subresources/records/"""

    ID, TOKEN = "023e105f4ecef8ad9ca31a8372d0c353", "cf-token-Sn3lZJTBX6kkg7OdcBUAxOO963GEIyGQ"

    def __init__(self, *records: tuple[str, str, int, bool]) -> None:
        """`records`: (type, content, ttl, proxied) of NAME."""
        self.numbers = itertools.count(1)
        self.records: dict[str, dict[str, Any]] = {}
        for record_type, content, ttl, proxied in records:
            self._add({"type": record_type, "name": NAME, "content": content, "ttl": ttl, "proxied": proxied})
        self.before_change: Callable[[], None] = lambda: None
        self.batches: list[dict[str, Any]] = []

    def _add(self, record: dict[str, Any]) -> None:
        pk = f"{next(self.numbers):032x}"
        self.records[pk] = {"id": pk, "comment": None, "tags": [], **record}

    def holds(self) -> list[tuple[str, str, int, bool]]:
        """As `records` of the constructor."""
        return sorted((r["type"], r["content"], r["ttl"], r["proxied"]) for r in self.records.values())

    def judge(self, call: Call) -> Answer:
        """Cloudflare's answer."""
        if call.headers.get("authorization") != f"Bearer {self.TOKEN}":
            return self._no(403, 10000, "Authentication error")
        root = f"/client/v4/zones/{self.ID}/dns_records"
        if call.method == "GET" and call.path == root:
            return self._list({name: values[0] for name, values in call.query.items()})
        if call.method == "POST" and call.path == f"{root}/batch":
            if call.headers.get("content-type") != "application/json":
                return self._no(400, 6003, "Invalid request headers")
            return self._batch(call.json())
        return self._no(404, 7003, "Could not route to this path, perhaps your object identifier is invalid?")

    def _list(self, query: dict[str, str]) -> Answer:
        rows = [
            r for r in self.records.values() if query.get("type") in (None, r["type"]) and query.get("name.exact") in (None, r["name"])
        ]  # fmt: skip
        size = int(query.get("per_page", "100"))
        about = {
            "page": 1,
            "per_page": size,
            "count": len(rows[:size]),
            "total_count": len(rows),
            "total_pages": -(-len(rows) // size),
        }
        return self._yes({"result": rows[:size], "result_info": about})

    def _batch(self, body: dict[str, Any]) -> Answer:
        """In one transaction: deletes, patches, puts, posts."""
        self.before_change()
        assert set(body) <= {"deletes", "patches", "puts", "posts"} and body, body
        self.batches.append(body)
        kept = {pk: dict(r) for pk, r in self.records.items()}
        try:
            for entry in body.get("deletes", ()):
                del self.records[entry["id"]]
            for entry in body.get("patches", ()):
                self.records[entry["id"]].update(self._fit(entry))
            for entry in body.get("posts", ()):
                self._add(self._fit({"proxied": False, "ttl": 1, **entry}))
            self._refuse_twins()
        except KeyError:
            self.records = kept
            return self._no(404, 81044, "Record does not exist.")
        except ValueError as error:
            self.records = kept
            return self._no(400, *error.args)
        return self._yes({"result": {name: body.get(name, []) for name in ("deletes", "patches", "puts", "posts")}})

    def _fit(self, entry: dict[str, Any]) -> dict[str, Any]:
        ttl = entry.get("ttl", 1)
        if ttl != 1 and not 60 <= ttl <= 86400:
            raise ValueError(9021, "Invalid TTL. Must be between 60 and 86400 seconds, or 1 for Automatic.")
        if entry.get("proxied"):
            entry = {**entry, "ttl": 1}
        return entry

    def _refuse_twins(self) -> None:
        seen = [(r["type"], r["name"], r["content"]) for r in self.records.values()]
        if len(set(seen)) != len(seen):
            raise ValueError(81058, "An identical record already exists.")
        aliases = {r["name"] for r in self.records.values() if r["type"] == "CNAME"}
        if any(sum(r["name"] == name for r in self.records.values()) > 1 for name in aliases):
            raise ValueError(81053, "An A, AAAA, or CNAME record with that host already exists.")

    @staticmethod
    def _yes(said: dict[str, Any]) -> Answer:
        body = {"errors": [], "messages": [], "success": True, **said}
        return Answer(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    @staticmethod
    def _no(status: int, code: int, message: str) -> Answer:
        body = {"result": None, "success": False, "errors": [{"code": code, "message": message}], "messages": []}
        return Answer(status, json.dumps(body).encode(), {"Content-Type": "application/json"}, accepted=False)


class HostedZone:
    """One hosted zone: https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html"""

    ID, KEY, SECRET = "Z148QEXAMPLE8V", "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

    def __init__(self, region: str = "us-east-1") -> None:
        self.region = region
        self.sets: dict[
            tuple[str, str], tuple[list[str], int]
        ] = {}  # (name, type) → (values as they were written, TTL)
        self.special = ""  # XML inside of NAME's set in place of records: an alias, a routing policy
        self.before_change: Callable[[], None] = lambda: None
        self.batches: list[list[tuple[str, str, list[str], int]]] = []

    def judge(self, call: Call) -> Answer:
        """Route 53's answer."""
        if fault := self._unsigned(call):
            return self._no(403, fault, "The request signature does not match.")
        path = f"/2013-04-01/hostedzone/{self.ID}/rrset"
        if call.method == "GET" and call.path == path:
            return self._list(call.query)
        if call.method == "POST" and call.path == f"{path}/":
            return self._change(call.body)
        return self._no(404, "NoSuchHostedZone", "No hosted zone found.")

    # --- The signature, reckoned from what came over the wire -----------------------------------------------------------
    def _unsigned(self, call: Call) -> str:
        scheme, _, rest = call.headers.get("authorization", "").partition(" ")
        parts = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
        stamp = call.headers.get("x-amz-date", "")
        if scheme != "AWS4-HMAC-SHA256" or set(parts) != {"Credential", "SignedHeaders", "Signature"}:
            return "MissingAuthenticationToken"
        key, day, region, service, last = parts["Credential"].split("/")
        if (key, region, service, last) != (self.KEY, self.region, "route53", "aws4_request"):
            return "InvalidClientTokenId"
        when = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if day != stamp[:8] or abs(datetime.now(UTC) - when) > timedelta(minutes=5):
            return "RequestExpired"
        names = parts["SignedHeaders"].split(";")
        if names != sorted(names) or not {"host", "x-amz-date"} <= set(names):
            return "SignatureDoesNotMatch"
        target = urlsplit(call.target)
        pairs = sorted(
            (quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in parse_qsl(target.query, keep_blank_values=True)
        )
        lines = [call.method, quote(target.path, safe="/-_.~"), "&".join(f"{k}={v}" for k, v in pairs)]
        lines += [f"{name}:{' '.join(call.headers[name].split())}" for name in names]
        lines += ["", parts["SignedHeaders"], hashlib.sha256(call.body).hexdigest()]
        wanted = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{day}/{region}/{service}/aws4_request\n{wanted}"
        secret = f"AWS4{self.SECRET}".encode()
        for word in (day, region, service, "aws4_request", text):
            secret = hmac.digest(secret, word.encode(), "sha256")
        return "" if hmac.compare_digest(secret.hex(), parts["Signature"]) else "SignatureDoesNotMatch"

    # --- The records -----------------------------------------------------------------------------------------------------
    def _list(self, query: dict[str, list[str]]) -> Answer:
        """From the first set at or after name and type, in order of names from the right."""
        start = (_backwards(query["name"][0].rstrip(".")), query["type"][0])
        found = sorted(k for k in self.sets if (_backwards(k[0]), k[1]) >= start)[: int(query["maxitems"][0])]
        rows = "".join(self._row(name, kind) for name, kind in found)
        body = (
            f'<?xml version="1.0"?>\n<ListResourceRecordSetsResponse xmlns="{R53}"><ResourceRecordSets>{rows}</ResourceRecordSets>'
            "<IsTruncated>false</IsTruncated><MaxItems>1</MaxItems></ListResourceRecordSetsResponse>"
        )
        return Answer(200, body.encode(), {"Content-Type": "text/xml"})

    def _row(self, name: str, kind: str) -> str:
        values, ttl = self.sets[name, kind]
        records = "".join(f"<ResourceRecord><Value>{v}</Value></ResourceRecord>" for v in values)
        inside = f"<TTL>{ttl}</TTL><ResourceRecords>{records}</ResourceRecords>"
        inside = self.special if self.special and name == NAME else inside
        return f"<ResourceRecordSet><Name>{name}.</Name><Type>{kind}</Type>{inside}</ResourceRecordSet>"

    def _change(self, body: bytes) -> Answer:
        self.before_change()
        root = ElementTree.fromstring(body)
        assert root.tag == f"{{{R53}}}ChangeResourceRecordSetsRequest", root.tag
        changes = [self._read(change) for change in root.iter(f"{{{R53}}}Change")]
        self.batches.append([(action, name, values, ttl) for action, name, _, values, ttl in changes])
        after = dict(self.sets)
        for action, name, kind, values, ttl in changes:
            about = f"[name='{name}.', type='{kind}']"
            if action == "DELETE":
                if (name, kind) not in after:
                    return self._no(
                        400, "InvalidChangeBatch", f"[Tried to delete resource record set {about} but it was not found]"
                    )
                if (sorted(after[name, kind][0]), after[name, kind][1]) != (sorted(values), ttl):
                    return self._no(
                        400,
                        "InvalidChangeBatch",
                        f"[Tried to delete resource record set {about} but the values provided do not match the current values]",
                    )
                del after[name, kind]
            elif (name, kind) in after:
                return self._no(
                    400, "InvalidChangeBatch", f"[Tried to create resource record set {about} but it already exists]"
                )
            else:
                after[name, kind] = (values, ttl)
        self.sets = after
        said = f'<?xml version="1.0"?>\n<ChangeResourceRecordSetsResponse xmlns="{R53}"><ChangeInfo><Id>/change/C2682N5HXP0BZ4</Id><Status>PENDING</Status><SubmittedAt>2026-11-21T12:00:00Z</SubmittedAt></ChangeInfo></ChangeResourceRecordSetsResponse>'
        return Answer(200, said.encode(), {"Content-Type": "text/xml"})

    @staticmethod
    def _read(change: ElementTree.Element) -> tuple[str, str, str, list[str], int]:
        def text(path: str) -> str:
            found = change.find(path.replace("/", f"/{{{R53}}}").replace("~", f"{{{R53}}}"))
            assert found is not None and found.text, path
            return found.text

        values = [e.text or "" for e in change.iter(f"{{{R53}}}Value")]
        return text("~Action"), text("~ResourceRecordSet/Name").rstrip("."), text("~ResourceRecordSet/Type"), values, int(text("~ResourceRecordSet/TTL"))  # fmt: skip

    @staticmethod
    def _no(status: int, code: str, message: str) -> Answer:
        body = f'<?xml version="1.0"?>\n<ErrorResponse xmlns="{R53}"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>b25f48e8-84fd-11e6-80d9-574e0c4664cb</RequestId></ErrorResponse>'
        return Answer(status, body.encode(), {"Content-Type": "text/xml"}, accepted=False)


def _backwards(name: str) -> str:
    return ".".join(reversed(name.split(".")))
