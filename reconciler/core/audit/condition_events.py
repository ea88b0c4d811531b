"""What begins, lasts, and is over: failing passes, drift, ends that come near, a long pause."""

from __future__ import annotations

from dataclasses import dataclass, field

from reconciler.core.audit.event_base import LIST, GatewayEvent, Json


@dataclass(frozen=True, slots=True)
class _ConditionEvent(GatewayEvent):
    """`condition` names it; `items` are the first of the `count` objects that it is about.

    Each item has a `subject`; what else it has depends on the condition.
    """

    condition: str
    count: int
    items: tuple[Json, ...] = field(metadata=LIST)
    subject: str = "gateway"


class ConditionBegun(_ConditionEvent):
    """Something has begun."""

    __slots__ = ()
    kinds = ("condition.begun",)


class ConditionEnded(_ConditionEvent):
    """Something is over."""

    __slots__ = ()
    kinds = ("condition.ended",)
