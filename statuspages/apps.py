"""What does this app register when Django starts?"""

from django.apps import AppConfig


class StatuspagesConfig(AppConfig):
    name = "statuspages"
