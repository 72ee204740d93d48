"""Which public addresses are there? `serving.PublicPages` answers most of them above; here is the long way, and subscribing."""

from django.urls import path

from statuspages import bounce_hook, serving, subscriber_views

urlpatterns = [
    *subscriber_views.routes,
    path("hooks/bounces/<str:key>/", bounce_hook.bounced, name="hook_bounces"),
    path("status/<slug:slug>/", serving.page, name="status_page"),
    path("status/<slug:slug>/<path:rest>", serving.page, name="status_page_part"),
]
