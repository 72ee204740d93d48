"""Celery's tasks: ids in, nothing out; each of them wakes something that reads the database."""

from __future__ import annotations

from celery import shared_task

from portal import bells, slots


@shared_task
def ring_probe(name: str) -> None:
    """Wake a prober."""
    bells.ring_here(name)


@shared_task
def ring_page(name: str) -> None:
    """Wake the evaluator and the sender; `page` (beat's tick) wakes both."""
    for bell in (bells.EVALUATE, bells.SEND) if name == "page" else (name,):
        bells.ring_here(bell)


@shared_task
def housekeeping() -> None:
    """Run the periodic jobs whose slot nobody has taken."""
    slots.run_due()
