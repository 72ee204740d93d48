"""Why is it failing? What probes measure (`battery`), what was usual (`baseline`), and what follows (`verdict`).

Only the files named in docs/decisions/0007-diagnosis.md use Django; those that the stand-alone probe runs do not.
"""
