"""What was proposed, allowed and done? One row per run with its plan, its gates' answers, its steps and approvals."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from portal.tenancy import TenantManager


class RunState(models.TextChoices):
    """Where a run stands (SPEC 19). `engine.MOVES` says from which to which."""

    DRY_RUN = "dry_run", "Dry run"
    BLOCKED = "blocked", "Blocked by a gate"
    AWAITING_APPROVAL = "awaiting_approval", "Awaiting approval"
    APPROVED = "approved", "Approved, about to start"
    DENIED = "denied", "Denied"
    EXPIRED = "expired", "Expired"
    VOID = "void", "Void"
    RUNNING = "running", "Running"
    VERIFYING = "verifying", "Verifying"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    ROLLED_BACK = "rolled_back", "Rolled back"
    OUTCOME_UNKNOWN = "outcome_unknown", "Outcome unknown"


ACTING = (RunState.RUNNING, RunState.VERIFYING)
OPEN = (RunState.BLOCKED, RunState.AWAITING_APPROVAL, RunState.APPROVED, *ACTING)


class Run(models.Model):
    """One answer of one playbook to one alert (or a dry run that a person asked for).

    The plan is frozen when it is made; `plan_hash` is what people approve, and what every order to a probe names.
    """

    tenant_path = "client"
    tenant_null = "msp"
    objects = TenantManager()

    playbook = models.ForeignKey("playbooks.Playbook", models.SET_NULL, null=True, related_name="runs")
    playbook_name = models.CharField(max_length=120)
    playbook_version = models.PositiveIntegerField()
    client = models.ForeignKey("portal.Client", models.CASCADE, null=True, related_name="playbook_runs")
    monitor = models.ForeignKey("monitors.Monitor", models.SET_NULL, null=True, related_name="playbook_runs")
    alert = models.ForeignKey("alerts.Alert", models.SET_NULL, null=True, related_name="playbook_runs")
    incident = models.ForeignKey("incidents.Incident", models.SET_NULL, null=True, related_name="playbook_runs")
    undoes = models.ForeignKey("self", models.SET_NULL, null=True, related_name="failbacks", help_text="The run that it puts back.")  # fmt: skip
    mode = models.CharField(max_length=9, help_text="The playbook's when it was proposed.")
    state = models.CharField(max_length=18, choices=RunState.choices)
    reason = models.CharField(max_length=500, blank=True, help_text="Why it is in this state, in one sentence.")
    gates = models.JSONField(default=list, help_text="[{gate, passed, detail, numbers}], as last judged.")
    gates_at = models.DateTimeField(null=True)
    plan = models.JSONField(
        default=list, help_text="The steps as they will be done (playbooks/plans.py says the shape)."
    )
    plan_hash = models.CharField(max_length=64)
    verdict = models.JSONField(default=dict, help_text="The verdict it was proposed upon.")
    requested_by = models.CharField(max_length=200, blank=True, help_text="Empty: the portal itself, upon an alert.")
    requester = models.ForeignKey("portal.User", models.SET_NULL, null=True, blank=True, related_name="+")
    approvals_required = models.PositiveIntegerField(default=0)
    approver_ids = models.JSONField(default=list, help_text="Who was asked, as it stood when it was proposed.")
    verify_within_seconds = models.PositiveIntegerField(default=120)
    undo_on_failure = models.BooleanField(default=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    reconsider_at = models.DateTimeField(
        null=True, help_text="A blocked run is judged again then, while its alert is open."
    )
    decided_at = models.DateTimeField(null=True)
    acted_at = models.DateTimeField(null=True, help_text="When it began to act: what cooldowns and caps count.")
    verify_until = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    verification = models.JSONField(default=dict)
    claimed_by = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["playbook", "alert"], condition=Q(alert__isnull=False, undoes=None) & ~Q(state="dry_run"), name="one_run_per_playbook_and_alert"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["running", "verifying", "succeeded", "rolled_back", "outcome_unknown"]) | Q(acted_at__isnull=False),
                name="what_acted_has_a_time",
            ),
            models.CheckConstraint(condition=~Q(state="dry_run") | Q(acted_at=None), name="a_dry_run_never_acts"),
        ]  # fmt: skip
        indexes = [
            models.Index(fields=["playbook", "-id"], name="run_playbook"),
            models.Index(fields=["client", "-id"], name="run_client"),
            models.Index(fields=["acted_at"], condition=Q(acted_at__isnull=False), name="run_acted"),
            models.Index(fields=["state"], condition=Q(state__in=["blocked", "awaiting_approval", "approved", "running", "verifying"]), name="run_open"),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.playbook_name} #{self.pk}"


class RunTarget(models.Model):
    """One thing that a run touches. The database lets one run at a time act on it."""

    tenant_path = "run__client"
    objects = TenantManager()

    run = models.ForeignKey(Run, models.CASCADE, related_name="targets")
    key = models.CharField(max_length=300)
    active = models.BooleanField(default=False, help_text="While its run acts.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "key"], name="one_row_per_run_and_target"),
            models.UniqueConstraint(fields=["key"], condition=Q(active=True), name="one_run_acts_on_a_target"),
        ]
        indexes = [models.Index(fields=["key"], name="run_target")]

    def __str__(self) -> str:
        return self.key


class StepState(models.TextChoices):
    """What became of one step."""

    WAITING = "waiting", "Waiting"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    UNKNOWN = "unknown", "Outcome unknown"
    SKIPPED = "skipped", "Not done"
    UNDOING = "undoing", "Being undone"
    UNDONE = "undone", "Undone"
    NOT_UNDONE = "not_undone", "Could not be undone"


class RunStep(models.Model):
    """One step of a run: begun at most once, whatever happens to workers."""

    tenant_path = "run__client"
    objects = TenantManager()

    run = models.ForeignKey(Run, models.CASCADE, related_name="steps")
    order = models.PositiveIntegerField()
    kind = models.CharField(max_length=24)
    state = models.CharField(max_length=10, choices=StepState.choices, default=StepState.WAITING)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    output = models.TextField(blank=True, help_text="At most 50 KB.")
    before = models.JSONField(default=dict, help_text="What it was: for the record, and to undo it.")
    after = models.JSONField(default=dict)
    error = models.CharField(max_length=500, blank=True)
    job = models.ForeignKey("monitors.ProbeJob", models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ["order"]
        constraints = [models.UniqueConstraint(fields=["run", "order"], name="one_row_per_run_and_step")]

    def __str__(self) -> str:
        return f"{self.order}. {self.kind}: {self.get_state_display()}"


class Approval(models.Model):
    """One person's word on one plan."""

    class Word(models.TextChoices):
        APPROVE = "approve", "Approved"
        DENY = "deny", "Denied"

    tenant_path = "run__client"
    objects = TenantManager()

    run = models.ForeignKey(Run, models.CASCADE, related_name="approvals")
    user = models.ForeignKey("portal.User", models.CASCADE, related_name="+")
    word = models.CharField(max_length=7, choices=Word.choices)
    plan_hash = models.CharField(max_length=64)
    how = models.CharField(
        max_length=24, help_text="What proved it: password, totp, webauthn, recovery_codes, code, api+totp."
    )
    ip = models.CharField(max_length=45, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["run", "user"], name="one_word_per_person")]

    def __str__(self) -> str:
        return f"{self.user}: {self.get_word_display()}"
