"""What news do monitors send up? Sent inside the transaction."""

from django.dispatch import Signal

state_changed = Signal()  # monitors=[Monitor] with their new state, at
verdict_reached = (
    Signal()
)  # diagnosis=Diagnosis with its verdict, at, first=bool: its first verdict, or a later revision
probe_job_finished = (
    Signal()
)  # job=ProbeJob that ended: by its probe's word, expired, or unknown (a late answer may follow), at
