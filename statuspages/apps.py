"""What does this app register when Django starts?"""

from django.apps import AppConfig


class StatuspagesConfig(AppConfig):
    name = "statuspages"

    def ready(self) -> None:
        from portal import residents, slots
        from statuspages import clearing, receivers, services, subscribers  # noqa: F401 - clearing describes how a client goes
        from statuspages.projector import Copyist, Projector

        residents.register("page", Projector)
        residents.register("page", Copyist)
        slots.register("statuspages.times", 60, services.keep_time)
        receivers.connect()
        subscribers.connect()
