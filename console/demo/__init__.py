"""What does Watchkeeper do? `manage.py demo` shows it: real little sites, a real mailbox, and the portal itself."""
