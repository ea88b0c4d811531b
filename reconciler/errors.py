"""Every error that this project raises, and what each means to a caller.

    MosaicError
    ├── Retry        nothing is wrong with the request: try again after `retry_after`
    ├── Refused      the request was understood and is not allowed
    └── NeedsEdit    something that a person wrote must change first
        └── InvalidManifests    carries every problem of a source

An error has a stable `code`. The table `OUTCOMES` is the one place that says which process exit
code and which HTTP status a code becomes; its class says whether a retry may help.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_CHANGES: Final = 2
EXIT_REFUSED: Final = 3
EXIT_LOCKED: Final = 4
EXIT_STALE: Final = 5
EXIT_UNTRUSTED: Final = 6
EXIT_USAGE: Final = 64  # sysexits.h EX_USAGE
EXIT_CONFIG: Final = 78  # sysexits.h EX_CONFIG
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT

OTHER_USER: Final = "run the command as the user who made the gateway"  # where access is denied

EXIT_MEANINGS: Final[dict[int, str]] = {
    EXIT_OK: "done, or nothing to do",
    EXIT_FAILED: "failed, or an invalid manifest or scope",
    EXIT_CHANGES: "changes are pending (`plan` and `drift` with `--detailed-exitcode`)",
    EXIT_REFUSED: "refused by a guard or a rewind",
    EXIT_LOCKED: "another process holds the lock",
    EXIT_STALE: "the plan is stale",
    EXIT_UNTRUSTED: "an untrusted commit",
    EXIT_USAGE: "wrong usage; also no terminal to ask on and no `--yes`",
    EXIT_CONFIG: "bad configuration",
    EXIT_INTERRUPTED: "interrupted",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a code becomes outside: `exit_code` of a process, `status` of an HTTP answer."""

    exit_code: int
    status: int
    title: str


OUTCOMES: Final[dict[str, Outcome]] = {
    # what a peer may be told (DESIGN 7); `title` is the problem's title (RFC 9457)
    "request_malformed": Outcome(EXIT_FAILED, 400, "The request is malformed"),
    "request_too_large": Outcome(EXIT_FAILED, 413, "The request is too large"),
    "request_timeout": Outcome(EXIT_FAILED, 408, "The request came too slowly"),
    "request_type": Outcome(EXIT_FAILED, 415, "The request has the wrong content type"),
    "not_found": Outcome(EXIT_FAILED, 404, "There is nothing here"),
    "method_not_allowed": Outcome(EXIT_FAILED, 405, "The method is not allowed here"),
    "csr_malformed": Outcome(EXIT_FAILED, 400, "The CSR is malformed"),
    "csr_too_large": Outcome(EXIT_FAILED, 413, "The CSR is too large"),
    "csr_signature": Outcome(EXIT_FAILED, 422, "The CSR's signature does not verify"),
    "csr_key": Outcome(EXIT_FAILED, 422, "The CSR's key is not accepted"),
    "csr_names": Outcome(EXIT_FAILED, 422, "The CSR carries names"),
    "key_in_use": Outcome(EXIT_FAILED, 422, "The key serves another grant"),
    "token_invalid": Outcome(EXIT_FAILED, 401, "The token is not valid"),
    "proof_invalid": Outcome(EXIT_FAILED, 401, "The proof is not valid"),
    "enrollment_in_progress": Outcome(EXIT_FAILED, 409, "An attempt is in progress"),
    "renewal_contested": Outcome(EXIT_FAILED, 409, "Another key renews this certificate"),
    "token_spent": Outcome(EXIT_FAILED, 410, "The token has been used"),
    "token_claimed": Outcome(EXIT_FAILED, 410, "The token is claimed by another key"),
    "token_expired": Outcome(EXIT_FAILED, 410, "The token has expired"),
    "token_void": Outcome(EXIT_FAILED, 410, "The token was withdrawn"),
    "grant_ended": Outcome(EXIT_FAILED, 410, "The grant has ended"),
    "rate_limited": Outcome(EXIT_FAILED, 429, "Too many requests"),
    "ca_unavailable": Outcome(EXIT_FAILED, 503, "The certificate authority is unavailable"),
    "ca_refused": Outcome(EXIT_FAILED, 503, "The certificate authority refused"),
    "ca_wrong_answer": Outcome(EXIT_FAILED, 503, "The certificate authority answered wrongly"),
    "database_unavailable": Outcome(EXIT_FAILED, 503, "The database is unavailable"),
    "unavailable": Outcome(EXIT_FAILED, 503, "The gateway cannot serve this now"),
    "crl_unavailable": Outcome(EXIT_FAILED, 503, "No revocation list is at hand"),
    "internal": Outcome(EXIT_FAILED, 500, "Internal error"),
    # what an operator may be told
    "manifest_invalid": Outcome(EXIT_FAILED, 500, "The manifests are invalid"),
    "scope_invalid": Outcome(EXIT_FAILED, 500, "The scope is invalid"),
    "value_invalid": Outcome(EXIT_FAILED, 500, "A value is invalid"),
    "source_unreadable": Outcome(EXIT_FAILED, 500, "The source cannot be read"),
    "source_unavailable": Outcome(EXIT_FAILED, 500, "The source cannot be reached now"),
    "name_unknown": Outcome(EXIT_FAILED, 500, "There is no such object"),
    "name_taken": Outcome(EXIT_FAILED, 500, "The name is taken"),
    "state_conflict": Outcome(EXIT_FAILED, 500, "The object's state does not allow this"),
    "invitation_invalid": Outcome(EXIT_FAILED, 500, "The invitation is not valid"),
    "peer_unreachable": Outcome(EXIT_FAILED, 500, "The other gateway cannot be reached"),
    "peer_address_refused": Outcome(EXIT_FAILED, 500, "The other gateway's address is refused"),
    "peer_wrong_answer": Outcome(EXIT_FAILED, 500, "The other gateway answered wrongly"),
    "peer_refused": Outcome(EXIT_FAILED, 500, "The other gateway refused"),
    "pin_mismatch": Outcome(EXIT_FAILED, 500, "The other gateway has not the pinned root"),
    "audit_broken": Outcome(EXIT_FAILED, 500, "The audit log does not verify"),
    "checkpoint_untrusted": Outcome(EXIT_FAILED, 500, "The checkpoint is not to be trusted"),
    "declined": Outcome(EXIT_FAILED, 500, "The answer was no"),
    "schema_differs": Outcome(EXIT_FAILED, 500, "The database schema differs"),
    "install_failed": Outcome(EXIT_FAILED, 500, "The installation failed"),
    "file_unusable": Outcome(EXIT_FAILED, 500, "A file cannot be used"),
    "output_unwritable": Outcome(EXIT_FAILED, 500, "The output cannot be written"),
    "child_failed": Outcome(EXIT_FAILED, 500, "A child process failed"),
    "guard_removals": Outcome(EXIT_REFUSED, 500, "Too many removals"),
    "guard_protected": Outcome(EXIT_REFUSED, 500, "A protected object would be removed"),
    "guard_empty": Outcome(EXIT_REFUSED, 500, "The source has no manifest"),
    "reconciler_paused": Outcome(EXIT_REFUSED, 500, "The reconciler is paused"),
    "guard_widening": Outcome(EXIT_REFUSED, 500, "Something would be widened"),
    "rewind": Outcome(EXIT_REFUSED, 500, "History was rewound"),
    "key_in_service": Outcome(EXIT_REFUSED, 500, "The key still seals a row"),
    "lock_held": Outcome(EXIT_LOCKED, 500, "Another process holds the lock"),
    "plan_stale": Outcome(EXIT_STALE, 500, "The plan is stale"),
    "commit_untrusted": Outcome(EXIT_UNTRUSTED, 500, "A commit is not trusted"),
    "usage": Outcome(EXIT_USAGE, 500, "Wrong usage"),
    "confirmation_needed": Outcome(EXIT_USAGE, 500, "A confirmation is needed"),
    "config_invalid": Outcome(EXIT_CONFIG, 500, "The configuration is wrong"),
    "home_missing": Outcome(EXIT_CONFIG, 500, "There is no gateway here"),
    "keyring_invalid": Outcome(EXIT_CONFIG, 500, "The sealing keys are not usable"),
    "schema_missing": Outcome(EXIT_CONFIG, 500, "The database has no current schema"),
}


