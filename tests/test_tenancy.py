"""Has anybody forgotten whose rows these are? Two nets under all apps: every model, and every address with an id.

A new model fails here until it has a `tenant_path` or a reason in SHARED; a new route with a parameter fails here until
ROUTES knows an object of Acme's for it (then tests/matrix ask for it as every role), or OPEN a reason.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import connection, models
from django.test import Client as Browser
from django.urls import URLPattern, URLResolver, get_resolver

from alerts.models import ContactChannel, EscalationPolicy, MaintenanceRequest, MessageTemplate
from incidents.models import Incident, Postmortem, ReportMail, SlaContract, SlaReport, Update
from monitors.models import Diagnosis, MonitorTemplate
from portal import services as ground
from portal.clock import database_now
from portal.models import AuditEntry, ClientExport, Contact, Membership, ProviderSettings, Token, TrashEntry
from portal.tenancy import TenantQuerySet, tenant_path_of
from statuspages import services as pages
from statuspages.models import Page, Publication
from tests import cast

OURS = ("portal", "alerts", "monitors", "incidents", "statuspages", "playbooks", "console")

# --- Every model -----------------------------------------------------------------------------------------------------
SHARED = {
    "portal.Tag": "words; what carries them is scoped",
    "portal.User": "a person may belong to several clients; shown through memberships, to owners",
    "portal.OneTimeLink": "found by its secret only",
    "portal.ProviderSettings": "the installation's accounts, owners only",
    "portal.AuditHead": "the ends of the chains; entries are scoped",
    "portal.Worker": "processes of the installation",
    "portal.Slot": "turns of periodic jobs",
    "portal.IdempotencyKey": "found by its token and key only",
    "portal.SavedFilter": "a person's own views of lists, found by the person; the desk may read them",
    "alerts.Destination": "an address's pace and health, keyed by a hash; shown through its channel",
}

# Without a foreign key to follow, so without for_user: only read through a parent that was.
THROUGH_PARENT = {"monitors.Result": "raw results, partitioned; read through a monitor that the viewer may see"}


def our_models() -> list[type[models.Model]]:
    return [m for m in apps.get_models(include_auto_created=False) if m._meta.app_label in OURS]


@pytest.mark.once
def test_every_model_has_a_tenant_or_a_reason():
    unknown = [
        m._meta.label
        for m in our_models()
        if tenant_path_of(m) is None and m._meta.label not in SHARED.keys() | THROUGH_PARENT.keys()
    ]
    assert not unknown, f"give these a tenant_path, or a reason in SHARED: {unknown}"


@pytest.mark.once
def test_the_list_of_shared_models_is_true():
    labels = {m._meta.label: m for m in our_models()}
    assert not SHARED.keys() - labels.keys(), "gone: take them out of SHARED"
    assert not [name for name in SHARED if tenant_path_of(labels[name]) is not None], (
        "scoped now: take them out of SHARED"
    )


@pytest.mark.once
@pytest.mark.parametrize("model", [m for m in our_models() if tenant_path_of(m)], ids=lambda m: m._meta.label)
def test_a_tenant_path_leads_to_the_client_and_the_manager_asks_it(model):
    if model._meta.label in THROUGH_PARENT:
        assert not hasattr(model._default_manager, "for_user"), (
            f"{model._meta.label} has for_user: take it out of THROUGH_PARENT"
        )
        return
    path = tenant_path_of(model)
    step: Any = model
    for name in path.split("__") if path != "pk" else []:
        try:
            field = step._meta.get_field(name)
        except FieldDoesNotExist:
            pytest.fail(f"{model._meta.label}: there is no {name!r} on the way {path!r}")
        step = field.related_model or step
    if path != "pk" and not path.endswith("_id"):
        assert step._meta.label == "portal.Client", f"{model._meta.label}: {path!r} leads to {step._meta.label}"
    assert issubclass(model._default_manager._queryset_class, TenantQuerySet), f"{model._meta.label}: use TenantManager"


# --- Every address with an id ----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Route:
    """An address with parameters, as api/v1/sites/{pk}."""

    text: str
    methods: tuple[str, ...]


def _readable(pattern: str) -> str:
    text = pattern
    while (match := re.search(r"\(\?P<(\w+)>", text)) is not None:  # a named group, whatever is inside
        depth, end = 1, match.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0) if text[end - 1] != "\\" else 0
            end += 1
        text = text[: match.start()] + "{" + match[1] + "}" + text[end:]
    return text.replace("/?", "").replace("\\Z", "").replace("\\.", ".").replace("^", "").replace("$", "")


def routes(resolver: URLResolver | None = None, before: str = "") -> Iterator[Route]:
    for entry in (resolver or get_resolver()).url_patterns:
        text = before + _pattern(entry)
        if isinstance(entry, URLResolver):
            yield from routes(entry, text)
        elif isinstance(entry, URLPattern) and "{" in text:
            actions = getattr(entry.callback, "actions", None)
            yield Route(text, tuple(sorted(actions)) if actions else ("get", "post"))


def _pattern(entry: URLPattern | URLResolver) -> str:
    raw = str(entry.pattern)
    if hasattr(entry.pattern, "_route"):
        return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", raw)
    return _readable(raw)


def _audit_entry() -> AuditEntry:
    cast.site()
    return AuditEntry.objects.filter(client_id=cast.acme().pk).latest("pk")


def _policy() -> EscalationPolicy:
    return EscalationPolicy.objects.get_or_create(name="Acme's", defaults={"client": cast.acme()})[0]


def _wording() -> MessageTemplate:
    return MessageTemplate.objects.get_or_create(client=cast.acme(), name="Acme's words", title="{{word}}")[0]


def _way() -> ContactChannel:
    return ContactChannel.objects.get_or_create(contact=cast.contact(), channel=cast.channel())[0]


def _template() -> MonitorTemplate:
    about = {"client": cast.acme(), "kind": "http"}
    return MonitorTemplate.objects.get_or_create(name="Acme sites", defaults=about)[0]


def _exported() -> ClientExport:
    """An archive of everything of Acme's."""
    at = database_now()
    values = {"state": "ready", "asked_at": at, "finished_at": at, "expires_at": at + timedelta(days=7)}
    return ClientExport.objects.get_or_create(client=cast.acme(), defaults=values)[0]


