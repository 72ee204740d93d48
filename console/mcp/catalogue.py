"""Which tools are there? Each is one call of the API, so that who may do what, and what it does, is decided in one place.

Whatever lets a playbook act (approving, denying, its mode, its kill switches) is not here and will not be: people do that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Tool:
    """One call: `path` is below /api/v1/ with {id} as in the API's documentation."""

    name: str
    method: str
    path: str
    title: str
    description: str
    destructive: bool = False  # takes away what cannot be had back by another call
    repeatable: bool = False  # again changes nothing more

    @property
    def reads(self) -> bool:
        """Changes nothing."""
        return self.method == "GET"

    def annotations(self) -> dict[str, Any]:
        """What a client shows before it asks its person (MCP's ToolAnnotations)."""
        hints: dict[str, Any] = {"title": self.title, "readOnlyHint": self.reads, "openWorldHint": False}
        if not self.reads:
            hints |= {"destructiveHint": self.destructive, "idempotentHint": self.repeatable}
        return hints


def _kept(one: str, path: str, words: str, about: str, *, change: bool = True) -> list[Tool]:
    """list, get, create, update and delete of one resource."""
    tools = [
        Tool(f"list_{one}s" if not one.endswith("y") else f"list_{one[:-1]}ies", "GET", f"{path}/", f"List {words}s", about),
        Tool(f"get_{one}", "GET", f"{path}/{{id}}/", f"Show one {words}", f"One {words} with all its settings."),
        Tool(f"create_{one}", "POST", f"{path}/", f"Make a {words}", f"Make a {words}. {about}"),
    ]  # fmt: skip
    if change:
        tools.append(
            Tool(
                f"update_{one}",
                "PATCH",
                f"{path}/{{id}}/",
                f"Change a {words}",
                f"Change the given fields of a {words}; the others stay.",
                destructive=True,
                repeatable=True,
            )  # fmt: skip
        )
    ending = f"Delete a {words}." if change else f"End a {words} now; its record stays."
    tools.append(
        Tool(
            f"delete_{one}", "DELETE", f"{path}/{{id}}/", ending.rstrip("."), ending, destructive=True, repeatable=True
        )
    )
    return tools


