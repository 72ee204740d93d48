"""How does a call say it? Twilio rings, says it twice, and waits for a key: 1 acknowledges, 9 says it again.

The words travel with the request (TwiML), so a call needs no answer of ours to speak. The key goes to a signed address;
an answering machine is recognised, and what it sends is no key (alerts.twoway.telephone).
"""

from __future__ import annotations

from typing import ClassVar, Final

from pydantic import Field
from twilio.twiml.voice_response import Gather, VoiceResponse

from alerts.channels.telephone import Number, answerable, hook, longest, said, shortened
from alerts.channels.twilio_sms import OwnAccount, TwilioChannel
from alerts.channels.wording import cut_middle, one_line
from alerts.message import Message

LONGEST_TWIML: Final = 4000  # Twilio error 32018 above it
LONGEST_SPOKEN: Final = 350  # about 30 s
LANGUAGE: Final = "en-GB"
KEYS: Final = "Press 1 to acknowledge, 9 to hear it again."
SECONDS_FOR_A_KEY: Final = 8


class TwilioVoiceConfig(OwnAccount):
    """A telephone number."""

    sender: Number = Field("", title="Calls come from", description="Empty: as the Twilio account has it.")
    ring_seconds: int = Field(30, ge=10, le=120, title="Let it ring (s)")


class TwilioVoice(TwilioChannel):
    """One call."""

    kind: ClassVar[str] = "twilio_voice"
    label: ClassVar[str] = "Phone call (Twilio)"
    Config = TwilioVoiceConfig
    caveat: ClassVar[str] = (
        "Twilio places one call a second. To acknowledge by key the portal must be reachable at BASE_URL."
    )
    resource: ClassVar[str] = "Calls"

    @property
    def sender(self) -> str:
        """The caller's number: a sender's name cannot call."""
        if self.config.sender or self.own:
            return str(self.config.sender)
        number, texts = self.of_account("voice_from"), self.of_account("sender")
        return number or (texts if answerable(texts) else "")

    def lacks(self) -> str:
        """A number to call from."""
        if self.sender:
            return ""
        return "No number to call from: enter one here, or in the provider settings of Twilio."

    def fields(self, message: Message) -> dict[str, str]:
        """To, From, the words; detection of machines, in the background where Twilio can tell us its result."""
        values = {
            "To": str(self.config.to),
            "From": self.sender,
            "Twiml": self.twiml(message),
            "Timeout": str(self.config.ring_seconds),
            "MachineDetection": "Enable",
        }
        callback = self.callback(message)
        if callback:
            values |= {
                "AsyncAmd": "true",
                "AsyncAmdStatusCallback": callback,
                "AsyncAmdStatusCallbackMethod": "POST",
                "StatusCallback": callback,
                "StatusCallbackMethod": "POST",
            }
        return values

    def twiml(self, message: Message, first: str = "") -> str:
        """What is said, as TwiML of at most 4,000 characters; `first` is said before it, once."""
        what, why = said(message)
        what, why = cut_middle(what, LONGEST_SPOKEN), why[:LONGEST_SPOKEN]

        def whole(cause: str, name: str = what) -> str:
            return self._twiml(message, spoken(name, cause), first)

        def fits(cause: str, name: str = what) -> bool:
            return len(spoken(name, cause)) <= LONGEST_SPOKEN and len(whole(cause, name)) <= LONGEST_TWIML

        cause = longest(why, fits)
        if cause or fits(""):
            return whole(cause)
        return whole("", shortened(what, lambda name: fits("", name)))

    def _twiml(self, message: Message, words: str, first: str) -> str:
        answer = VoiceResponse()
        if first:
            answer.say(first, language=LANGUAGE)
        if not (message.open and message.acknowledge_token and self.hears):
            for _ in range(2):
                answer.say(words, language=LANGUAGE)
                answer.pause(length=1)
            return str(answer)
        keys = Gather(
            num_digits=1,
            action=hook(f"twilio/voice/{message.acknowledge_token}/"),
            method="POST",
            timeout=SECONDS_FOR_A_KEY,
        )
        for _ in range(2):
            keys.say(f"{words} {KEYS}", language=LANGUAGE)
            keys.pause(length=1)
        answer.append(keys)
        answer.say("No key was pressed, so nothing was acknowledged. Goodbye.", language=LANGUAGE)
        return str(answer)


def spoken(what: str, why: str) -> str:
    """The sentences, without what XML cannot carry or nobody can say."""
    text = one_line(f"This is Watchkeeper. {what}." + (f" {why}." if why else "")).replace(" · ", ", ")
    return "".join(char for char in text if char <= "\uffff" and not "\ud800" <= char <= "\udfff" and char < "\ufffe")