def _thrown_away() -> TrashEntry:
    """A contact of Acme's in the trash."""
    row = TrashEntry.objects.filter(client=cast.acme()).first()
    if row is None:
        ground.delete(Contact.objects.create(client=cast.acme(), name="Thrown away"), by=cast.TESTS)
    return row or TrashEntry.objects.get(client=cast.acme())


def _token() -> Token:
    cast.token(cast.alice(), client=cast.acme())
    return Token.objects.latest("pk")


def _provider() -> ProviderSettings:
    return ProviderSettings.objects.get_or_create(provider="twilio")[0]


def _incident() -> Incident:
    return Incident.objects.filter(client=cast.acme()).first() or Incident.objects.create(
        client=cast.acme(), title="Checkout is down", created_at=database_now()
    )


def _postmortem() -> Postmortem:
    return Postmortem.objects.get_or_create(incident=_incident(), defaults={"updated_at": database_now()})[0]


def _contract() -> SlaContract:
    return SlaContract.objects.get_or_create(service=cast.service())[0]


def _sla_report() -> SlaReport:
    body = {"month": "2026-10", "client_name": "Acme", "services": [], "counted_at": "2026-11-01T00:00:00Z"}
    about = {"client": cast.acme(), "month": date(2026, 10, 1), "digest": "0" * 64}
    return SlaReport.objects.get_or_create(**about, defaults={"body": body, "made_at": database_now()})[0]