class MosaicError(Exception):
    """The base of the tree: a `code` of `OUTCOMES`, the fact, and what to do about it.

    Neither message nor hint may hold a secret: both are printed, logged and sent.
    """

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.outcome: Outcome = OUTCOMES[code]

    @property
    def exit_code(self) -> int:
        """The exit code of a process that ends with this error (DESIGN 10)."""
        return self.outcome.exit_code


class Retry(MosaicError):
    """The same request may succeed after `retry_after`."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str = "",
        retry_after: timedelta = timedelta(seconds=5),
    ) -> None:
        super().__init__(code, message, hint=hint)
        self.retry_after = retry_after


class Refused(MosaicError):
    """The request was understood and is not allowed as things stand."""


class NeedsEdit(MosaicError):
    """A manifest, a setting or an argument must change before this can succeed."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong with a manifest, or a warning; places count from 1.

    `file` is relative to the source; `path` is the place in the document
    (`spec.scope.resources[0].verbs[1]`), empty where the document itself is meant.
    """

    file: str
    line: int
    column: int
    code: str
    path: str
    message: str
    hint: str = ""
    severity: str = "error"  # or `warning`

    def as_json(self) -> dict[str, str | int]:
        """Return its form in JSON; only a warning tells its severity."""
        document: dict[str, str | int] = {
            name: getattr(self, name)
            for name in ("file", "line", "column", "code", "path", "message", "hint")
        }
        return document if self.severity == "error" else {**document, "severity": self.severity}

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: {self.severity}[{self.code}]"
        path = f" {self.path}:" if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{where}{path} {self.message}{hint}"


class InvalidManifests(NeedsEdit):
    """A source that cannot be planned from, with all of its problems, sorted."""

    def __init__(self, problems: Sequence[Problem], *, code: str = "manifest_invalid") -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(problems))
        count = len(self.problems)
        super().__init__(
            code,
            f"{count} problem{'' if count == 1 else 's'} in the manifests",
            hint="correct the places named above; nothing was changed",
        )
