"""What does this app register when Django starts?"""

from django.apps import AppConfig


class IncidentsConfig(AppConfig):
    name = "incidents"

    def ready(self) -> None:
        from incidents import receivers, reports
        from portal import slots, trash

        receivers.connect()
        trash.takes("portal.contact", "incidents.ReportRecipient.contact")
        slots.register("incidents.reports", 3600, reports.keep_due)
