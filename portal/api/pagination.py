"""How is a list read to its end while rows come and go? By a cursor, newest first unless the view says otherwise."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request


class Newest(CursorPagination):
    """{"results", "next", "previous"}; `limit` rows (default 50, at most 500).

    `view.ordering` names another order; the id is added, so that the order is total whatever the column holds. An
    ordering column must not be NULL.
    """

    page_size = 50
    max_page_size = 500
    page_size_query_param = "limit"
    ordering = ("-id",)

    def get_ordering(self, request: Request, queryset: QuerySet, view: Any) -> tuple[str, ...]:
        wanted = getattr(view, "ordering", None) or self.ordering
        order = (wanted,) if isinstance(wanted, str) else tuple(wanted)
        names = {name.lstrip("-") for name in order}
        if names & {"id", "pk", queryset.model._meta.pk.name}:
            return order
        return (*order, "-id" if order[0].startswith("-") else "id")

    def get_page_size(self, request: Request) -> int:
        raw = request.query_params.get(self.page_size_query_param)
        if raw is None:
            return self.page_size
        if not raw.isascii() or not raw.isdigit() or len(raw) > 9 or int(raw) < 1:
            raise ValidationError({"limit": [f"{raw[:20]!r} is not a number from 1 to {self.max_page_size}."]})
        return min(int(raw), self.max_page_size)

    def decode_cursor(self, request: Request) -> Any:
        try:
            return super().decode_cursor(request)
        except NotFound:
            raise ValidationError(
                {"cursor": ["This is not a cursor of ours; take it from `next` or `previous`."]}
            ) from None

    def paginate_queryset(self, queryset: QuerySet, request: Request, view: Any = None) -> list | None:
        try:
            return super().paginate_queryset(queryset, request, view)
        except (TypeError, ValueError) as error:  # a forged position that does not fit the column
            if not request.query_params.get(self.cursor_query_param):
                raise
            raise ValidationError(
                {"cursor": ["This is not a cursor of ours; take it from `next` or `previous`."]}
            ) from error

    def get_paginated_response_schema(self, schema: dict) -> dict:
        link = {"type": "string", "nullable": True, "format": "uri"}
        return {
            "type": "object",
            "required": ["results"],
            "properties": {"results": schema, "next": link, "previous": link},
        }
