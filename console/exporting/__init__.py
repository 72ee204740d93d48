"""What does a client take along? Everything of theirs in one archive: JSON and CSV, without secrets.

contents    which tables, and which columns of each: only what is named there leaves
archive     the archive itself, written as a stream
jobs        asked for, made in the background, kept for a week, fetched
"""
