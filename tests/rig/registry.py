"""What would an image registry say? The reading part of the OCI distribution API, with tokens as Docker Hub hands them out."""

from __future__ import annotations

import hashlib
from urllib.parse import parse_qs, urlsplit

from tests.rig.answers import Answer, ok, ok_json, status
from tests.rig.calls import Call
from tests.rig.receiver import Receiver


class Registry(Receiver):
    """A registry on 127.0.0.1 that wants a token for everything and gives one to everybody."""

    def __init__(self) -> None:
        super().__init__(judge=self._judged)
        self.tags: dict[str, dict[str, str]] = {}
        self.page = 1000  # tags on a page, at most
        self.open = False  # wants no token

    @property
    def host(self) -> str:
        """As it stands in an image's name."""
        return f"127.0.0.1:{self.port}"

    def publish(self, repository: str, tag: str, content: str = "") -> str:
        """A tag points to this content from now on; its digest."""
        digest = f"sha256:{hashlib.sha256((content or f'{repository}:{tag}').encode()).hexdigest()}"
        self.tags.setdefault(repository, {})[tag] = digest
        return digest

    def _judged(self, call: Call) -> Answer:
        if call.path == "/token":
            return ok_json({"token": f"for-{call.query['scope'][0]}", "expires_in": 300})
        if not call.path.startswith("/v2/"):
            return status(404)
        repository, _, rest = call.path.removeprefix("/v2/").partition("/manifests/")
        if not rest:
            repository = call.path.removeprefix("/v2/").removesuffix("/tags/list")
        scope = f"repository:{repository}:pull"
        if not self.open and call.headers.get("authorization") != f"Bearer for-{scope}":
            challenge = f'Bearer realm="http://{self.host}/token",service="registry.test",scope="{scope}"'
            return Answer(401, b'{"errors":[{"code":"UNAUTHORIZED"}]}', {"WWW-Authenticate": challenge})
        known = self.tags.get(repository)
        if known is None:
            return status(404, b'{"errors":[{"code":"NAME_UNKNOWN"}]}')
        if rest:
            digest = known.get(rest)
            if digest is None:
                return status(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
            return ok(b"{}", docker_content_digest=digest, content_type="application/vnd.oci.image.index.v1+json")
        return self._tags(call, repository)

    def _tags(self, call: Call, repository: str) -> Answer:
        query = parse_qs(urlsplit(call.target).query)
        names = sorted(t for t in self.tags[repository] if t > query.get("last", [""])[0])
        shown = names[: min(self.page, int(query.get("n", ["100"])[0]))]
        answer = ok_json({"name": repository, "tags": shown})
        if len(shown) == len(names):
            return answer
        link = f'</v2/{repository}/tags/list?n={self.page}&last={shown[-1]}>; rel="next"'
        return Answer(200, answer.body, {**answer.headers, "Link": link})
