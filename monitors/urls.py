"""Which addresses belong to monitors? Those where jobs and probes report; pages stand in the console."""

from django.urls import path, re_path

from monitors import probe_api, views

UUID = r"(?P<code>[0-9a-fA-F]{8}-[0-9a-fA-F-]{27})"
KEY = r"(?P<key>wk_[A-Za-z0-9_-]{1,200})/(?P<slug>[-a-zA-Z0-9_]{1,60})"
WHAT = r"(?P<what>[a-z]{1,10}|[0-9]{1,10})"

urlpatterns = [
    re_path(rf"^ping/{UUID}/?\Z", views.ping, name="ping"),
    re_path(rf"^ping/{UUID}/{WHAT}/?\Z", views.ping),
    re_path(rf"^ping/{KEY}/?\Z", views.ping_by_slug),
    re_path(rf"^ping/{KEY}/{WHAT}/?\Z", views.ping_by_slug),
    re_path(r"^ping(?:/.*)?\Z", views.not_found),
    path("probe/v1/enroll", probe_api.enroll),
    path("probe/v1/hello", probe_api.hello),
    path("probe/v1/work", probe_api.work),
    path("probe/v1/results", probe_api.results),
    path("probe/v1/jobs/<int:pk>", probe_api.job),
]
