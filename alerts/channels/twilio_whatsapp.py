"""How does it reach WhatsApp? By Twilio, as an approved template with five variables; as free text only inside a session.

An alert is begun by us, so WhatsApp takes it only as a template of the category "utility" that was approved for the
sender. Make one in Twilio's Content Template Builder with exactly this text (SHOWN below) and enter its Content SID:

    {{1}}: {{2}}
    Client: {{3}}
    Since: {{4}}
    Open or acknowledge: {{5}}
    This message was sent by Watchkeeper.

1 is what happened ("Down"), 2 what it happened to and why, 3 the client, 4 since when, 5 the link.
"""

from __future__ import annotations

import json
from typing import ClassVar, Final

from pydantic import Field

from alerts.channels.telephone import PLAIN, Number, link_of, said, sms
from alerts.channels.twilio_sms import CONTENT_SID, LONGEST_BODY, OwnAccount, TwilioMessages
from alerts.channels.wording import cut, moment, one_line, word
from alerts.message import Message

SHOWN: Final = (
    "{{1}}: {{2}}\nClient: {{3}}\nSince: {{4}}\nOpen or acknowledge: {{5}}\nThis message was sent by Watchkeeper."
)
LONGEST_TEMPLATE: Final = 1024  # after the variables are filled in; Twilio error 63021 above it
NOTHING: Final = "-"  # a variable may not be empty


class TwilioWhatsappConfig(OwnAccount):
    """A WhatsApp number."""

    sender: Number = Field("", title="WhatsApp sender", description="Empty: as the Twilio account has it.")
    content_sid: str = Field(
        "",
        title="Template",
        pattern=CONTENT_SID,
        description=f"HX…, the Content SID of the approved template: {SHOWN!r}. Empty: as the Twilio account has it.",
    )
    free_text: bool = Field(
        False,
        title="Send free text",
        description="Without a template: arrives only within 24 hours after the person's last message, or in the sandbox.",
    )


class TwilioWhatsapp(TwilioMessages):
    """One WhatsApp message."""

    kind: ClassVar[str] = "twilio_whatsapp"
    label: ClassVar[str] = "WhatsApp (Twilio)"
    Config = TwilioWhatsappConfig
    caveat: ClassVar[str] = "Needs a WhatsApp sender and a template that Meta approved; its text stands at the setting."

    @property
    def sender(self) -> str:
        """The sender's number, without `whatsapp:`."""
        return str(self.config.sender or ("" if self.own else self.of_account("whatsapp_from")))

    @property
    def content(self) -> str:
        """The template's Content SID; "" for free text."""
        if self.config.free_text:
            return ""
        return str(self.config.content_sid or ("" if self.own else self.of_account("whatsapp_content_sid")))

    @property
    def receiver(self) -> str:
        """The number as Messages has it."""
        return f"whatsapp:{self.config.to}"

    def lacks(self) -> str:
        """A sender, and a template or the wish to send free text."""
        if not self.sender:
            return "No WhatsApp sender: enter one here, or in the provider settings of Twilio."
        if not self.content and not self.config.free_text:
            return "No approved template: enter its Content SID (HX…) here or in the provider settings of Twilio, or choose free text."
        return ""

    def fields(self, message: Message) -> dict[str, str]:
        """With a template there is no Body: Twilio would send that instead."""
        values = {"To": self.receiver, "From": f"whatsapp:{self.sender}"}
        callback = self.callback(message)
        if callback:
            values["StatusCallback"] = callback
        if not self.content:
            text = sms(message, reply=self.reply(message), most=99, characters=LONGEST_BODY)
            return {**values, "Body": text}
        variables = json.dumps(self.variables(message), ensure_ascii=False)
        return {**values, "ContentSid": self.content, "ContentVariables": variables}

    def variables(self, message: Message) -> dict[str, str]:
        """The five values, none of them empty or with a line break; together they fit the template's limit."""
        what, why = said(message)
        mark = " (repeat)" if message.repeated else ""
        about = one_line(message.monitor.get("name") or message.alert.get("entity_name") or message.title)
        if message.lines:
            about = one_line(message.title) or what
        since = moment(message.started_at or message.at, message.timezone)
        reply = self.reply(message)
        link = link_of(message) or NOTHING
        last = f"{link} ({reply[0].lower()}{reply[1:]})" if reply else link
        fixed = {
            "1": one_line(word(message)) + mark,
            "3": cut(one_line(message.client.get("name") or ""), 80) or NOTHING,
            "4": since,
            "5": last,
        }
        room = LONGEST_TEMPLATE - len(SHOWN) - sum(len(value) for value in fixed.values())
        name = cut(about, 120)
        cause = "" if why in (about, name) else why
        second = cut(" - ".join(filter(None, (name, cause))), max(20, min(500, room)))
        return {"1": fixed["1"], "2": second.translate(PLAIN) or NOTHING, "3": fixed["3"], "4": since, "5": last}
