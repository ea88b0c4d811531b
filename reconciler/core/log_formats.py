"""The forms of the log: apart, because every command reads them, and little else at its start."""

from __future__ import annotations

from typing import Final

LOG_FORMATS: Final = ("text", "json")
