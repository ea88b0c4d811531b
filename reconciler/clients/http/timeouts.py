"""How long a request may take: one value for step-ca and for other gateways."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to resolve and connect, between two parts of an answer, and for a request in all."""

    connect_s: float
    read_s: float
    total_s: float
