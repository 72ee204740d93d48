"""What does this app register when Django starts?"""

from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "alerts"

    def ready(self) -> None:
        from alerts import auditor, channels, defaults, escalator, housekeeping, outbox, paging, restoring, trash, turns  # noqa: F401 - trash describes how things go there
        from alerts.quiet import Watchman
        from alerts.sender import Sender
        from alerts.twoway.ringing import Listener
        from portal import providers, registry, residents

        for kind in channels.KINDS.values():
            if kind.Account is not None:
                providers.register(kind.provider, kind.provider_label, kind.Account)
        residents.register("page", Sender)
        residents.register("page", Watchman)
        residents.register("page", Listener)
        residents.on_death(lambda gone, at: outbox.reap(at))
        defaults.connect()
        restoring.connect()
        housekeeping.register()
        escalator.register()
        auditor.register()
        turns.register()
        registry.add_on_call(paging.on_call_now)
