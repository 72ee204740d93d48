"""What does this app register when Django starts?"""

from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "alerts"

    def ready(self) -> None:
        from alerts import channels, defaults, housekeeping, outbox, restoring
        from alerts.sender import Sender
        from portal import providers, residents

        for kind in channels.KINDS.values():
            if kind.Account is not None:
                providers.register(kind.provider, kind.provider_label, kind.Account)
        residents.register("page", Sender)
        residents.on_death(lambda gone, at: outbox.reap(at))
        defaults.connect()
        restoring.connect()
        housekeeping.register()
