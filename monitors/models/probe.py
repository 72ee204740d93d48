"""From where, and what does each place see? Probes and the narrow, often written row per monitor and probe."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from portal.tenancy import TenantManager


class Probe(models.Model):
    """Where checks run from: a region (seen by all) or a private probe inside one client's network.

    The portal's own workers are the probe `local`: a region like any other.
    """

    tenant_path = "client"
    tenant_null = "shared"
    objects = TenantManager()

    name = models.CharField(max_length=80)
    slug = models.SlugField(max_length=60, unique=True)
    client = models.ForeignKey(
        "portal.Client",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="probes",
        help_text="Set: a private probe of this client.",
    )
    network = models.CharField(
        max_length=120, blank=True, help_text="Whose network it stands in; quorums may ask for distinct ones."
    )
    built_in = models.BooleanField(default=False, editable=False, help_text="Run by the portal's own workers.")
    enabled = models.BooleanField(default=True)
    anchors = models.JSONField(
        default=list,
        blank=True,
        help_text='Independent addresses that prove its own line is well, as ["1.1.1.1:443", "https://example.com"].',
    )
    anchors_ok_at = models.DateTimeField(null=True, editable=False)
    blind_since = models.DateTimeField(null=True, editable=False)
    blind_reason = models.CharField(max_length=300, blank=True, editable=False)
    last_seen_at = models.DateTimeField(null=True, editable=False)
    version = models.CharField(max_length=40, blank=True, editable=False)
    clock_offset_ms = models.IntegerField(null=True, editable=False, help_text="Its own clock against ours.")
    tags = models.ManyToManyField("portal.Tag", blank=True)
    # Who it is. Its key is made on its own machine; ours is pinned there.
    public_key = models.CharField(max_length=64, blank=True, editable=False, help_text="Ed25519, base64.")
    enrolled_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)
    instance = models.CharField(
        max_length=32, blank=True, editable=False, help_text="The process that speaks for it now."
    )
    counter = models.BigIntegerField(
        default=0, editable=False, help_text="The last request's; an older one is a replay."
    )
    action_counter = models.BigIntegerField(
        default=0, editable=False, help_text="The last order to act; it refuses whatever is not above it."
    )
    result_seq = models.BigIntegerField(default=0, editable=False, help_text="The last result that was taken over.")
    assignment_version = models.PositiveIntegerField(default=1, editable=False)
    hostname = models.CharField(max_length=120, blank=True, editable=False)
    platform = models.CharField(max_length=200, blank=True, editable=False)
    health = models.JSONField(default=dict, editable=False, help_text="What it says of itself: lag, spool, memory …")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ProbeJob(models.Model):
    """Something that one probe is asked to do once: look around its network, diagnose, carry out a step."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        TAKEN = "taken", "Under way"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        REFUSED = "refused", "Refused by the probe"
        EXPIRED = "expired", "Expired"
        UNKNOWN = "unknown", "Outcome unknown"

    tenant_path = "probe__client"
    objects = TenantManager()

    probe = models.ForeignKey(Probe, models.CASCADE, related_name="jobs")
    kind = models.CharField(max_length=24)
    body = models.JSONField(default=dict)
    key = models.CharField(max_length=80, unique=True, help_text="One job per key, however often it is asked for.")
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    requested_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    taken_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    result = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["probe"], condition=Q(state="waiting"), name="job_waiting")]

    def __str__(self) -> str:
        return f"{self.kind} by {self.probe}: {self.get_state_display()}"


class Status(models.IntegerChoices):
    """What one check saw; the numbers are those of `monitors.checks.base.Status`."""

    UNKNOWN = 0, "unknown"
    UP = 1, "up"
    DEGRADED = 2, "degraded"
    FAILING = 3, "failing"


class ProbeState(models.Model):
    """One monitor as one probe sees it: the schedule, the claim, and the streak that its vote rests on.

    Narrow, and written with each check; PostgreSQL keeps free room on its pages (fillfactor 60), so that most writes
    touch no index.
    """

    tenant_path = "monitor__client"
    objects = TenantManager()

    monitor = models.ForeignKey("monitors.Monitor", models.CASCADE, related_name="views")
    probe = models.ForeignKey(Probe, models.CASCADE, related_name="views")
    # The schedule and the claim.
    active = models.BooleanField(default=True, help_text="False while the monitor or the probe rests.")
    next_due_at = models.DateTimeField()
    rush = models.BooleanField(default=False, help_text="Asked for at once while a check was under way.")
    claimed_by = models.CharField(max_length=64, blank=True)
    lease_token = models.BigIntegerField(null=True)
    lease_until = models.DateTimeField(null=True)
    # What was seen.
    status = models.SmallIntegerField(choices=Status.choices, default=Status.UNKNOWN)
    streak = models.IntegerField(default=0, help_text="Results of this status in a row.")
    since = models.DateTimeField(null=True, help_text="The first result of the streak.")
    last_at = models.DateTimeField(null=True)
    last_seq = models.BigIntegerField(default=0)
    last_ms = models.FloatField(null=True)
    error_class = models.CharField(max_length=20, blank=True)
    message = models.CharField(max_length=300, blank=True)
    facts = models.JSONField(default=dict, help_text="What passive kinds judge by: the last ping, the last push.")
    # What the engine made of it.
    vote = models.SmallIntegerField(choices=Status.choices, default=Status.UNKNOWN, help_text="The confirmed status.")
    changed = models.BooleanField(default=False, help_text="The evaluator has to look.")
    settled = models.BooleanField(default=False, help_text="One more result like the last cannot change anything.")
    stale = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["monitor", "probe"], name="one_view_per_monitor_and_probe")]
        indexes = [
            models.Index(fields=["next_due_at"], condition=Q(active=True, lease_token=None), name="view_due"),
            models.Index(fields=["lease_until"], condition=Q(lease_token__isnull=False), name="view_leased"),
            models.Index(fields=["monitor"], condition=Q(changed=True), name="view_changed"),
        ]

    def __str__(self) -> str:
        return f"{self.monitor_id} from {self.probe_id}"
