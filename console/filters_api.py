"""Which views of lists does somebody come back to, over the API? Their own saved filters, and nobody else's."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import mixins, serializers
from rest_framework.serializers import BaseSerializer

from console.pages import saved_filters
from portal.api.base import PortalViewSet
from portal.api.errors import bad
from portal.models import SavedFilter
from portal.tenancy import READ


class SavedFilterSerializer(serializers.ModelSerializer):
    """A list's filter under a name; one of the same name is replaced."""

    list = serializers.ChoiceField(choices=sorted(saved_filters.LISTS))
    name = serializers.CharField(max_length=60)
    query = serializers.CharField(max_length=2 * saved_filters.LONGEST, help_text="As in the page's address: state=down&client=3.")  # fmt: skip

    class Meta:
        model = SavedFilter
        fields = ["id", "list", "name", "query", "created_at"]
        validators: list[Any] = []


class SavedFilters(mixins.CreateModelMixin, mixins.ListModelMixin, mixins.DestroyModelMixin, PortalViewSet):
    """One's own saved filters. Keeping one changes nothing for others: the scope read is enough."""

    queryset = SavedFilter.objects.all()
    serializer_class = SavedFilterSerializer
    filterset_fields = ["list"]
    required_scope = READ

    def get_queryset(self) -> QuerySet[SavedFilter]:
        rows = super().get_queryset()
        return rows.none() if getattr(self, "swagger_fake_view", False) else rows.filter(user=self.request.user.pk)

    def check_object_permissions(self, request: Any, obj: SavedFilter) -> None:
        """It is the person's own: their queryset holds no other."""

    def perform_create(self, serializer: BaseSerializer) -> None:
        v = serializer.validated_data
        try:
            serializer.instance = saved_filters.keep(self.request.user, v["list"], v["name"], v["query"])  # type: ignore[arg-type]
        except ValueError:  # more parts than any list has
            raise bad({"query": "This is no filter of a list."}) from None
