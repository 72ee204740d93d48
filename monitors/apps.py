"""What does this app register when Django starts?"""

from django.apps import AppConfig


class MonitorsConfig(AppConfig):
    name = "monitors"

    def ready(self) -> None:
        from monitors import housekeeping, receivers, store
        from monitors.blindness import Lookout
        from monitors.evaluate import Evaluator
        from monitors.prober import Prober
        from portal import residents

        residents.register("probe", Prober)
        residents.register("page", Evaluator)
        residents.register("page", Lookout)
        residents.on_death(store.free)
        receivers.connect()
        housekeeping.register()
