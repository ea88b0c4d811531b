"""Plans as files: what a person approved, so that exactly that is applied, or nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from reconciler.cli.plan.options import PlanOptions
from reconciler.core.plan.model import PLAN_FORMAT_VERSION
from reconciler.core.setting_values import SourceSetting
from reconciler.crypto.plan_seal import (
    SealedPlan,
    covered,
    mac,
    make_key,
    read_key,
    signature,
    untrusted,
    with_seal,
)
from reconciler.errors import NeedsEdit, Refused
from reconciler.files import remedy, unusable, unwritable, write_output

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from reconciler.config import Settings


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """What of a saved plan decides: its source, its digest, the options, and its gateway.

    The source of one that was read from a repository names the commit, not the ref that moves. Of
    the options, those that make exceptions are not saved: they are the caller's. `log` is the hash
    of the first record of the gateway's audit log, None if it had none.
    """

    source: SourceSetting
    digest: str
    options: PlanOptions
    log: str | None

    def require_log(self, log: str | None) -> None:
        """Raise unless the plan was made for the gateway that has this audit log.

        Raises:
            Refused: `plan_untrusted`; `plan_stale`: there was no record when it was made.
        """
        if self.log == log:
            return
        if self.log is not None:
            raise untrusted("it was made for another gateway")
        raise Refused(
            "plan_stale",
            "the plan was made before this gateway recorded anything",
            hint="nothing was changed; review a new plan",
        )

    def for_caller(self, caller: PlanOptions) -> PlanOptions:
        """Return the options of an apply: what the plan is about, with the caller's exceptions.

        What is stricter counts: a plan allows nothing that its caller does not.
        """
        own = self.options
        refuse_widening = own.limits.refuse_widening or caller.limits.refuse_widening
        return replace(
            caller,
            selection=own.selection,
            limits=replace(caller.limits, refuse_widening=refuse_widening),
            require_signed=own.require_signed or caller.require_signed,
        )


def save_plan(
    path: Path, document: dict[str, Any], saved: SavedPlan, seal: Callable[[bytes], str]
) -> None:
    """Write a plan as the object of the contract, with what it takes to apply it; whole or not.

    Raises:
        NeedsEdit: `value_invalid`: it cannot be written there; what `seal` raises.
    """
    content = covered(
        document
        | {
            "options": saved.options.as_json(),
            "reading": {
                "location": saved.source.location,
                "ref": saved.source.ref,
                "path": saved.source.path,
            },
            "log": saved.log,
        }
    )
    try:
        write_output(path, with_seal(content, seal(content)))
    except OSError as error:
        raise unwritable(f"--save: {str(path)!r}", error) from None


def plan_sealer(settings: Settings, sign_key: Path | None) -> Callable[[bytes], str]:
    """Return what seals a plan: an SSH key, else the key of this gateway, made where it is missing.

    Raises:
        NeedsEdit: `config_invalid`: that key is not set, or cannot be used.
    """
    if sign_key is not None:
        return partial(signature, key=sign_key)
    path = settings.plan_key_file
    if path is None:
        raise NeedsEdit(
            "config_invalid",
            "MOSAIC_PLAN_KEY_FILE: it is not set, and a saved plan has a MAC under a key",
            hint="name a file, which is made if it is missing; or sign the plan: --sign-key KEY",
        )
    try:
        make_key(path)
    except OSError as error:
        raise NeedsEdit(
            "config_invalid",
            f"MOSAIC_PLAN_KEY_FILE: {path} cannot be made: {error.strerror}",
            hint=f"{remedy(error)}; or sign the plan: --sign-key KEY",
        ) from None
    return partial(mac, key=read_key(path))


def read_plan(path: Path, settings: Settings) -> tuple[SavedPlan, str | None]:
    """Return the saved plan of a file, once its seal is verified, and who signed it, if anybody.

    Raises:
        NeedsEdit: `usage`: the file is no saved plan; `config_invalid`: the key cannot be used.
        Refused: `plan_untrusted`; `file_unusable`: it cannot be read.
    """
    try:
        file = path.read_bytes()
    except OSError as error:
        raise unusable(path, error, "read") from None
    try:
        sealed = SealedPlan.parse(file)
    except ValueError:
        if all(each in file for each in (b'"formatVersion"', b'"digest"', b'"changes"')):
            raise untrusted("it has neither a MAC nor a signature, or that was changed") from None
        raise NeedsEdit(
            "usage",
            f"{str(path)!r} is a file, but not a saved plan",
            hint="name the source's folder; --target kind/name narrows what is applied",
        ) from None
    content, signer = _verified(sealed, settings)
    try:
        return _saved(json.loads(content, object_pairs_hook=_unique)), signer
    except (ValueError, KeyError, TypeError, RecursionError):
        raise untrusted("it is not of the form that this version saves") from None


def _verified(sealed: SealedPlan, settings: Settings) -> tuple[bytes, str | None]:
    if sealed.is_signature:
        if settings.allowed_signers is None:
            raise untrusted("it is signed, and MOSAIC_ALLOWED_SIGNERS does not say who may sign")
        return sealed.verify_signature(settings.allowed_signers, datetime.now(UTC))
    key = settings.plan_key_file
    if key is None or not key.exists():
        raise untrusted("this gateway has no key for saved plans, so another one saved it")
    return sealed.verify_mac(read_key(key)), None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("it has a key twice")
    return document


def _saved(document: Any) -> SavedPlan:
    if document["formatVersion"] != PLAN_FORMAT_VERSION:
        raise ValueError("another format")
    digest, reading, log = document["digest"], document["reading"], document["log"]
    location, ref, path = reading["location"], reading["ref"], reading["path"]
    plan_options = PlanOptions.from_json(document["options"])
    names = (name for _, name in plan_options.selection.only | plan_options.selection.but)
    texts = (digest, location, ref or "", path or "", log or "", *names)
    if not all(isinstance(each, str) and each.isprintable() for each in texts):
        raise TypeError("not printable texts")  # a signer elsewhere may have written them
    return SavedPlan(SourceSetting(location, ref, path), digest, plan_options, log)
