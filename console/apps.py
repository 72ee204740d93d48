"""What does this app register when Django starts?"""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "console"

    def ready(self) -> None:
        from console import navigation
        from console.exporting.jobs import Packer
        from portal import residents

        navigation.register()
        residents.register("page", Packer)
