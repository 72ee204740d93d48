"""What the public sees: pages, their components, what was published, who subscribed."""

from statuspages.models.page import Component, ComponentGroup, Page, Projection
from statuspages.models.published import Publication, ScheduledWork, WorkUpdate
from statuspages.models.subscriber import Subscriber

__all__ = [
    "Component", "ComponentGroup", "Page", "Projection", "Publication", "ScheduledWork", "Subscriber", "WorkUpdate",
]  # fmt: skip
