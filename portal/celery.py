"""How do processes ring each other? Celery carries doorbells and nothing else; what is due stands in the database."""

from __future__ import annotations

import os

from celery import Celery
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

PROBE, PAGE = "probe", "page"

app = Celery("watchkeeper")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    broker_connection_timeout=2,
    broker_transport_options=(
        {"socket_timeout": 2, "socket_connect_timeout": 2, "health_check_interval": 10, "visibility_timeout": 60} if settings.REDIS_URL else {"polling_interval": 0.05}
    ),
    task_publish_retry=False,
    task_default_queue=PAGE,
    task_routes={"portal.tasks.ring_probe": {"queue": PROBE}},
    task_time_limit=None,
    timezone="UTC",
    enable_utc=True,
    beat_scheduler="django_celery_beat.schedulers:DatabaseScheduler",
    beat_max_loop_interval=5,
    beat_schedule={
        "ring the probers": {"task": "portal.tasks.ring_probe", "schedule": 5.0, "args": ("probe",), "options": {"expires": 5}},
        "ring the pagers": {"task": "portal.tasks.ring_page", "schedule": 5.0, "args": ("page",), "options": {"expires": 5}},
        "housekeeping": {"task": "portal.tasks.housekeeping", "schedule": 10.0, "options": {"expires": 30}},
    },
)  # fmt: skip
app.autodiscover_tasks(["portal"])
