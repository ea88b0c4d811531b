"""Every error that this project raises, and what each means to a caller.

    MosaicError
    ├── Retry        nothing is wrong with the request: try again after `retry_after`
    ├── Refused      the request was understood and is not allowed
    ├── NeedsEdit    something that a person wrote must change first
    │   └── InvalidManifests    carries every problem of a source
    └── Defect       this program is wrong

An error has a stable `code`. The table `OUTCOMES` is the one place that says what a code is: its
kind, which says whether a retry can help, the exit code of a process and the status of an HTTP
response. An error cannot be made of another kind than the table's.
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
    EXIT_REFUSED: "refused by a guard or a rewind, or because a key is in use",
    EXIT_LOCKED: "another process holds the lock",
    EXIT_STALE: "the plan is stale",
    EXIT_UNTRUSTED: "an untrusted commit or saved plan, or rules of trust that would be bypassed",
    EXIT_USAGE: "wrong usage; also no terminal to ask on and no `--yes`",
    EXIT_CONFIG: "bad configuration",
    EXIT_INTERRUPTED: "interrupted",
}


class MosaicError(Exception):
    """The base of the tree: a `code` of `OUTCOMES`, the fact, and what to do about it.

    Neither message nor hint may hold a secret: both are printed, logged and sent.

    Raises:
        KeyError: the code is not in the table.
        TypeError: the table says that the code is of another kind.
    """

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.outcome: Outcome = OUTCOMES[code]
        if not isinstance(self, self.outcome.kind):
            kind = self.outcome.kind.__name__
            raise TypeError(f"the error {code} is a {kind}, got a {type(self).__name__}")

    @property
    def exit_code(self) -> int:
        """The exit code of a process that ends with this error."""
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


class Defect(MosaicError):
    """This program is wrong; nothing that its user changes or repeats helps."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a code is: its kind, the exit code of a process, the title and HTTP status of a problem.

    `status` is None where no request is answered with the code.
    """

    kind: type[MosaicError]
    exit_code: int
    title: str
    status: int | None = None


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
        """Return its form in JSON; only a warning has a severity."""
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


OUTCOMES: Final[dict[str, Outcome]] = {
    # what the endpoint answers; the title is that of the problem (RFC 9457)
    "request_malformed": Outcome(Refused, EXIT_FAILED, "The request is malformed", 400),
    "request_head_too_large": Outcome(Refused, EXIT_FAILED, "The request's head is too large", 431),
    "request_too_large": Outcome(Refused, EXIT_FAILED, "The request is too large", 413),
    "request_timeout": Outcome(Retry, EXIT_FAILED, "The request took too long to arrive", 408),
    "request_type": Outcome(Refused, EXIT_FAILED, "The request has the wrong content type", 415),
    "not_found": Outcome(Refused, EXIT_FAILED, "There is no such resource", 404),
    "method_not_allowed": Outcome(Refused, EXIT_FAILED, "The method is not allowed here", 405),
    "csr_malformed": Outcome(Refused, EXIT_FAILED, "The CSR is malformed", 400),
    "csr_too_large": Outcome(Refused, EXIT_FAILED, "The CSR is too large", 413),
    "csr_signature": Outcome(Refused, EXIT_FAILED, "The CSR's signature does not verify", 422),
    "csr_key": Outcome(Refused, EXIT_FAILED, "The CSR's key is not accepted", 422),
    "csr_names": Outcome(Refused, EXIT_FAILED, "The CSR carries names", 422),
    "key_in_use": Outcome(Refused, EXIT_FAILED, "The key serves another grant", 422),
    "token_invalid": Outcome(Refused, EXIT_FAILED, "The token is not valid", 401),
    "proof_invalid": Outcome(Refused, EXIT_FAILED, "The proof is not valid", 401),
    "enrollment_in_progress": Outcome(Retry, EXIT_FAILED, "An attempt is in progress", 409),
    "renewal_contested": Outcome(Refused, EXIT_FAILED, "Another key renews this certificate", 409),
    "renewal_early": Outcome(Retry, EXIT_FAILED, "The renewal is too early", 409),
    "token_spent": Outcome(Refused, EXIT_FAILED, "The token has been used", 410),
    "token_claimed": Outcome(Refused, EXIT_FAILED, "The token is claimed by another key", 410),
    "token_expired": Outcome(Refused, EXIT_FAILED, "The token has expired", 410),
    "token_void": Outcome(Refused, EXIT_FAILED, "The token was withdrawn", 410),
    "grant_ended": Outcome(Refused, EXIT_FAILED, "The grant has ended", 410),
    "rate_limited": Outcome(Retry, EXIT_FAILED, "Too many requests", 429),
    "ca_unavailable": Outcome(Retry, EXIT_FAILED, "The certificate authority is unavailable", 503),
    "ca_wrong_answer": Outcome(
        Retry, EXIT_FAILED, "The certificate authority sent a wrong answer", 503
    ),
    "database_unavailable": Outcome(Retry, EXIT_FAILED, "The database is unavailable", 503),
    "restored": Outcome(Retry, EXIT_FAILED, "The gateway was restored and is not confirmed", 503),
    "unavailable": Outcome(Retry, EXIT_FAILED, "The gateway cannot serve this now", 503),
    "crl_unavailable": Outcome(Retry, EXIT_FAILED, "No revocation list is available", 503),
    "internal": Outcome(Defect, EXIT_FAILED, "Internal error", 500),
    # what a command says
    "ca_refused": Outcome(Refused, EXIT_FAILED, "The certificate authority refused"),
    "manifest_invalid": Outcome(NeedsEdit, EXIT_FAILED, "The manifests are invalid"),
    "scope_invalid": Outcome(NeedsEdit, EXIT_FAILED, "The scope is invalid"),
    "value_invalid": Outcome(NeedsEdit, EXIT_FAILED, "A value is invalid"),
    "source_unreadable": Outcome(NeedsEdit, EXIT_FAILED, "The source cannot be read"),
    "source_refused": Outcome(NeedsEdit, EXIT_FAILED, "The source refuses to be read"),
    "source_unavailable": Outcome(Retry, EXIT_FAILED, "The source cannot be reached now"),
    "name_unknown": Outcome(Refused, EXIT_FAILED, "There is no such object"),
    "name_taken": Outcome(Refused, EXIT_FAILED, "The name is taken"),
    "state_conflict": Outcome(Refused, EXIT_FAILED, "The object's state does not allow this"),
    "invitation_invalid": Outcome(NeedsEdit, EXIT_FAILED, "The invitation is not valid"),
    "peer_unreachable": Outcome(Retry, EXIT_FAILED, "The other gateway cannot be reached"),
    "peer_address_refused": Outcome(Refused, EXIT_FAILED, "The other gateway's address is refused"),
    "peer_wrong_answer": Outcome(Refused, EXIT_FAILED, "The other gateway sent a wrong answer"),
    "peer_refused": Outcome(Refused, EXIT_FAILED, "The other gateway refused"),
    "pin_mismatch": Outcome(
        Refused, EXIT_FAILED, "The other gateway does not have the pinned root"
    ),
    "target_unreachable": Outcome(Retry, EXIT_FAILED, "A target of notices cannot be reached"),
    "target_refused": Outcome(Refused, EXIT_FAILED, "A target of notices did not take one"),
    "check_failed": Outcome(Refused, EXIT_FAILED, "A check failed"),
    "audit_broken": Outcome(Refused, EXIT_FAILED, "The audit log does not verify"),
    "audit_archived": Outcome(Refused, EXIT_FAILED, "The audit records are archived"),
    "checkpoint_untrusted": Outcome(Refused, EXIT_FAILED, "The checkpoint is not trusted"),
    "declined": Outcome(Refused, EXIT_FAILED, "The command was cancelled"),
    "schema_differs": Outcome(Refused, EXIT_FAILED, "The database schema differs"),
    "install_failed": Outcome(NeedsEdit, EXIT_FAILED, "The installation failed"),
    "backup_invalid": Outcome(Refused, EXIT_FAILED, "The backup cannot be restored"),
    "file_unusable": Outcome(Refused, EXIT_FAILED, "A file cannot be used"),
    "output_unwritable": Outcome(Refused, EXIT_FAILED, "The output cannot be written"),
    "hook_failed": Outcome(Refused, EXIT_FAILED, "The command after a change failed"),
    "child_failed": Outcome(Retry, EXIT_FAILED, "A child process failed"),
    "program_unusable": Outcome(NeedsEdit, EXIT_FAILED, "A program cannot be run here"),
    "guard_removals": Outcome(Refused, EXIT_REFUSED, "Too many removals"),
    "guard_protected": Outcome(Refused, EXIT_REFUSED, "A protected object would be removed"),
    "guard_empty": Outcome(Refused, EXIT_REFUSED, "The source has no manifest"),
    "reconciler_paused": Outcome(Refused, EXIT_REFUSED, "The reconciler is paused"),
    "guard_widening": Outcome(Refused, EXIT_REFUSED, "Something would be widened"),
    "rewind": Outcome(Refused, EXIT_REFUSED, "History was rewound"),
    "key_in_service": Outcome(Refused, EXIT_REFUSED, "The key still seals a row"),
    "lock_held": Outcome(Retry, EXIT_LOCKED, "Another process holds the lock"),
    "plan_stale": Outcome(Refused, EXIT_STALE, "The plan is stale"),
    "commit_untrusted": Outcome(Refused, EXIT_UNTRUSTED, "A commit is not trusted"),
    "plan_untrusted": Outcome(Refused, EXIT_UNTRUSTED, "The saved plan is not trusted"),
    "trust_bypassed": Outcome(Refused, EXIT_UNTRUSTED, "The rules of trust would be bypassed"),
    "usage": Outcome(NeedsEdit, EXIT_USAGE, "Wrong usage"),
    "confirmation_needed": Outcome(NeedsEdit, EXIT_USAGE, "A confirmation is needed"),
    "config_invalid": Outcome(NeedsEdit, EXIT_CONFIG, "The configuration is wrong"),
    "home_missing": Outcome(NeedsEdit, EXIT_CONFIG, "There is no gateway here"),
    "database_replaced": Outcome(NeedsEdit, EXIT_CONFIG, "The database is not the one before"),
    "home_unsafe": Outcome(NeedsEdit, EXIT_CONFIG, "Others may write to the gateway's home"),
    "keyring_invalid": Outcome(NeedsEdit, EXIT_CONFIG, "The sealing keys are not usable"),
    "schema_missing": Outcome(NeedsEdit, EXIT_CONFIG, "The database has no current schema"),
}
