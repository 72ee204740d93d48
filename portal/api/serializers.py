"""How do rows and bodies become each other? Links stay within what the caller sees, secrets go in and never come out."""

from __future__ import annotations

from typing import Any

from django.db.models import Model, QuerySet
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from portal.models import Tag
from portal.providers import is_masked, merged
from portal.secrets import MASK, Sealed
from portal.tenancy import Viewer, viewer_of

__all__ = ["OwnRow", "SecretMap", "SecretText", "TagNames", "TenantSerializer", "is_masked", "masked", "merged"]


class OwnRow(serializers.PrimaryKeyRelatedField):
    """The id of a row that the caller sees. A foreign id is refused with the words for one that does not exist."""

    def get_queryset(self) -> QuerySet | None:
        rows = super().get_queryset()
        if rows is None:
            return None
        request = self.context.get("request")
        if hasattr(rows, "for_user"):
            return rows.for_user(request) if request is not None else rows.none()
        return rows

    def to_internal_value(self, data: Any) -> Model:
        try:
            return super().to_internal_value(data)
        except OverflowError:  # a number larger than any id
            raise ValidationError(
                self.error_messages["does_not_exist"].format(pk_value=data), code="does_not_exist"
            ) from None


class TagNames(serializers.ListField):
    """Tags as words. To be saved with `Tag.named(words)`."""

    child = serializers.CharField(max_length=50)

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("required", False)
        kwargs.setdefault("max_length", 50)
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> list[str]:
        words = super().to_internal_value(data)
        if any("," in word for word in words):
            raise ValidationError("A tag has no comma, as filters are separated by commas.")
        return words

    def to_representation(self, data: Any) -> list[str]:
        return [
            tag.name if isinstance(tag, Tag) else str(tag) for tag in (data.all() if hasattr(data, "all") else data)
        ]


class SecretText(serializers.CharField):
    """One text in a SealedField: read as a mask or "", written as text. A mask sent back keeps the old one."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("required", False)
        kwargs.setdefault("allow_blank", True)
        kwargs.setdefault("max_length", 4000)
        super().__init__(**kwargs)

    def validate_empty_values(self, data: Any) -> tuple[bool, Any]:
        if is_masked(data):
            raise serializers.SkipField
        return super().validate_empty_values(data)

    def to_representation(self, value: Any) -> str:
        return MASK if value else ""


class SecretMap(serializers.DictField):
    """Several named secrets in one SealedField: read as {name: mask}. Names not sent are kept, "" or null removes one."""

    child = serializers.CharField(allow_blank=True, allow_null=True, max_length=8000)

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("required", False)
        super().__init__(**kwargs)

    def to_representation(self, value: Any) -> dict[str, str]:
        return masked(value)


def masked(value: Sealed | dict) -> dict[str, str]:
    """{name: mask} of several secrets; {"": mask} of those that no key opens."""
    if isinstance(value, Sealed):
        return dict.fromkeys(value.open(), MASK) if value else {}
    return dict.fromkeys(value, MASK)


class TenantSerializer(serializers.ModelSerializer):
    """A ModelSerializer whose links stay within the caller's rows.

    `Meta.fixed` names what cannot change after creation (default: the client). A person who sees exactly one client
    may leave `client` out. Rules live in services, not here.
    """

    serializer_related_field = OwnRow

    @property
    def viewer(self) -> Viewer:
        """Who asks."""
        return viewer_of(self.context["request"])

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if isinstance(data, dict) and self.instance is None and "client" not in data and "client" in self.fields:
            viewer = self.viewer
            if not viewer.sees_all and len(viewer.client_ids) == 1 and not self.fields["client"].read_only:
                data = {**data, "client": next(iter(viewer.client_ids))}
        return super().to_internal_value(data)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        values = super().run_validation(data)
        if self.instance is not None and isinstance(self.instance, Model):
            for name in getattr(self.Meta, "fixed", ("client",)):
                if name in values and values[name] != getattr(self.instance, name):
                    raise ValidationError({name: ["This cannot be changed; make a new one instead."]})
        return values
