"""Somebody lost their phone: which second steps have they, and how are those taken away? Owners and staff; no secret is shown."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from portal import mfa
from portal.admin.lists import each
from portal.audit import Actor
from portal.models import User


class ResetsSecondSteps:
    """For the desk of people: the column `second_steps` and the action `reset_second_step`, which asks first."""

    admin_site: Any
    opts: Any

    @admin.display(description="Second step")
    def second_steps(self, row: User) -> str:
        return mfa.described(row.authenticator_set.all())

    @admin.action(description="Reset the second step", permissions=["operate"])
    def reset_second_step(self, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        """Ask, then do it to each, and tell them by mail."""
        if request.POST.get("sure") != "yes":
            context = {
                **self.admin_site.each_context(request), "title": "Reset the second step", "opts": self.opts, "checkbox": ACTION_CHECKBOX_NAME,
                "rows": [(row, self.second_steps(row)) for row in queryset],
            }  # fmt: skip
            return TemplateResponse(request, "mfa/admin_reset.html", context)
        each(request, queryset, lambda user: mfa.reset(user, by=Actor.of(request)), "reset")
        return None
