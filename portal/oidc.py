"""Who does the company's own sign-on say this is? OpenID Connect: one provider, named in the environment.

It says who somebody is and nothing else: only people who were invited here come in, found by the e-mail address that the
provider calls verified; their role stays ours. Authorization code with PKCE, state and nonce; the ID token's signature,
issuer, audience and times are checked always. The provider is asked on the portal's guarded way to the network.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import secrets
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import jwt
from django.conf import settings
from django.urls import reverse

from portal.outbound.guard import Reach
from portal.outbound.http import HttpEngine, OutboundError, Request, Response

log = logging.getLogger("watchkeeper.oidc")

WELL_KNOWN = "/.well-known/openid-configuration"
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
SKEW = 60  # seconds by which the provider's clock may differ
KEPT = 3600.0  # seconds that its description and keys are believed
KEYS_AGAIN = 60.0  # seconds between two looks for a key that is not known
SECONDS = 5.0  # somebody waits for the page, and keeps a thread busy
AWAY = 5.0  # seconds that a provider which did not answer is left alone
LARGEST = 256 * 1024


class SignOnError(Exception):
    """Nobody can come in this way now; the sentence is for the person who tried."""


@dataclass(frozen=True, slots=True)
class Person:
    """Whom the provider vouches for."""

    email: str
    second_step: bool
    proved_at: float  # when they last proved it to the provider, in Unix seconds; 0 when it does not say


# --- The question ---------------------------------------------------------------------------------------------------------
def enabled() -> bool:
    """Is there a provider?"""
    return bool(settings.OIDC)


def required() -> bool:
    """Must people come this way? The owners keep their passwords, for the day on which the provider is away."""
    return enabled() and bool(settings.OIDC["require"])


def begin(*, again: bool = False) -> tuple[str, dict[str, str]]:
    """(the provider's address to lead somebody to, what to remember in their session until they are back).

    `again`: whoever is signed in there already has to prove it anew.
    """
    kept = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
    challenge = base64.urlsafe_b64encode(hashlib.sha256(kept["verifier"].encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "client_id": settings.OIDC["client_id"],
        "redirect_uri": callback_url(),
        "scope": "openid email profile",
        "state": kept["state"],
        "nonce": kept["nonce"],
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        **({"prompt": "login", "max_age": "0"} if again else {}),
    }
    where = endpoint("authorization_endpoint")
    return f"{where}{'&' if urlsplit(where).query else '?'}{urlencode(asked)}", kept


def callback_url() -> str:
    """What has to be entered with the provider: our own address, whatever name the request was sent to."""
    return settings.BASE_URL + reverse("oidc_callback")


# --- The answer -----------------------------------------------------------------------------------------------------------
def finish(answer: dict[str, str], kept: dict[str, str]) -> Person:
    """Whom the provider's answer is about. `answer` is the query it came back with, `kept` what `begin` gave."""
    issuer = description()["issuer"]
    if answer.get("iss", issuer) != issuer:  # RFC 9207: an answer of another provider's
        raise SignOnError("The answer came from another provider than was asked. Try again.")
    if answer.get("error"):
        if answer["error"] == "access_denied":
            raise SignOnError(f"{name()} did not let you in, or you cancelled it there.")
        log.warning("the provider answered with the error %r", answer["error"][:60])
        raise SignOnError(f"{name()} could not sign you in. Try again; if it stays so, tell the owner of this portal.")
    if not answer.get("code"):
        raise SignOnError("The answer holds no code. Try again.")
    tokens = _redeem(answer["code"], kept["verifier"])
    claims = verified(str(tokens.get("id_token") or ""), nonce=kept["nonce"])
    if "email" not in claims and tokens.get("access_token"):
        claims = {**_userinfo(str(tokens["access_token"]), str(claims["sub"])), **claims}
    return person(claims)


def person(claims: dict[str, Any]) -> Person:
    """Whom checked claims are about. An address that the provider does not call verified is anybody's."""
    email = claims.get("email")
    if not isinstance(email, str) or not email.strip():
        raise SignOnError(
            f"{name()} did not say your e-mail address. Its administrator lets it send the claim “email”."
        )
    if claims.get("email_verified") is not True and claims.get("email_verified") != "true":
        raise SignOnError(f"{name()} does not call your e-mail address verified, so it proves nothing here.")
    means = claims.get("amr")
    said = {str(word) for word in means} if isinstance(means, list) else set()
    said.add(str(claims.get("acr", "")))
    at = claims.get("auth_time")
    proved_at = min(float(at), time.time()) if isinstance(at, int | float) and not isinstance(at, bool) else 0.0
    return Person(email.strip(), bool(said & settings.OIDC["mfa"]), proved_at)


def verified(token: str, *, nonce: str) -> dict[str, Any]:
    """The claims of an ID token that is the provider's, for us, for this sign-in, and neither too old nor too new."""
    try:
        key = _key(jwt.get_unverified_header(token))
        claims = jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            audience=settings.OIDC["client_id"],
            issuer=description()["issuer"],
            leeway=SKEW,
            options={"require": ["iss", "sub", "aud", "exp", "iat"]},
        )
    except jwt.PyJWTError as error:
        raise _doubtful(type(error).__name__) from None
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
        raise _doubtful("the nonce is not ours")
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if (several or "azp" in claims) and claims.get("azp") != settings.OIDC["client_id"]:
        raise _doubtful("it was made for another program")
    return dict(claims)


