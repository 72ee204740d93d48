"""Do all parts keep their promises? Tests live in `tests/<app>/`; the real servers they talk to in `tests/rig/`."""
