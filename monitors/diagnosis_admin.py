"""Why did it fail, what did each probe measure, and what is usual? For the support desk, read only."""

from __future__ import annotations

from django.contrib import admin

from monitors.models import Baseline, Battery, Diagnosis, RouteChange
from portal.admin.desk import Truth
from portal.admin.lists import Capped, When, WhenAt, badge, time_column


class WhenStarted(When):
    """By `started_at`."""

    field = "started_at"


class WhenLearned(When):
    """By `learned_at`."""

    field = "learned_at"


@admin.register(Diagnosis)
class DiagnosisDesk(Truth):
    list_display = ("id", "monitor", "state_word", "cause", "layer", "confidence", "revision", time_column("started_at", "Begun"), time_column("finished_at", "Finished"))  # fmt: skip
    list_filter = (WhenStarted, "state", "cause", "layer")
    list_select_related = ("monitor",)
    search_fields = ("monitor__name", "monitor__client__name", "requested_by")
    ordering = ("-id",)
    paginator = Capped
    hidden = ("link_mark",)  # half of what opens a report to strangers

    def get_queryset(self, request):  # type: ignore[no-untyped-def]
        rows = super().get_queryset(request)
        match = request.resolver_match
        return rows.defer("evidence") if match is not None and match.url_name.endswith("changelist") else rows

    @admin.display(description="State")
    def state_word(self, row: Diagnosis) -> str:
        return badge(row.state)


@admin.register(Battery)
class BatteryDesk(Truth):
    list_display = ("id", "diagnosis_id", "probe", "target_key", "state_word", "reused_id", time_column("started_at", "Begun"), time_column("finished_at", "Finished"))  # fmt: skip
    list_filter = (WhenStarted, "state", "probe")
    list_select_related = ("probe",)
    search_fields = ("target_key", "=diagnosis__id", "diagnosis__monitor__name")
    ordering = ("-id",)
    paginator = Capped

    @admin.display(description="State")
    def state_word(self, row: Battery) -> str:
        return badge(row.state)


@admin.register(Baseline)
class BaselineDesk(Truth):
    list_display = ("monitor", "probe", "samples", "address", "asn", "issuer", "dns_provider", time_column("learned_at", "Learned"), time_column("next_at", "Next look"))  # fmt: skip
    list_filter = (WhenLearned, "probe")
    list_select_related = ("monitor", "probe")
    search_fields = ("monitor__name", "=address", "=asn", "issuer", "dns_provider")
    ordering = ("-id",)
    paginator = Capped


@admin.register(RouteChange)
class RouteChangeDesk(Truth):
    list_display = (time_column("at", "When"), "monitor", "probe", "as_before", "as_after")
    list_filter = (WhenAt, "probe")
    list_select_related = ("monitor", "probe")
    search_fields = ("monitor__name",)
    ordering = ("-id",)
    paginator = Capped
