"""How fast is it, on this machine, now? `python -m bench` prints a table; nothing here is asserted by a timed test."""