def _report_mail() -> ReportMail:
    about = {"report": _sla_report(), "contact": cast.contact()}
    return ReportMail.objects.get_or_create(**about, defaults={"name": "Ana", "created_at": database_now()})[0]


def _request() -> MaintenanceRequest:
    at = database_now()
    about = {"starts_at": at, "ends_at": at + timedelta(hours=1), "created_at": at, "asked_name": "Alice"}
    return MaintenanceRequest.objects.get_or_create(client=cast.acme(), title="New switch", defaults=about)[0]


def _diagnosis() -> Diagnosis:
    at = database_now()
    about = {"cause": "person", "state": "done", "started_at": at, "deadline_at": at}
    return Diagnosis.objects.get_or_create(monitor=cast.monitor(), defaults=about)[0]


# Route -> what stands in its braces: an object of Acme's, or of the MSP's alone. Extend it with your app's.
ROUTES: dict[str, Callable[[], dict[str, Any]]] = {
    **{f"clients/{{pk}}/{tail}/": lambda: {"pk": cast.acme().pk} for tail in ("delete", "export", "export/file")},
    **{
        f"api/v1/clients/{{pk}}/{tail}": lambda: {"pk": _exported().client_id}
        for tail in ("export", "export/file", "branding", "branding/prove", "report-recipients")
    },
    **{f"api/v1/trash/{{pk}}{tail}": lambda: {"pk": _thrown_away().pk} for tail in ("", "/put-back")},
    **{f"trash/{{pk}}/{tail}/": lambda: {"pk": _thrown_away().pk} for tail in ("put-back", "purge")},
    **{
        f"probes/{{pk}}/{tail}": lambda: {"pk": cast.probe(cast.acme()).pk}
        for tail in ("", "edit/", "enrol/", "delete/", "network/")
    },
    "probes/{pk}/{verb}/": lambda: {"pk": cast.probe(cast.acme()).pk, "verb": "disable"},
    "api/v1/probes/{pk}/discovery": lambda: {"pk": cast.probe(cast.acme()).pk},
    "api/v1/probes/{pk}/discovery/accept": lambda: {"pk": cast.probe(cast.acme()).pk},
    **{
        f"api/v1/incidents/{{pk}}{tail}": lambda: {"pk": _incident().pk}
        for tail in ("/merge", "/join", "/split", "/ungroup")
    },
    "api/v1/incidents/{pk}/postmortem": lambda: {"pk": _postmortem().incident_id},
    "api/v1/sla-contracts/{pk}": lambda: {"pk": _contract().pk},
    **{
        f"api/v1/sla-reports/{{pk}}{tail}": lambda: {"pk": _sla_report().pk}
        for tail in ("", "/recompute", "/csv", "/pdf")
    },
    **{
        f"incidents/{{pk}}/{tail}/": lambda: {"pk": _incident().pk}
        for tail in ("edit", "merge", "split", "join", "group", "ungroup", "postmortem", "postmortem/edit")
    },
    "incidents/{pk}/postmortem/{verb}/": lambda: {"pk": _postmortem().incident_id, "verb": "finish"},
    "incidents/{pk}/postmortem.{kind}": lambda: {"pk": _postmortem().incident_id, "kind": "md"},
    "sla/services/{pk}/": lambda: {"pk": cast.service().pk},
    "sla/{pk}/{which}/": lambda: {"pk": cast.acme().pk, "which": "2026-10"},
    "sla/{pk}/{which}.{kind}": lambda: {"pk": cast.acme().pk, "which": "2026-10", "kind": "csv"},
    "diagnoses/{pk}/": lambda: {"pk": _diagnosis().pk},
    "diagnoses/{pk}/raw.json": lambda: {"pk": _diagnosis().pk},
    "diagnoses/{pk}/{verb}/": lambda: {"pk": _diagnosis().pk, "verb": "revoke"},
    "monitors/{pk}/diagnose/": lambda: {"pk": cast.monitor().pk},
    "api/v1/diagnoses/{pk}": lambda: {"pk": _diagnosis().pk},
    "api/v1/monitors/{pk}/diagnose": lambda: {"pk": cast.monitor().pk},
    "api/v1/channels/{pk}/resume-digests": lambda: {"pk": cast.channel().pk},
    "api/v1/clients/{pk}": lambda: {"pk": cast.acme().pk},
    "api/v1/sites/{pk}": lambda: {"pk": cast.site().pk},
    "api/v1/services/{pk}": lambda: {"pk": cast.service().pk},
    "api/v1/contacts/{pk}": lambda: {"pk": cast.contact().pk},
    "api/v1/contact-groups/{pk}": lambda: {"pk": cast.group().pk},
    "api/v1/tokens/{pk}": lambda: {"pk": _token().pk},
    "api/v1/users/{pk}": lambda: {"pk": cast.alice().pk},
    "api/v1/memberships/{pk}": lambda: {"pk": Membership.objects.get(user=cast.alice()).pk},
    "api/v1/provider-settings/{provider}": lambda: {"provider": _provider().provider},
    "api/v1/audit-log/{pk}": lambda: {"pk": _audit_entry().pk},
    "api/v1/channels/{pk}": lambda: {"pk": cast.channel().pk},
    "api/v1/channels/{pk}/test": lambda: {"pk": cast.channel().pk},
    "api/v1/alert-triggers/{pk}": lambda: {"pk": cast.trigger().pk},
    "api/v1/silence/{pk}": lambda: {"pk": cast.silence().pk},
    "api/v1/alerts/{pk}": lambda: {"pk": cast.alert().pk},
    "api/v1/alerts/{pk}/acknowledge": lambda: {"pk": cast.alert().pk},
    "api/v1/alerts/{pk}/deliveries": lambda: {"pk": cast.alert().pk},
    "api/v1/alerts/{pk}/resolve": lambda: {"pk": cast.alert().pk},
    "api/v1/alerts/{pk}/snooze": lambda: {"pk": cast.alert().pk},
    "api/v1/deliveries/{pk}": lambda: {"pk": cast.delivery().pk},
    "api/v1/deliveries/{pk}/retry": lambda: {"pk": cast.delivery().pk},
    "api/v1/notification-logs/{pk}": lambda: {"pk": cast.attempt().pk},
    "api/v1/monitors/{pk}": lambda: {"pk": cast.monitor().pk},
    "api/v1/monitors/{pk}/certificates": lambda: {"pk": cast.monitor().pk},
    "api/v1/monitors/{pk}/changes": lambda: {"pk": cast.monitor().pk},
    "api/v1/monitors/{pk}/check": lambda: {"pk": cast.monitor().pk},
    "api/v1/monitors/{pk}/pause": lambda: {"pk": cast.monitor().pk},
    "api/v1/monitors/{pk}/push": lambda: {"pk": cast.monitor().pk},
    "api/v1/monitors/{pk}/results": lambda: {"pk": cast.monitor().pk},
    "api/v1/monitors/{pk}/resume": lambda: {"pk": cast.monitor().pk},
    "api/v1/monitors/{pk}/uptime": lambda: {"pk": cast.monitor().pk},
    "api/v1/probes/{pk}": lambda: {"pk": cast.probe().pk},
    **{
        f"api/v1/incidents/{{pk}}{tail}": lambda: {"pk": _incident().pk}
        for tail in ("", "/acknowledge", "/reopen", "/resolve", "/timeline", "/updates")
    },
    **{
        f"api/v1/on-call-schedules/{{pk}}{tail}": lambda: {"pk": cast.schedule().pk}
        for tail in ("", "/now", "/shifts", "/overrides", "/feed")
    },
    "api/v1/on-call-schedules/{pk}/overrides/{override}": lambda: {
        "pk": cast.schedule().pk,
        "override": cast.take_over().pk,
    },
    **{
        f"api/v1/integrations/{{pk}}{tail}": lambda: {"pk": cast.integration().pk}
        for tail in ("", "/preview", "/rotate")
    },
    **{f"integrations/{{pk}}/{tail}": lambda: {"pk": cast.integration().pk} for tail in ("", "rotate/", "delete/")},
    **{
        f"on-call/{{pk}}/{tail}": lambda: {"pk": cast.schedule().pk}
        for tail in ("", "edit/", "delete/", "revoke/", "take-over/")
    },
    "on-call/{pk}/take-over/{override}/remove/": lambda: {
        "pk": cast.schedule().pk,
        "override": cast.take_over().pk,
    },
    **{f"api/v1/monitor-templates/{{pk}}{tail}": lambda: {"pk": _template().pk} for tail in ("", "/diff", "/roll-out")},
    **{f"monitor-templates/{{pk}}/{tail}": lambda: {"pk": _template().pk} for tail in ("", "diff/", "delete/")},
    **{f"escalation-policies/{{pk}}/{tail}": lambda: {"pk": _policy().pk} for tail in ("", "edit/", "delete/")},
    "escalation-policies/{pk}/{verb}/": lambda: {"pk": _policy().pk, "verb": "off"},
    "services/{pk}/": lambda: {"pk": cast.service().pk},
    **{
        f"api/v1/monitors/{{pk}}/{tail}": lambda: {"pk": cast.monitor().pk}
        for tail in ("host", "samples", "containers")
    },
    **{f"api/v1/probes/{{pk}}/{tail}": lambda: {"pk": cast.probe().pk} for tail in ("revoke", "token")},
    "api/v1/channels/{pk}/digest": lambda: {"pk": cast.channel().pk},
    "api/v1/message-templates/{pk}": lambda: {"pk": _wording().pk},
    "channels/{pk}/{verb}/": lambda: {"pk": cast.channel().pk, "verb": "digest"},
    **{f"contacts/{{pk}}/{tail}": lambda: {"pk": cast.contact().pk} for tail in ("", "edit/", "delete/", "ways/add/")},
    **{
        f"contacts/{{pk}}/ways/{{way}}/{tail}": lambda: {"pk": cast.contact().pk, "way": _way().pk}
        for tail in ("", "remove/")
    },
    **{f"contact-groups/{{pk}}/{tail}": lambda: {"pk": cast.group().pk} for tail in ("", "delete/")},
    **{f"message-templates/{{pk}}/{tail}": lambda: {"pk": _wording().pk} for tail in ("", "delete/")},
    "api/v1/alerts/{pk}/unsnooze": lambda: {"pk": cast.alert().pk},
    **{
        f"api/v1/maintenance-windows/{{pk}}{tail}": lambda: {"pk": cast.window().pk} for tail in ("", "/end", "/hidden")
    },
    "api/v1/silence/{pk}/hidden": lambda: {"pk": cast.silence().pk},
    "silences/{pk}/": lambda: {"pk": cast.silence().pk},
    **{f"maintenance/{{pk}}/{tail}": lambda: {"pk": cast.window().pk} for tail in ("", "edit/")},
    "maintenance/{pk}/{verb}/": lambda: {"pk": cast.window().pk, "verb": "cancel"},
    "api/v1/escalation-policies/{pk}": lambda: {"pk": _policy().pk},
    "api/v1/alerts/{pk}/escalation-runs": lambda: {"pk": cast.alert().pk},
    "monitors/{pk}/clone/": lambda: {"pk": cast.monitor().pk},
    "api/alerts/{pk}/resolve": lambda: {"pk": cast.alert().pk},
    **{f"monitors/{{pk}}/{tail}": lambda: {"pk": cast.monitor().pk} for tail in ("", "edit/", "delete/")},
    "monitors/{pk}/{verb}/": lambda: {"pk": cast.monitor().pk, "verb": "check"},
    "alerts/{pk}/": lambda: {"pk": cast.alert().pk},
    "alerts/{pk}/{verb}/": lambda: {"pk": cast.alert().pk, "verb": "acknowledge"},
    "incidents/{pk}/": lambda: {"pk": _incident().pk},
    "incidents/{pk}/{verb}/": lambda: {"pk": _incident().pk, "verb": "acknowledge"},
    "deliveries/{pk}/retry/": lambda: {"pk": cast.delivery().pk},
    **{f"channels/{{pk}}/{tail}": lambda: {"pk": cast.channel().pk} for tail in ("", "test/", "delete/")},
    **{f"triggers/{{pk}}/{tail}": lambda: {"pk": cast.trigger().pk} for tail in ("", "delete/")},
    "silences/{pk}/cancel/": lambda: {"pk": cast.silence().pk},
    **{f"clients/{{pk}}/{t}": lambda: {"pk": cast.acme().pk} for t in ("", "delete/", "export/", "export/file/")},
}


