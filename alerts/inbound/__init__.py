"""What do outside systems say, and what follows? Vendors' bodies become events, events become alerts (SPEC ALR-4).

`events` (PagerDuty Events v2), `alertmanager` (version 4) and `generic` (any JSON, by a mapping) read bodies; they are
pure. `taking` reports what they read; `keys` knows whose key a body came with.
"""
