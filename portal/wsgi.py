"""The door for web servers: `gunicorn portal.wsgi`."""

import os
from pathlib import Path

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

from django.conf import settings  # noqa: E402

from portal import longlived  # noqa: E402

Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)  # whitenoise looks there; the files come from the apps
application = get_wsgi_application()
longlived.of_a_web_process()
