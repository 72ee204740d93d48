"""How do answers come back? By SMS, by a pressed key, from a chat, from the page behind a link.

Everything here ends at one door, `taking.take`; before it stands the proof that the answer comes from whom it says.
"""
