"""The checks of `doctor`, and the result of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.errors import OTHER_USER, MosaicError, Retry

if TYPE_CHECKING:
    from collections.abc import Callable

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


@dataclass(frozen=True, slots=True)
class Examination:
    """The findings so far."""

    findings: list[Finding] = field(default_factory=list)

    def check(self, name: str, look: Callable[[], str], *, may_be_down: bool = False) -> bool:
        """Note what `look` returns, or why it failed; `may_be_down` takes a `Retry` for a warning.

        Return whether it is well.
        """
        try:
            detail = look()
        except MosaicError as error:
            state = WARNING if may_be_down and isinstance(error, Retry) else FAILED
            self.findings.append(Finding(name, state, error.message, error.hint))
            return False
        except OSError as error:
            hint = OTHER_USER
            self.findings.append(Finding(name, FAILED, f"{error.filename}: {error.strerror}", hint))
            return False
        self.findings.append(Finding(name, OK, detail))
        return True

    def warn(self, name: str, what: str, hint: str) -> None:
        """Note what works, though it may not be meant."""
        self.findings.append(Finding(name, WARNING, what, hint))

    def skip(self, name: str, why: str) -> None:
        """Note that a check was not made."""
        self.findings.append(Finding(name, SKIPPED, why))
