"""How does a plain-text protocol (SMTP, IMAP, POP3) come to the point where TLS may start?

Only fixed lines are sent: nothing a user typed enters these dialogues, so there is nothing to inject.
"""

from .base import CheckFailed
from .connection import Stream

MOST_LINES = 100
HELLO = b"EHLO watchkeeper.invalid\r\n"


async def smtp_reply(stream: Stream) -> tuple[int, list[str]]:
    """(code, texts) of one SMTP reply, continuation lines included. Raises CheckFailed("protocol")."""
    texts: list[str] = []
    while len(texts) < MOST_LINES:
        line = await stream.line()
        code, mark = line[:3], line[3:4]
        if not (code.isascii() and code.isdigit()) or mark not in ("", " ", "-"):
            raise CheckFailed("protocol", "The server does not speak SMTP")
        texts.append(line[4:])
        if mark != "-":
            return int(code), texts
    raise CheckFailed("protocol", "The server's SMTP reply never ends")


async def smtp_expect(stream: Stream, wanted: int, moment: str) -> list[str]:
    """The texts of the next reply, which must have the code `wanted`. Raises CheckFailed("protocol")."""
    code, texts = await smtp_reply(stream)
    if code != wanted:
        raise CheckFailed("protocol", f"The server answered {code} to {moment} (wanted {wanted})")
    return texts


async def smtp_hello(stream: Stream) -> list[str]:
    """Extensions offered after EHLO, upper case, such as STARTTLS or SIZE 1000."""
    await stream.send(HELLO)
    return [text.upper() for text in (await smtp_expect(stream, 250, "EHLO"))[1:]]


async def smtp_start(stream: Stream) -> None:
    """From the open connection to the moment TLS may start. Raises CheckFailed("tls") when it is not offered."""
    await smtp_expect(stream, 220, "the connection")
    if "STARTTLS" not in await smtp_hello(stream):
        raise CheckFailed("tls", "The server does not offer STARTTLS")
    await stream.send(b"STARTTLS\r\n")
    await smtp_expect(stream, 220, "STARTTLS")


async def _imap_start(stream: Stream) -> None:
    if not (await stream.line()).startswith("* OK"):
        raise CheckFailed("protocol", "The server does not greet as IMAP does")
    await stream.send(b"a1 STARTTLS\r\n")
    for _ in range(MOST_LINES):
        line = await stream.line()
        if line.startswith("a1 "):
            if not line.upper().startswith("A1 OK"):
                raise CheckFailed("tls", "The server refused STARTTLS")
            return
    raise CheckFailed("protocol", "The server's IMAP reply never ends")


async def _pop3_start(stream: Stream) -> None:
    if not (await stream.line()).startswith("+OK"):
        raise CheckFailed("protocol", "The server does not greet as POP3 does")
    await stream.send(b"STLS\r\n")
    if not (await stream.line()).startswith("+OK"):
        raise CheckFailed("tls", "The server refused STLS")


STARTS = {"smtp": smtp_start, "imap": _imap_start, "pop3": _pop3_start}
