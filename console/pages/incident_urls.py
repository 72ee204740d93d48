"""Which addresses do incidents, post-mortems and availability have? In the order in which they are tried."""

from __future__ import annotations

from django.urls import path

from console.pages import (
    incident,
    incident_add,
    incident_edit,
    incident_joining,
    incident_list,
    incident_postmortem,
    sla,
)

PATHS = [
    path("incidents/", incident_list.incident_list, name="incidents"),
    path("incidents/add/", incident_add.add, name="incident_add"),
    path("incidents/group/", incident_joining.group, name="incident_group"),
    path("incidents/<int:pk>/", incident.incident, name="incident"),
    path("incidents/<int:pk>/edit/", incident_edit.edit, name="incident_edit"),
    path("incidents/<int:pk>/updates/<int:update>/", incident_edit.edit_update, name="incident_update"),
    path("incidents/<int:pk>/merge/", incident_joining.merge, name="incident_merge"),
    path("incidents/<int:pk>/split/", incident_joining.split, name="incident_split"),
    path("incidents/<int:pk>/join/", incident_joining.join, name="incident_join"),
    path("incidents/<int:pk>/group/", incident_joining.group, name="incident_group_into"),
    path("incidents/<int:pk>/ungroup/", incident_joining.ungroup, name="incident_ungroup"),
    path("incidents/<int:pk>/postmortem/", incident_postmortem.postmortem, name="incident_postmortem"),
    path("incidents/<int:pk>/postmortem/edit/", incident_postmortem.edit, name="incident_postmortem_edit"),
    path("incidents/<int:pk>/postmortem/<str:verb>/", incident_postmortem.press, name="incident_postmortem_press"),
    path("incidents/<int:pk>/postmortem.<str:kind>", incident_postmortem.export, name="incident_postmortem_export"),
    path("sla/", sla.months, name="sla"),
    path("sla/services/<int:pk>/", sla.contract, name="sla_contract"),
    path("sla/<int:pk>/<str:which>/", sla.one_month, name="sla_month"),
    path("sla/<int:pk>/<str:which>.<str:kind>", sla.export, name="sla_export"),
]
