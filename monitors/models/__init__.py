"""What is watched, from where, what was seen, and what state follows from it."""

from monitors.models.history import Certificate, FailureBody, Ping, Result, Rollup, StateChange
from monitors.models.monitor import Monitor
from monitors.models.probe import Probe, ProbeState

__all__ = ["Certificate", "FailureBody", "Monitor", "Ping", "Probe", "ProbeState", "Result", "Rollup", "StateChange"]
