"""Which address answers what, across the apps? The API and its documentation; pages that show several apps."""

from __future__ import annotations

from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny

from alerts import compatible
from alerts.api import inbound
from console import api
from console.mcp.view import Mcp
from console.pages import branding
from console.pages import urls as pages
from statuspages.api import CompatiblePage
from statuspages.incident_api import Incidents

# The documentation names no tenant and no secret: everybody may read it.
schema = SpectacularAPIView.as_view(permission_classes=[AllowAny], authentication_classes=[])
docs = SpectacularSwaggerSplitView.as_view(
    url_name="api-schema", permission_classes=[AllowAny], authentication_classes=[]
)

urlpatterns = [
    # Where outside systems post.
    re_path(r"^api/v1/events/?\Z", inbound.EventsReceiver.as_view(), name="inbound-events"),
    re_path(r"^v2/enqueue/?\Z", inbound.EventsReceiver.as_view(), name="inbound-enqueue"),
    re_path(r"^api/v1/inbound/alertmanager/?\Z", inbound.AlertmanagerReceiver.as_view(), name="inbound-alertmanager"),
    re_path(r"^api/v1/inbound/generic/?\Z", inbound.GenericReceiver.as_view(), name="inbound-generic"),
    path("api/v1/", include(api.router.urls)),
    path("tls/ask/", branding.certificate),
    # Paths that scripts for other portals rely on.
    re_path(r"^api/alerts/?\Z", compatible.alerts_list, name="compatible-alerts"),
    re_path(r"^api/alerts/(?P<pk>[0-9]{1,18})/resolve/?\Z", compatible.alerts_resolve, name="compatible-alert-resolve"),
    re_path(r"^incident/?\Z", Incidents.as_view({"post": "create"}), name="compatible-incident"),
    re_path(
        r"^status_page/(?P<pk>[0-9]{1,18})/incident/?\Z",
        CompatiblePage.as_view({"post": "publish_incident"}),
        name="compatible-page-incident",
    ),
    re_path(r"^mcp/?\Z", Mcp.as_view(), name="mcp"),
    re_path(r"^api/schema/?\Z", schema, name="api-schema"),
    re_path(r"^api/docs/?\Z", docs, name="api-docs"),
    *pages.urlpatterns,
]
