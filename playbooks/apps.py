"""What does this app register when Django starts?"""

from django.apps import AppConfig


class PlaybooksConfig(AppConfig):
    name = "playbooks"
