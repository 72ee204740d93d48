"""Which address answers what? Apps are named as strings here; nothing of theirs is imported."""

from django.urls import include, path

urlpatterns = [
    path("", include("console.urls")),
]