def _status() -> dict[str, Any]:
    at, on = (
        database_now(),
        Page.objects.get_or_create(slug="acme", defaults={"client": cast.acme(), "name": "Acme"})[0],
    )
    by = {"by": cast.TESTS, "at": at}
    group = on.groups.first() or pages.save_group(on, None, name="Core", **by)
    part = on.components.first() or pages.save_component(on, None, name="Shop", **by)
    work = on.works.first() or pages.save_work(
        on, None, title="Work", starts_at=at, ends_at=at + timedelta(hours=1), **by
    )
    about = {"kind": "email", "created_at": at, "asked_at": at, "address": "r@acme.example"}
    reader = on.subscribers.get_or_create(address_hash="r", defaults=about)[0]
    shown = pages.publish(_incident(), on, **by)
    return {
        "pk": on.pk,
        "component": part.pk,
        "group": group.pk,
        "work": work.pk,
        "reader": reader.pk,
        "subscriber": reader.pk,
        "incident": shown.incident_id,
    }


def _status_with(*names: str, **fixed: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {n: v for n, v in _status().items() if n in ("pk", *names)} | fixed


def _update() -> dict[str, Any]:
    defaults = {"created_at": database_now()}
    row = Update.objects.get_or_create(incident=_incident(), status="investigating", defaults=defaults)[0]
    return {"pk": row.incident_id, "update": row.pk}


def _published() -> dict[str, Any]:
    on = _status()["pk"]
    return {"pk": _incident().pk, "publication": Publication.objects.get(page=on).pk}


ROUTES |= {
    **{
        f"api/v1/status-pages/{{pk}}{t}": _status_with()
        for t in ("", "/components", "/incidents", "/works", "/subscribers", "/verify-domain")
    },
    **{f"api/v1/status-pages/{{pk}}/components/{{component}}{t}": _status_with("component") for t in ("", "/override")},
    **{f"api/v1/status-pages/{{pk}}/works/{{work}}{t}": _status_with("work") for t in ("", "/move")},
    "api/v1/status-pages/{pk}/incidents/{incident}": _status_with("incident"),
    "api/v1/status-pages/{pk}/subscribers/{subscriber}": _status_with("subscriber"),
    "api/v1/incidents/{pk}/publish": lambda: {"pk": _incident().pk},
    "status_page/{pk}/incident": _status_with(),
    **{f"status-pages/{{pk}}/{t}": _status_with() for t in ("", "edit/", "components/add/", "works/add/", "readers/")},
    "status-pages/{pk}/{verb}/": _status_with(verb="off"),
    "status-pages/{pk}/components/{component}/": _status_with("component"),
    "status-pages/{pk}/components/{component}/{verb}/": _status_with("component", verb="delete"),
    "status-pages/{pk}/groups/{group}/": _status_with("group"),
    "status-pages/{pk}/groups/{group}/{verb}/": _status_with("group", verb="delete"),
    **{f"status-pages/{{pk}}/works/{{work}}/{t}": _status_with("work") for t in ("", "edit/", "cancel/")},
    "status-pages/{pk}/readers/{reader}/{verb}/": _status_with("reader", verb="remove"),
    "incidents/{pk}/publication/": lambda: {"pk": _incident().pk},
    "incidents/{pk}/publication/{publication}/withdraw/": _published,
}

ROUTES |= {
    "people/{pk}/": lambda: {"pk": Membership.objects.get(user=cast.alice()).pk},
    "people/{pk}/{verb}/": lambda: {"pk": Membership.objects.get(user=cast.alice()).pk, "verb": "remove"},
    "api/v1/incidents/{pk}/updates/{update}": _update,
    "incidents/{pk}/updates/{update}/": _update,
    **{f"api/v1/playbooks/{{pk}}{t}": lambda: {"pk": cast.playbook().pk} for t in ("", "/dry-run", "/backtest")},
    **{
        f"api/v1/playbook-runs/{{pk}}{t}": lambda: {"pk": cast.run().pk}
        for t in ("", "/approve", "/deny", "/put-back", "/cancel")
    },
    "api/v1/playbook-brakes/{pk}": lambda: {"pk": cast.brake().pk},
    **{f"playbooks/{{pk}}/{t}": lambda: {"pk": cast.playbook().pk} for t in ("", "edit/")},
    "playbooks/{pk}/{verb}/": lambda: {"pk": cast.playbook().pk, "verb": "delete"},
    "playbooks/stop/{pk}/release/": lambda: {"pk": cast.brake().pk},
    "runs/{pk}/": lambda: {"pk": cast.run().pk},
    "runs/{pk}/{verb}/": lambda: {"pk": cast.run().pk, "verb": "cancel"},
}

ROUTES |= {
    "sla/mails/{pk}/again/": lambda: {"pk": _report_mail().pk},
    "sla/{pk}/recipients/": lambda: {"pk": cast.acme().pk},
    "sla/{pk}/{which}/to-me/": lambda: {"pk": _sla_report().client_id, "which": "2026-10"},
    "maintenance/requests/{pk}/": lambda: {"pk": _request().pk},
    "maintenance/requests/{pk}/{verb}/": lambda: {"pk": _request().pk, "verb": "accept"},
    **{
        f"api/v1/maintenance-requests/{{pk}}{t}": lambda: {"pk": _request().pk}
        for t in ("", "/accept", "/decline", "/withdraw")
    },
    "branding/{pk}/": lambda: {"pk": cast.acme().pk},
}

# Addresses whose parameter is a secret, a public name, or that are not about a client's rows.
OPEN = {
    "api/v1/saved-filters/{pk}": "somebody's own saved filter: for anybody else it does not exist (tests/console/test_api_more.py)",
    "filters/{pk}/delete/": "somebody's own saved filter: for anybody else, owners too, it does not exist (tests/console/test_saved_filters.py)",
    "probe/v1/jobs/{pk}": "signed by the probe whose job it is",
    "r/{token}/": "signed over one diagnosis and its mark; it expires and can be revoked",
    "r/{token}/raw.json": "as the report it belongs to",
    "status/{slug}/": "a public page, by its public name; for signed-in people test_public.py tries every role",
    "status/{slug}/{rest}": "as the page it belongs to",
    "status/{slug}/subscribe/": "public; a page that is not for everybody asks who reads (tests/statuspages/test_subscribers.py)",
    "status/{slug}/subscribe/confirm/{token}/": "signed for one reader and purpose; it expires",
    "status/{slug}/preferences/{token}/": "signed for one reader and purpose",
    "status/{slug}/leave/{token}/": "signed for one reader and purpose",
    "approve/{token}/": "signed for one plan and person; shows, and decides only for a named approver who proves it is they",
    "hooks/bounces/{key}/": "the installation's key; a report counts only with a link signed for its reader (tests/statuspages/test_bounces.py)",
    "u/{token}/": "signed for one channel and its addresses; stops or shows digests only",
    "a/{token}/": "signed for one delivery, and it expires",
    "hooks/twilio/voice/{token}/": "signed for one delivery, and Twilio's signature is checked",
    "hooks/twilio/status/{delivery}/{attempt}/": "Twilio's signature is checked",
    "api/v1/on-call-schedules/{pk}/feed.ics": "the feed's own revocable secret is asked for; without it 404 for everybody",
    "help/{name}/": "the guides are the same for everybody who is signed in",
    "help/pictures/{name}.webp": "their pictures, too",
    "branding/logo/{digest}.{ending}": "named by the picture's own digest: whoever can say it has the picture; the sign-in page and mails show it",
    "setup/{token}/": "the parameter is a one-time secret",
    "invite/{token}/": "the parameter is a one-time secret",
    "ping/{code}": "the monitor's unguessable ping code",
    "ping/{code}/{what}": "the monitor's unguessable ping code",
    "ping/{key}/{slug}": "the client's unguessable ping key",
    "ping/{key}/{slug}/{what}": "the client's unguessable ping key",
    "security/passkeys/{pk}/": "one's own passkeys only; tests/portal/test_mfa_passkeys.py asks for somebody else's",
    "security/passkeys/{pk}/remove/": "as the passkey it belongs to",
    "password/reset/key/{uidb36}-{key}/": "the parameter is a signed secret",
}


def all_routes() -> list[Route]:
    found: dict[str, set[str]] = {}
    for route in routes():
        if not route.text.startswith("admin/"):  # closed as a whole: see below
            found.setdefault(route.text, set()).update(route.methods)
    return [Route(text, tuple(sorted(methods))) for text, methods in sorted(found.items())]


@pytest.mark.once
def test_every_route_with_a_parameter_is_known_here():
    known = ROUTES.keys() | OPEN.keys()
    unknown = sorted({r.text for r in all_routes()} - known)
    assert not unknown, f"add these to ROUTES (with an object of Acme's) or to OPEN (with a reason): {unknown}"
    gone = sorted(known - {r.text for r in all_routes()})
    assert not gone, f"these routes are gone; take them out: {gone}"


# Who is answered what at these addresses is tests/matrix and tests/test_roles.py: every role, Globex's people among them.
def _address(route: Route, values: dict[str, Any]) -> str:
    return "/" + route.text.format(**values)


def _unknown(value: Any) -> Any:
    if isinstance(value, int):
        return 987654321
    return uuid.UUID(int=7) if isinstance(value, uuid.UUID) else "no-such-name"


def _count() -> dict[str, int]:
    """Rows of every model of ours, but for what a mere look leaves behind."""
    ours = [m._meta for m in our_models() if m._meta.label != "portal.AuditEntry"]
    with connection.cursor() as cursor:  # one question instead of a hundred
        cursor.execute("SELECT " + ", ".join(f'(SELECT count(*) FROM "{m.db_table}")' for m in ours))
        return dict(zip((m.label for m in ours), cursor.fetchone(), strict=True))


# --- The admin -------------------------------------------------------------------------------------------------------
@pytest.mark.django_db
@pytest.mark.parametrize("who", [cast.alice, cast.stranger])
def test_the_admin_is_closed_to_everybody_outside(who):
    browser = Browser()
    browser.force_login(who())
    for route in {r.text for r in routes() if r.text.startswith("admin/")}:
        where = "/" + re.sub(r"\{\w+\}", "1", route)
        for method in ("get", "post"):
            answer = getattr(browser, method)(where, follow=True)
            assert answer.status_code in (403, 404, 405), f"{method} {where}: {answer.status_code}"


@pytest.mark.once
def test_patterns_are_read_rightly():
    assert _readable(r"^sites/(?P<pk>[^/.]+)/?\Z") == "sites/{pk}"
    assert _readable(r"^x/(?P<a>(a|b)+)-(?P<b>.+)/$") == "x/{a}-{b}/"
