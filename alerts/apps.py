"""What does this app register when Django starts?"""

from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "alerts"

    def ready(self) -> None:
        from alerts import defaults, housekeeping, outbox, restoring
        from alerts.sender import Sender
        from portal import residents

        residents.register("page", Sender)
        residents.on_death(lambda gone, at: outbox.reap(at))
        defaults.connect()
        restoring.connect()
        housekeeping.register()
