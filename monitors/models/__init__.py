"""What is watched, from where, what was seen, and what state follows from it."""

from monitors.models.diagnosis import Baseline, Battery, Diagnosis, RouteChange
from monitors.models.history import Certificate, FailureBody, Ping, Result, Rollup, StateChange
from monitors.models.host import Container, Host, HostSample
from monitors.models.monitor import Monitor
from monitors.models.probe import Probe, ProbeJob, ProbeState
from monitors.models.template import MonitorTemplate

__all__ = [
    "Baseline", "Battery", "Certificate", "Container", "Diagnosis", "FailureBody", "Host", "HostSample", "Monitor", "MonitorTemplate", "Ping",
    "Probe", "ProbeJob", "ProbeState", "Result", "Rollup", "RouteChange", "StateChange",
]  # fmt: skip
