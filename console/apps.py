"""What does this app register when Django starts?"""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "console"

    def ready(self) -> None:
        from console import navigation

        navigation.register()
