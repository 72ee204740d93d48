"""Which real servers can a test have on loopback? PostgreSQL, Valkey, a receiver of calls, a mailbox, a site that breaks."""
