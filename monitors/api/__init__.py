"""Which of the API's resources are about monitors? Monitors with what was seen of them, their templates, probes, diagnoses, the simulator."""

from __future__ import annotations

from rest_framework.routers import SimpleRouter


def register(router: SimpleRouter) -> None:
    """Add them to the router of /api/v1/."""
    from monitors.api.diagnoses import Diagnoses, MonitorDiagnoses
    from monitors.api.hosts import MonitorHosts
    from monitors.api.monitors import Monitors
    from monitors.api.probes import Probes
    from monitors.api.simulator import Simulator
    from monitors.api.templates import MonitorTemplates

    router.register("monitors", Monitors)
    router.register("monitors", MonitorHosts, basename="monitor-host")
    router.register("monitors", MonitorDiagnoses, basename="monitor-diagnose")
    router.register("diagnoses", Diagnoses)
    router.register("monitor-templates", MonitorTemplates)
    router.register("probes", Probes)
    router.register("simulate", Simulator, basename="simulate")
