"""The support desk: Django's admin in our look, for the MSP's own people. Read-only truth, acts through the same doors."""
