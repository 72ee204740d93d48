"""How does an Uptime Kuma ask a web address, and how is that said here?"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from console.importing.draft import Line, number, text
from monitors.checks import assertion

TYPES = {"json": "application/json", "xml": "application/xml", "form": "application/x-www-form-urlencoded"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def web(line: Line, m: dict[str, Any], proxies: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """The settings of our web check."""
    kind = m.get("type")
    config: dict[str, Any] = {
        "url": text(m.get("url"), 2000),
        "verify_tls": not m.get("ignore_tls"),
        "upside_down": bool(m.get("upside_down")),
    }
    if kind == "real-browser":
        line.note("It is asked by a plain request, without a browser.")
    _request(line, m, config)
    _answer(line, m, config)
    _sign_in(line, m, config)
    proxy = proxies.get(int(number(m.get("proxy_id")) or 0))
    if proxy is not None and proxy.get("active") not in (0, False):
        _proxy(line, proxy, config)
    elif m.get("proxy_id"):
        line.note("Its proxy is not in the file, or switched off; it is asked directly.")
    family = {"ipv4": 4, "ipv6": 6}.get(text(m.get("ip_family"), 10))
    if family:
        config["family"] = family
    return config


def _request(line: Line, m: dict[str, Any], config: dict[str, Any]) -> None:
    method = text(m.get("method"), 20).upper() or "GET"
    if method not in METHODS:
        line.note(f"The method {method} is not possible here; GET is used.")
        method = "GET"
    config["method"] = method
    headers = _headers(line, m.get("headers"))
    body = m.get("body") if isinstance(m.get("body"), str) else ""
    if body and method != "GET":
        config["body"] = body
        encoding = TYPES.get(text(m.get("http_body_encoding"), 10))
        if encoding and not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = encoding
    elif body:
        line.note("A GET has no body; it was left out.")
    if m.get("cache_bust"):
        line.note("The random parameter against caches is not added.")
    config["headers"] = headers


def _headers(line: Line, value: Any) -> dict[str, str]:
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            line.note("Its headers are not JSON and were left out.")
            return {}
    if not isinstance(value, dict):
        return {}
    return {str(name): str(item) for name, item in value.items() if isinstance(item, str | int | float)}


def _answer(line: Line, m: dict[str, Any], config: dict[str, Any]) -> None:
    codes = [text(code, 20) for code in m.get("accepted_statuscodes") or () if text(code, 20)]
    config["accepted_statuses"] = ",".join(codes) if codes else None
    redirects = number(m.get("maxredirects"))
    config["follow_redirects"] = redirects != 0
    if redirects not in (None, 0, 10):
        line.note("The number of redirects is fixed here.")
    if m.get("type") == "keyword":
        config["keyword"] = m.get("keyword") if isinstance(m.get("keyword"), str) else None
        config["keyword_mode"] = "absent" if m.get("invert_keyword") else "present"
    if m.get("type") == "json-query":
        _json_query(line, m, config)
    if m.get("expiry_notification") in (0, False):
        line.note("Certificates that end soon are always reported here.")


def _json_query(line: Line, m: dict[str, Any], config: dict[str, Any]) -> None:
    written = text(m.get("json_path"), 500) or "$"
    path = written if written.startswith("$") else f"$.{written}"
    try:
        assertion.parse_path(path)
    except ValueError:
        line.note(f"The JSON query “{written[:80]}” is not possible here; only the status is checked.")
        return
    config["json_path"] = path
    operator, value = text(m.get("json_path_operator"), 20) or "==", m.get("expected_value")
    if operator == "==" and value not in (None, ""):
        config["json_equals"] = str(value)
    elif value not in (None, ""):
        line.note(
            f"The comparison “{operator} {text(value, 80)}” is not possible here; only that the value exists is checked."
        )


def _sign_in(line: Line, m: dict[str, Any], config: dict[str, Any]) -> None:
    method = text(m.get("auth_method"), 30)
    user, password = m.get("basic_auth_user"), m.get("basic_auth_pass")
    if method in ("", "basic") and user:
        config |= {"auth": "basic", "user": str(user), "password": password}
    elif method == "mtls":
        config |= {"client_certificate": m.get("tls_cert"), "client_key": m.get("tls_key")}
    elif method in ("ntlm", "oauth2-cc"):
        line.note(f"Signing in by {method} is not possible here; it is asked without.")
    if m.get("tls_ca"):
        line.note("Its own certificate authority is not carried over; install it on the probe.")


def _proxy(line: Line, proxy: dict[str, Any], config: dict[str, Any]) -> None:
    protocol = text(proxy.get("protocol"), 10)
    scheme = "http" if protocol == "http" else "socks5h" if protocol in ("socks", "socks5", "socks5h") else ""
    if not scheme:
        line.note(f"A proxy by {protocol} is not possible here; it is asked directly.")
        return
    who = (
        f"{quote(str(proxy.get('username') or ''), safe='')}:{quote(str(proxy.get('password') or ''), safe='')}@"
        if proxy.get("auth")
        else ""
    )
    config["proxy"] = f"{scheme}://{who}{text(proxy.get('host'), 255)}:{int(number(proxy.get('port')) or 8080)}"
