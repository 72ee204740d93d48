"""A company's own sign-on, small and real: an OpenID Connect provider on loopback that keeps the rules, and breaks them when told.

It speaks HTTP, signs with RS256, gives each code once, and refuses what its registration does not hold: another
redirect address, another secret, a PKCE verifier that does not fit.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.cache import cache
from django.test import Client as Browser

from portal import oidc

CLIENT, SECRET = "watchkeeper:portal", "s3cret/with+signs&="
CALLBACK = "http://localhost:8000/login/oidc/callback/"


class Key:
    """A signing key and its public half."""

    def __init__(self, kid: str) -> None:
        self.kid, self.private = kid, rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def public(self) -> dict[str, Any]:
        return {
            **json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.private.public_key())),
            "kid": self.kid,
            "use": "sig",
            "alg": "RS256",
        }


class Provider:
    """Somebody is signed in there: `claims`. What it would say of itself and sign may be changed by `describe` and `sign`."""

    def __init__(self) -> None:
        self.key = Key("first")
        self.claims: dict[str, Any] = {"sub": "sub-1", "email": "sam@msp.example", "email_verified": True}
        self.description: dict[str, Any] = {}
        self.sign: Callable[[dict[str, Any]], str] = self.signed
        self.userinfo: dict[str, Any] | None = None
        self.callback, self.denies = CALLBACK, ""
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        self.authorizations: list[dict[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Provider:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/realms/main"

    def settings(self, **more: Any) -> dict[str, Any]:
        """What `settings.OIDC` would be."""
        known = {"issuer": self.issuer, "client_id": CLIENT, "secret": SECRET, "name": "Acme ID"}
        return {**known, "mfa": frozenset(), "require": False, **more}

    def signed(self, claims: dict[str, Any], key: Key | None = None, **header: Any) -> str:
        key = key or self.key
        return jwt.encode(claims, key.private, algorithm="RS256", headers={"kid": key.kid, **header})

    # --- Its addresses ---
    def describe(self) -> dict[str, Any]:
        at = self.issuer
        return {
            "issuer": at,
            "authorization_endpoint": f"{at}/authorize",
            "token_endpoint": f"{at}/token",
            "jwks_uri": f"{at}/keys",
            "userinfo_endpoint": f"{at}/userinfo",
            **self.description,
        }

    def authorize(self, query: dict[str, str]) -> tuple[int, str]:
        """Where a browser is led whose person is signed in here already."""
        self.authorizations.append(query)
        if (
            query.get("client_id") != CLIENT
            or query.get("redirect_uri") != self.callback
            or query.get("response_type") != "code"
        ):
            return 400, ""
        if query.get("code_challenge_method") != "S256" or "openid" not in query.get("scope", "").split():
            return 400, ""
        answer = {"state": query["state"], "iss": self.describe()["issuer"]}
        if self.denies:
            return 302, f"{self.callback}?{urlencode({**answer, 'error': self.denies})}"
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        return 302, f"{self.callback}?{urlencode({**answer, 'code': code})}"

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        asked = self.codes.pop(form.get("code", ""), None)
        challenge = (
            base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
            .rstrip(b"=")
            .decode()
        )
        fits = asked is not None and asked["code_challenge"] == challenge and form.get("redirect_uri") == self.callback
        if not fits or not self.known(form, authorization):
            return 400, {"error": "invalid_grant"}
        assert asked is not None
        now = int(time.time())
        claims = {
            "iss": self.describe()["issuer"],
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            **self.claims,
        }
        return 200, {"access_token": "at", "token_type": "Bearer", "id_token": self.sign(claims)}

    def known(self, form: dict[str, str], authorization: str) -> bool:
        """Is it our client? By the header, or by the form where the description says so."""
        if authorization.startswith("Basic "):
            pair = base64.b64decode(authorization.removeprefix("Basic ")).decode().split(":")
            return [unquote_plus(part) for part in pair] == [CLIENT, SECRET]
        posts = "client_secret_post" in self.describe().get("token_endpoint_auth_methods_supported", [])
        return posts and (form.get("client_id"), form.get("client_secret")) == (CLIENT, SECRET)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                where = urlsplit(self.path)
                path = where.path.removeprefix("/realms/main")
                provider.asked.append(path)
                if path == "/authorize":
                    status, to = provider.authorize({k: v[0] for k, v in parse_qs(where.query).items()})
                    self._answer(status, {}, to)
                elif path == "/.well-known/openid-configuration":
                    self._answer(200, provider.describe())
                elif path == "/keys":
                    self._answer(200, {"keys": [provider.key.public()]})
                elif path == "/userinfo" and self.headers.get("Authorization") == "Bearer at":
                    self._answer(200, provider.userinfo or {})
                else:
                    self._answer(404, {})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                provider.asked.append(urlsplit(self.path).path.removeprefix("/realms/main"))
                form = {k: v[0] for k, v in parse_qs(body).items()}
                status, said = provider.token(form, self.headers.get("Authorization", ""))
                self._answer(status, said)

            def _answer(self, status: int, said: dict[str, Any], location: str = "") -> None:
                body = json.dumps(said).encode()
                self.send_response(status)
                if location:
                    self.send_header("Location", location)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        return Handler


# --- With the portal --------------------------------------------------------------------------------------------------
@contextmanager
def provided(settings: Any) -> Iterator[Provider]:
    """A provider, named in the portal's settings."""
    cache.clear()
    oidc.forget()
    with Provider() as one:
        settings.OIDC = one.settings()
        yield one
    oidc.forget()


def led_back(location: str) -> str:
    """Where the provider leads a browser that comes to this address (path and query of ours)."""
    where = urlsplit(location)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
    connection.request("GET", f"{where.path}?{where.query}")
    answer = connection.getresponse()
    assert answer.status == 302, answer.status
    back = urlsplit(answer.headers["Location"])
    connection.close()
    return f"{back.path}?{back.query}"


def sign_on(browser: Browser, next: str = ""):
    """The whole way, as a browser goes it; the last answer."""
    to = browser.get("/login/oidc/", {"next": next} if next else {})
    assert to.status_code == 302, to.content.decode()
    return browser.get(led_back(to["Location"]))
