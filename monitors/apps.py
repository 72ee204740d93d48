"""What does this app register when Django starts?"""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


def built_in_probe(using: str = "default", **_: Any) -> None:
    """The portal's own workers are a probe like any other (SPEC PRB-5): it exists wherever the tables do."""
    from monitors.models import Probe

    Probe.objects.using(using).get_or_create(slug="local", defaults={"name": "Portal", "built_in": True})


class MonitorsConfig(AppConfig):
    name = "monitors"

    def ready(self) -> None:
        from django.conf import settings

        from monitors import clearing, housekeeping, receivers, store  # noqa: F401 - clearing describes how a client goes
        from monitors.blindness import Lookout
        from monitors.diagnosis import batteries
        from monitors.diagnosis.diagnostician import Diagnostician
        from monitors.diagnosis.gathering import Concluder
        from monitors.evaluate import Evaluator
        from monitors.prober import Prober
        from portal import residents

        residents.register("probe", Prober)
        residents.register("page", Evaluator)
        residents.register("page", Lookout)
        if settings.DIAGNOSIS:
            residents.register("probe", Diagnostician)
            residents.register("page", Concluder)
        residents.on_death(store.free)
        residents.on_death(batteries.free)
        post_migrate.connect(built_in_probe, sender=self, dispatch_uid="monitors.built_in_probe")
        receivers.connect()
        housekeeping.register()
