"""The result of one check of `doctor`."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARNING, FAILED, SKIPPED = "ok", "warning", "failed", "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `hint` says what to type where it is not well."""

    check: str
    state: str
    detail: str
    hint: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the object of `--output json`."""
        return {
            "check": self.check,
            "state": self.state,
            "detail": self.detail,
            "hint": self.hint,
        }
