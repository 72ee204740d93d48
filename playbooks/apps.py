"""What does this app register when Django starts?"""

from django.apps import AppConfig


class PlaybooksConfig(AppConfig):
    name = "playbooks"

    def ready(self) -> None:
        from playbooks import asking, clearing, outcomes, receivers, signing  # noqa: F401  (two register by being read)
        from playbooks.conductor import Conductor
        from portal import residents

        receivers.connect()
        asking.register()
        residents.register("page", Conductor)
        residents.on_death(outcomes.bury)
