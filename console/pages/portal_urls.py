"""Which addresses belong to the client's portal: mailed reports, requests for maintenance, the portal's looks?"""

from __future__ import annotations

from django.urls import path

from console.pages import branding, maintenance_requests, sla_mail

urlpatterns = [
    path("sla/mails/<int:pk>/again/", sla_mail.again, name="sla_mail_again"),
    path("sla/<int:pk>/recipients/", sla_mail.recipients, name="sla_recipients"),
    path("sla/<int:pk>/<str:which>/to-me/", sla_mail.to_me, name="sla_to_me"),
    path("maintenance/requests/add/", maintenance_requests.add, name="maintenance_request_add"),
    path("maintenance/requests/<int:pk>/", maintenance_requests.request_page, name="maintenance_request"),
    path("maintenance/requests/<int:pk>/<str:verb>/", maintenance_requests.press, name="maintenance_request_press"),
    path("branding/", branding.overview, name="branding"),
    path("branding/ours/", branding.ours, name="branding_ours"),
    path("branding/<int:pk>/", branding.of_client, name="branding_client"),
    path("branding/logo/<str:digest>.<str:ending>", branding.logo, name="branding_logo"),
]
