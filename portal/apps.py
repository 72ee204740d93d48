"""What does this app register when Django starts?"""

from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "portal"

    def ready(self) -> None:
        from portal import audit, checks, deadman, health, sign_ins, slots  # noqa: F401 - importing checks registers them
        from portal.api import idempotency

        health.register()
        sign_ins.connect()
        slots.register("outside heartbeat", 60, deadman.call)
        slots.register("audit heads", 3600, audit.publish_heads)
        slots.register("forget old slots", 3600, slots.forget_old)
        slots.register("forget old answers", 3600, idempotency.forget_old)
        slots.register("forget old links", 86400, sign_ins.forget_links)
