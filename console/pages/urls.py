"""Which page answers which address?"""

from __future__ import annotations

from django.urls import path

from console.pages import (
    alert,
    alert_list,
    channels,
    clients,
    deliveries,
    incident,
    incident_list,
    monitor,
    monitor_form,
    monitor_list,
    overview,
    search,
    silences,
    triggers,
)

urlpatterns = [
    path("", overview.overview, name="overview"),
    path("search/", search.search, name="search"),
    path("monitors/", monitor_list.monitor_list, name="monitors"),
    path("monitors/add/", monitor_form.add, name="monitor_add"),
    path("monitors/<int:pk>/", monitor.monitor, name="monitor"),
    path("monitors/<int:pk>/edit/", monitor_form.edit, name="monitor_edit"),
    path("monitors/<int:pk>/delete/", monitor.delete, name="monitor_delete"),
    path("monitors/<int:pk>/<str:verb>/", monitor.press, name="monitor_press"),
    path("alerts/", alert_list.alert_list, name="alerts"),
    path("alerts/<int:pk>/", alert.alert, name="alert"),
    path("alerts/<int:pk>/<str:verb>/", alert.press, name="alert_press"),
    path("incidents/", incident_list.incident_list, name="incidents"),
    path("incidents/add/", incident_list.add, name="incident_add"),
    path("incidents/<int:pk>/", incident.incident, name="incident"),
    path("incidents/<int:pk>/<str:verb>/", incident.press, name="incident_press"),
    path("deliveries/", deliveries.deliveries, name="deliveries"),
    path("deliveries/<int:pk>/retry/", deliveries.retry, name="delivery_retry"),
    path("channels/", channels.channel_list, name="channels"),
    path("channels/add/", channels.add, name="channel_add"),
    path("channels/<int:pk>/", channels.edit, name="channel_edit"),
    path("channels/<int:pk>/test/", channels.test, name="channel_test"),
    path("channels/<int:pk>/delete/", channels.delete, name="channel_delete"),
    path("triggers/", triggers.trigger_list, name="triggers"),
    path("triggers/add/", triggers.add, name="trigger_add"),
    path("triggers/<int:pk>/", triggers.edit, name="trigger_edit"),
    path("triggers/<int:pk>/delete/", triggers.delete, name="trigger_delete"),
    path("silences/", silences.silence_list, name="silences"),
    path("silences/add/", silences.add, name="silence_add"),
    path("silences/<int:pk>/cancel/", silences.cancel, name="silence_cancel"),
    path("clients/", clients.client_list, name="clients"),
    path("clients/add/", clients.add, name="client_add"),
    path("clients/<int:pk>/", clients.client, name="client"),
]
