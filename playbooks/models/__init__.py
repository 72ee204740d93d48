"""What may be done about a failure, what was done, and who allowed it."""

from playbooks.models.playbook import Brake, Mode, Playbook, Step
from playbooks.models.run import Approval, Run, RunState, RunStep, RunTarget, StepState

__all__ = ["Approval", "Brake", "Mode", "Playbook", "Run", "RunState", "RunStep", "RunTarget", "Step", "StepState"]
