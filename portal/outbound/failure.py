"""What does a failed transfer mean to a person, and to the code that must decide what to do about it?"""

import errno
from typing import Final

from portal.outbound.message import ErrorKind, Phases

_RESET_ERRNO: Final = frozenset((errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED))

# libcurl's numbers, https://curl.se/libcurl/c/libcurl-errors.html
_COULD_NOT_CONNECT: Final = 7
_TIMED_OUT: Final = 28
_RECEIVE_FAILED: Final = 56
_CLIENT_CERTIFICATE: Final = frozenset((43, 58))  # 43 is "bad argument": of what goes in, only a key can be one
_VERIFICATION_FAILED: Final = 60
_BUNDLE_UNREADABLE: Final = 77
_PROXY_FAILED: Final = 97
_TOO_LARGE: Final = 100
_TLS_CODES: Final = frozenset((35, 43, 51, 53, 54, 58, 59, 64, 66, 77, 80, 82, 83, 90, 91, 98))
_BROKEN_CODES: Final = frozenset((18, 52, 55, 56, 81))

# OpenSSL's numbers, x509_vfy.h
_UNKNOWN_ISSUER: Final = (
    "The certificate's issuer is unknown: the authority is not trusted or an intermediate certificate is missing."
)
_WRONG_NAME: Final = "The certificate does not name this host."
_VERDICTS: Final = {
    0: _WRONG_NAME,  # the chain is good, so it was the name
    1: _WRONG_NAME,  # OpenSSL was content and libcurl was not: again the name
    9: "The certificate is not valid yet.",
    10: "The certificate has expired.",
    18: "The certificate is self-signed.",
    19: "The certificate chain ends in a self-signed certificate that is not trusted.",
    20: _UNKNOWN_ISSUER,
    21: _UNKNOWN_ISSUER,
    23: "The certificate has been revoked.",
    24: "The certificate was issued by something that is not an authority.",
    26: "The certificate is not meant for servers.",
    47: "The certificate's names are outside of what its authority may sign.",
    62: _WRONG_NAME,
    64: _WRONG_NAME,
    66: "The certificate's key is too weak.",
    67: "The key of the certificate's authority is too weak.",
    68: "The certificate's signature is too weak.",
}


def explain(
    code: int, text: str, phases: Phases, *, secure: bool, proxied: bool, os_errno: int, verdict: int
) -> tuple[ErrorKind, str]:
    """(kind, sentence) of libcurl's ``code`` and ``text``, given how far the transfer came and what the system and OpenSSL said."""
    if code == _TIMED_OUT:
        return _explain_timeout(phases, secure)
    if code == _VERIFICATION_FAILED:
        return "tls", _VERDICTS.get(verdict, f"The certificate could not be verified (OpenSSL's reason {verdict}).")
    if code == _PROXY_FAILED or (
        proxied and phases.first_byte is None and code in (_COULD_NOT_CONNECT, _RECEIVE_FAILED)
    ):
        return "connect", "The proxy did not make the connection."
    if code == _COULD_NOT_CONNECT:
        if os_errno == errno.ECONNREFUSED:
            return "connect_refused", "The connection was refused: nothing listens on that port."
        if os_errno == errno.ETIMEDOUT:
            return "connect_timeout", "No connection came about: the host did not answer."
        return "connect", "The host cannot be reached from here."
    if code in _TLS_CODES:
        if os_errno in _RESET_ERRNO:
            return "reset", "The connection was reset during the TLS handshake."
        if code in _CLIENT_CERTIFICATE:
            return "tls", "The client certificate or its key could not be used."
        if code == _BUNDLE_UNREADABLE:
            return "tls", "The file of trusted authorities could not be read."
        return "tls", "The TLS handshake failed: no common version or cipher, or the port does not speak TLS."
    if code in _BROKEN_CODES and "chunk" not in text:  # only the text tells bad framing from a broken connection
        if phases.first_byte is None:
            return "reset", "The server closed the connection without answering."
        return "reset", "The connection broke before the whole answer had arrived."
    if code == _TOO_LARGE:
        return "too_large", "The answer's headers are too large."
    return "protocol", "The server's answer is not valid HTTP."


def _explain_timeout(phases: Phases, secure: bool) -> tuple[ErrorKind, str]:
    if phases.connect is None:
        return "connect_timeout", "No connection came about in time: the host did not answer."
    if secure and phases.tls is None:
        return "timeout", "The TLS handshake did not finish in time."
    if phases.first_byte is None:
        return "timeout", "The server accepted the connection but did not answer in time."
    return "timeout", "The answer began but was not complete in time."
