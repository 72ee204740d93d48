"""What is watched, from where, what was seen, and what state follows from it."""

from monitors.models.history import Certificate, FailureBody, Ping, Result, Rollup, StateChange
from monitors.models.monitor import Monitor
from monitors.models.probe import Probe, ProbeState
from monitors.models.template import MonitorTemplate

__all__ = [
    "Certificate", "FailureBody", "Monitor", "MonitorTemplate", "Ping", "Probe", "ProbeState", "Result", "Rollup", "StateChange",
]  # fmt: skip
