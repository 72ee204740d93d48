"""Which address answers what, across the apps? The API and its documentation; pages that show several apps."""

from __future__ import annotations

from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny

from console import api

# The documentation names no tenant and no secret: everybody may read it.
schema = SpectacularAPIView.as_view(permission_classes=[AllowAny], authentication_classes=[])
docs = SpectacularSwaggerSplitView.as_view(
    url_name="api-schema", permission_classes=[AllowAny], authentication_classes=[]
)

urlpatterns = [
    path("api/v1/", include(api.router.urls)),
    re_path(r"^api/schema/?\Z", schema, name="api-schema"),
    re_path(r"^api/docs/?\Z", docs, name="api-docs"),
]
