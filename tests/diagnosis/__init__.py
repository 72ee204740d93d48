"""Diagnosis: what the evidence says, and how it is gathered."""