TOOLS: tuple[Tool, ...] = (
    # What is wrong, and why?
    Tool("list_active_alerts", "GET", "alerts/active/", "What is wrong now", "Every alert that is open or acknowledged now, worst first."),
    Tool("list_alerts", "GET", "alerts/", "List alerts", "What is or was wrong, newest first; by status, severity, source, client, site or monitor."),
    Tool("get_alert", "GET", "alerts/{id}/", "Show one alert", "One alert: what, since when, who has it, and the verdict on its cause."),
    Tool("list_alert_deliveries", "GET", "alerts/{id}/deliveries/", "Who was told", "Every message about one alert: to whom, by which channel, when, and how it ended."),
    Tool("acknowledge_alert", "POST", "alerts/{id}/acknowledge/", "Acknowledge an alert", "Somebody has it: escalation stops, the alert stays open.", repeatable=True),
    Tool("snooze_alert", "POST", "alerts/{id}/snooze/", "Snooze an alert", "Quiet until a given time, then it is told again if it still fails.", repeatable=True),
    Tool("resolve_alert", "POST", "alerts/{id}/resolve/", "Resolve an alert", "End an alert by hand. It opens again if what it watches still fails.", destructive=True),
    Tool("list_diagnoses", "GET", "diagnoses/", "List diagnoses", "Verdicts on causes, newest first; by monitor, client or layer."),
    Tool("get_diagnosis", "GET", "diagnoses/{id}/", "Why does it fail", "One verdict: layer, confidence, the sentence, evidence for and against, what was ruled out."),
    # What is watched?
    Tool("list_monitors", "GET", "monitors/", "List monitors", "What is watched, with its state; by client, site, service, kind, state or tag."),
    Tool("get_monitor", "GET", "monitors/{id}/", "Show one monitor", "One monitor with its settings and its state."),
    Tool("list_monitor_results", "GET", "monitors/{id}/results/", "Results of a monitor", "Single checks, newest first: by which probe, status, times in milliseconds, message."),
    Tool("get_monitor_uptime", "GET", "monitors/{id}/uptime/", "Uptime of a monitor", "Availability and latency over a time."),
    Tool("pause_monitor", "POST", "monitors/{id}/pause/", "Pause a monitor", "No checks and no alerts until it is resumed; open alerts close quietly.", destructive=True, repeatable=True),
    Tool("resume_monitor", "POST", "monitors/{id}/resume/", "Resume a monitor", "Watch it again.", repeatable=True),
    Tool("check_monitor", "POST", "monitors/{id}/check/", "Check now", "Check as soon as a probe can; read the results a few seconds later."),
    Tool("diagnose_monitor", "POST", "monitors/{id}/diagnose/", "Diagnose now", "Ask every probe of the monitor for evidence; read the diagnosis some 8 seconds later."),
    # Incidents
    Tool("list_incidents", "GET", "incidents/", "List incidents", "Incidents, newest first."),
    Tool("get_incident", "GET", "incidents/{id}/", "Show one incident", "One incident with its two states: of responders, and as the public sees it."),
    Tool("get_incident_timeline", "GET", "incidents/{id}/timeline/", "Timeline of an incident", "Everything that happened, in order: pages, acknowledgements, verdicts, runs, updates."),
    Tool("create_incident", "POST", "incidents/", "Open an incident", "Open an incident by hand, of a client."),
    Tool("update_incident", "POST", "incidents/{id}/updates/", "Post an update", "Tell those outside: a message and the public status, which goes forward only; `resolved` ends the incident. It is published where the incident stands.", destructive=True),
    Tool("acknowledge_incident", "POST", "incidents/{id}/acknowledge/", "Acknowledge an incident", "Somebody has it: escalation of all its alerts stops.", repeatable=True),
    Tool("resolve_incident", "POST", "incidents/{id}/resolve/", "Resolve an incident", "End it for responders and the public.", destructive=True),
    # Who is told, when, and by what?
    *_kept("trigger", "alert-triggers", "trigger", "A trigger says which alerts go to which channels, people and groups."),
    *_kept("channel", "channels", "channel", "A channel is a way to tell somebody: mail, chat, telephone, ticket or webhook. Secrets are write-only."),
    *_kept("policy", "escalation-policies", "policy", "An escalation policy says who is told next while nobody acknowledges."),
    *_kept("silence", "silence", "silence", "A silence keeps matching alerts quiet until it ends; to change one, end it and make another.", change=False),
    Tool("test_channel", "POST", "channels/{id}/test/", "Send a test message", "Send a test message by a channel."),
    Tool("who_would_be_told", "GET", "simulate/", "Who would be told", "Who would be told, and when, if a monitor failed now. Nothing is stored or sent."),
    Tool("list_on_call_schedules", "GET", "on-call-schedules/", "List on-call schedules", "Schedules with their layers."),
    Tool("who_is_on_call", "GET", "on-call-schedules/{id}/now/", "Who is on call", "Who has duty now by a schedule, and who comes next."),
    Tool("list_contacts", "GET", "contacts/", "List contacts", "People who can be told, and how."),
    # What was done about it? Approving stays with people.
    Tool("list_playbooks", "GET", "playbooks/", "List playbooks", "Playbooks with mode, gates and record."),
    Tool("list_runs", "GET", "playbook-runs/", "List playbook runs", "Runs of playbooks, newest first."),
    Tool("get_run", "GET", "playbook-runs/{id}/", "Explain one run", "One run: the exact plan, each gate with its numbers, who was asked and agreed, results, verification. Only people approve or deny it."),
    # Where things belong
    Tool("list_clients", "GET", "clients/", "List clients", "Clients that this token sees."),
    Tool("list_sites", "GET", "sites/", "List sites", "Places of clients."),
    Tool("list_services", "GET", "services/", "List services", "Services, which monitors belong to and incidents are about."),
    Tool("list_probes", "GET", "probes/", "List probes", "Where checks are made from, and how each probe is."),
    Tool("list_status_pages", "GET", "status-pages/", "List status pages", "Public pages and their components."),
    Tool("list_maintenance_windows", "GET", "maintenance-windows/", "List maintenance windows", "Planned works, which keep alerts quiet."),
)  # fmt: skip
BY_NAME = {tool.name: tool for tool in TOOLS}
