"""Which address answers what about playbooks, their runs, and approvals?"""

from __future__ import annotations

from django.urls import path

from console.pages import approvals, playbook_form, playbooks, runs

urlpatterns = [
    path("playbooks/", playbooks.playbook_list, name="playbooks"),
    path("playbooks/add/", playbook_form.add, name="playbook_add"),
    path("playbooks/stop/", playbooks.brakes, name="playbook_stop"),
    path("playbooks/stop/<int:pk>/release/", playbooks.release, name="playbook_release"),
    path("playbooks/<int:pk>/", playbooks.playbook, name="playbook"),
    path("playbooks/<int:pk>/edit/", playbook_form.edit, name="playbook_edit"),
    path("playbooks/<int:pk>/<str:verb>/", playbooks.press, name="playbook_press"),
    path("runs/", runs.run_list, name="runs"),
    path("runs/<int:pk>/", runs.run, name="run"),
    path("runs/<int:pk>/<str:verb>/", runs.press, name="run_press"),
    path("approvals/", approvals.inbox, name="approvals"),
    path("approve/<str:token>/", approvals.approve, name="approve"),
]
