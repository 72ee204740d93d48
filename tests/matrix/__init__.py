"""Who is answered what? Every route × verb × role: pages, API, admin, exports, feeds, pictures, links, MCP tools.

`cast.py` has the roles, `asking.py` asks and watches what is written, `locks.py` says what is expected, `stage.py` has
the addresses. A route that the resolver knows and no table here fails the tests until somebody says who may use it.
"""
