"""Which page asks for what? Every route of the portal's own pages, by the locks of looking at it and of sending it.

A route with parameters is about a row of Acme's (the addresses are tests/test_tenancy.py's ROUTES); the others are lists
and forms of whatever the person sees. A page without a form answers what is sent to it as if it were looked at.
"""

from __future__ import annotations

from tests.matrix.locks import (
    ANSWERS,
    MANAGERS_READ,
    MANAGERS_WRITE,
    OUR_WRITES,
    OWNERS,
    READS,
    STAFF_READS,
    STAFF_WRITES,
    WRITES,
    Lock,
)

_TABLE: tuple[tuple[Lock, Lock, str], ...] = (
    # Lists, searches and tables: each shows what its reader sees, to somebody of no client nothing.
    (READS, READS, """
        _ search/ help/ help/{name}/ help/pictures/{name}.webp wallboard/ monitors/ monitor-templates/ alerts/ status-pages/ playbooks/ runs/ approvals/ incidents/ sla/ deliveries/ channels/
        contacts/ contact-groups/ message-templates/ triggers/ escalation-policies/ simulate/ integrations/ probes/ silences/ maintenance/ on-call/ clients/
        tables/monitors.csv tables/contacts.csv"""),
    # One's own: filters above lists, the end of looking as a client does.
    (READS, READS, "filters/ view-as/end/"),
    # What is only looked at; exports; a decision on a run (who is asked by name decides, whatever the role); a report to oneself.
    (READS, READS, """
        maintenance/requests/{pk}/ monitors/{pk}/ monitor-templates/{pk}/diff/ alerts/{pk}/ diagnoses/{pk}/ diagnoses/{pk}/raw.json status-pages/{pk}/
        status-pages/{pk}/readers/ playbooks/{pk}/ runs/{pk}/ incidents/{pk}/postmortem/ incidents/{pk}/postmortem.{kind} sla/{pk}/{which}.{kind}
        sla/{pk}/{which}/to-me/ contacts/{pk}/ escalation-policies/{pk}/ probes/{pk}/ silences/{pk}/ maintenance/{pk}/ on-call/{pk}/ clients/{pk}/"""),
    # Buttons, and forms that stand on a page for everybody who reads it.
    (READS, WRITES, """
        sla/mails/{pk}/again/ sla/{pk}/recipients/ monitors/act/ monitors/{pk}/diagnose/ monitors/{pk}/{verb}/ status-pages/{pk}/groups/{group}/{verb}/
        status-pages/{pk}/works/{work}/ status-pages/{pk}/{verb}/ incidents/{pk}/ incidents/{pk}/publication/ incidents/{pk}/postmortem/{verb}/
        deliveries/{pk}/retry/ channels/{pk}/test/ channels/{pk}/{verb}/ escalation-policies/{pk}/{verb}/ probes/{pk}/network/ silences/{pk}/cancel/
        on-call/{pk}/take-over/ on-call/{pk}/take-over/{override}/remove/"""),
    (READS, ANSWERS, "alerts/{pk}/{verb}/ incidents/{pk}/{verb}/"),
    (READS, OUR_WRITES, "maintenance/requests/{pk}/{verb}/ sla/{pk}/{which}/ playbooks/stop/"),
    # Forms, and questions before something ends.
    (WRITES, WRITES, """
        monitors/add/ monitors/several/ monitors/{pk}/edit/ monitors/{pk}/clone/ monitors/{pk}/delete/ monitor-templates/add/ monitor-templates/{pk}/
        monitor-templates/{pk}/delete/ sites/add/ services/add/ services/{pk}/ diagnoses/{pk}/{verb}/ page-now/ trash/ trash/{pk}/put-back/ trash/{pk}/purge/
        incidents/add/ incidents/{pk}/edit/ incidents/{pk}/updates/{update}/ incidents/{pk}/merge/ incidents/{pk}/split/ incidents/{pk}/join/
        incidents/{pk}/postmortem/edit/ incidents/{pk}/publication/{publication}/withdraw/ status-pages/add/ status-pages/{pk}/edit/
        status-pages/{pk}/components/add/ status-pages/{pk}/components/{component}/ status-pages/{pk}/components/{component}/{verb}/
        status-pages/{pk}/groups/{group}/ status-pages/{pk}/works/add/ status-pages/{pk}/works/{work}/edit/ status-pages/{pk}/works/{work}/cancel/
        status-pages/{pk}/readers/{reader}/{verb}/ playbooks/add/ playbooks/{pk}/edit/ playbooks/{pk}/{verb}/ playbooks/stop/{pk}/release/ runs/{pk}/{verb}/
        channels/add/ channels/{pk}/ channels/{pk}/delete/ contacts/add/ contacts/several/ contacts/{pk}/edit/ contacts/{pk}/delete/ contacts/{pk}/ways/add/
        contacts/{pk}/ways/{way}/ contacts/{pk}/ways/{way}/remove/ contact-groups/add/ contact-groups/{pk}/ contact-groups/{pk}/delete/
        message-templates/add/ message-templates/{pk}/ message-templates/{pk}/delete/ triggers/add/ triggers/{pk}/ triggers/{pk}/delete/
        escalation-policies/add/ escalation-policies/{pk}/edit/ escalation-policies/{pk}/delete/ integrations/add/ integrations/{pk}/
        integrations/{pk}/rotate/ integrations/{pk}/delete/ silences/add/ maintenance/add/ maintenance/{pk}/edit/ maintenance/{pk}/{verb}/
        clients/{pk}/export/ clients/{pk}/export/file/ on-call/add/ on-call/{pk}/edit/ on-call/{pk}/delete/ on-call/{pk}/revoke/"""),
    (ANSWERS, ANSWERS, "maintenance/requests/add/"),
    # What the MSP keeps for its clients: they see it, and may not touch it.
    (OUR_WRITES, OUR_WRITES, "sla/services/{pk}/ probes/{pk}/delete/ probes/{pk}/{verb}/"),
    # What is no client's business does not exist for them.
    (STAFF_READS, STAFF_WRITES, "incidents/{pk}/ungroup/"),
    (STAFF_WRITES, STAFF_WRITES, """
        branding/{pk}/ incidents/group/ incidents/{pk}/group/ probes/add/ probes/{pk}/edit/ probes/{pk}/enrol/ view-as/ clients/add/ clients/{pk}/delete/"""),
    (OWNERS, OWNERS, "branding/ branding/ours/"),
    # People: whoever manages them.
    (MANAGERS_READ, MANAGERS_READ, "people/"),
    (MANAGERS_WRITE, MANAGERS_WRITE, "people/invite/ people/{pk}/ people/{pk}/{verb}/"),
)  # fmt: skip

PAGES: dict[str, tuple[Lock, Lock]] = {
    route.removeprefix("_"): (look, send) for look, send, routes in _TABLE for route in routes.split()
}

# (route, method): what is expected of those who are let in, and why it is not an ordinary answer.
OTHERWISE = {
    ("sla/mails/{pk}/again/", "post"): ("unknown", "this mail is on its way still: there is none to send again"),
    ("incidents/{pk}/publication/", "post"): ("unknown", "no page was chosen"),
    ("filters/", "post"): ("unknown", "no list was named"),
}
# Only looked at: whoever sends anything is told that it does not work that way.
ONLY_SHOWN = {"help/pictures/{name}.webp"}
# To fetch it is on record.
RECORDED = {"clients/{pk}/export/file/"}
# Refused by a sentence above the list, for each row of it: everybody is sent back, nothing is changed.
SAID_ABOVE = {"monitors/act/": b"action=pause&ids={monitor}"}
# Every form in which a table is taken out.
KINDS = {"incidents/{pk}/postmortem.{kind}": ("md", "pdf"), "sla/{pk}/{which}.{kind}": ("csv", "pdf")}  # fmt: skip