def _doubtful(why: str) -> SignOnError:
    log.warning("an ID token was refused: %s", why)
    return SignOnError(
        f"What {name()} says about you could not be verified. Try again; if it stays so, tell the owner of this portal."
    )


def _redeem(code: str, verifier: str) -> dict[str, Any]:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": callback_url(), "code_verifier": verifier}
    methods = description().get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    mine = settings.OIDC["client_id"], settings.OIDC["secret"]
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    if "client_secret_basic" in methods:
        pair = ":".join(urlencode({"": part})[1:] for part in mine)  # RFC 6749, 2.3.1
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        form |= {"client_id": mine[0], "client_secret": mine[1]}
    return _json(Request(endpoint("token_endpoint"), "POST", headers, urlencode(form).encode()))


def _userinfo(token: str, subject: str) -> dict[str, Any]:
    found = _json(Request(endpoint("userinfo_endpoint"), headers={"Authorization": f"Bearer {token}"}))
    if found.get("sub") != subject:
        raise _doubtful("its user info is about somebody else")
    return {name: found[name] for name in ("email", "email_verified") if name in found}


# --- What the provider says of itself -----------------------------------------------------------------------------------------
_away: dict[str, float] = {}  # address → until when it is not asked again
_known: dict[str, tuple[float, dict[str, Any]]] = {}  # address → (when it was read, what it says)


def name() -> str:
    """What people call the provider."""
    return str(settings.OIDC["name"])


def description() -> dict[str, Any]:
    """The provider's description of itself, which must be of the very issuer that was named."""
    issuer = settings.OIDC["issuer"]
    found = _cached(issuer + WELL_KNOWN)
    if str(found.get("issuer", "")).rstrip("/") != issuer:
        log.error("OIDC_ISSUER is %s, but it calls itself %r; set what it says", issuer, str(found.get("issuer"))[:200])
        raise SignOnError(f"{name()} is not set up rightly here: the owner of this portal looks into its log.")
    return found


def endpoint(which: str) -> str:
    """One of its addresses. Never one that is less safe than the issuer's own."""
    where = str(description().get(which) or "")
    if not where.startswith("https://") and urlsplit(where)[:2] != urlsplit(settings.OIDC["issuer"])[:2]:
        log.error("the provider's %s is %r: missing, or not https", which, where[:200])
        raise SignOnError(f"{name()} is not set up rightly here: the owner of this portal looks into its log.")
    return where


def _key(header: dict[str, Any]) -> jwt.PyJWK:
    """The key that signed, of those the provider has now. Raises jwt.PyJWTError when it has none such."""
    where = endpoint("jwks_uri")
    for freshest in (KEPT, KEYS_AGAIN):  # a new key is looked for once
        for one in _cached(where, freshest).get("keys") or []:
            usable = isinstance(one, dict) and one.get("use", "sig") == "sig" and one.get("kty") in ("RSA", "EC", "OKP")
            if usable and header.get("kid", one.get("kid")) == one.get("kid") and header.get("alg") in ALGORITHMS:
                return jwt.PyJWK(one, algorithm=header["alg"])
    raise jwt.InvalidKeyError("no such key")


def _cached(where: str, seconds: float = KEPT) -> dict[str, Any]:
    at, found = _known.get(where, (0.0, {}))
    if found and time.monotonic() - at < seconds:
        return found
    if time.monotonic() < _away.get(where, 0.0):
        raise _unreached()
    try:
        found = _json(Request(where, headers={"Accept": "application/json"}))
    except SignOnError:
        _away[where] = time.monotonic() + AWAY
        raise
    _known[where] = (time.monotonic(), found)
    return found


def forget() -> None:
    """Read the provider's description and keys anew."""
    _known.clear()
    _away.clear()


# --- The way there ------------------------------------------------------------------------------------------------------------
def _json(request: Request) -> dict[str, Any]:
    request.timeout, request.max_body = SECONDS, LARGEST
    try:
        answer = asyncio.run(_fetch(request))
        found = json.loads(answer.body) if answer.status == 200 else None
    except (OutboundError, ValueError) as error:
        log.error("the provider was not reached at %s: %s", urlsplit(request.url).path, error)
        raise _unreached() from None
    if not isinstance(found, dict):
        log.error("the provider answered %d at %s", answer.status, urlsplit(request.url).path)
        raise SignOnError(f"{name()} could not sign you in. Try again; if it stays so, tell the owner of this portal.")
    return found


def _unreached() -> SignOnError:
    return SignOnError(f"{name()} cannot be reached now. Try again in a few minutes.")


async def _fetch(request: Request) -> Response:
    engine = HttpEngine(max_inflight=1)
    try:
        # The environment names the issuer: it may stand in the LAN. Loopback and the like still need OUTBOUND_ALLOW.
        return await engine.fetch(request, Reach(allow=settings.OUTBOUND_ALLOW, private=True))
    finally:
        engine.close()
