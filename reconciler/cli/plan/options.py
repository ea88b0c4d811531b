"""The options that `plan` and `apply` share: which objects, and which exceptions, this once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import click
from click.shell_completion import CompletionItem

from reconciler.cli.shared.context import add_options, option_group, yes_option
from reconciler.cli.terminal.confirmation import confirm
from reconciler.core.model.spec import Identity, Kind
from reconciler.core.model.text import printable
from reconciler.core.plan.guard import GuardOptions, MaxRemovals
from reconciler.core.plan.selection import Selection
from reconciler.core.setting_values import SignatureSetting
from reconciler.errors import NeedsEdit

if TYPE_CHECKING:
    from reconciler.config import Settings

F = TypeVar("F", bound=Callable[..., Any])

signed_option = click.option(
    "--require-signed",
    is_flag=True,
    help="Apply only commits that allowed signers have signed (MOSAIC_REQUIRE_SIGNED).",
)
override_option = click.option(
    "--override-trust",
    is_flag=True,
    help="Apply over the rules of trust, once; it is recorded, and shows in `status`.",
)


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """The flags of one run that decide what is planned and whether it may be applied."""

    selection: Selection = field(default_factory=Selection)
    limits: GuardOptions = field(default_factory=GuardOptions)
    allow_rewind: bool = False
    override_trust: bool = False
    require_signed: bool = False
    verify: bool = False

    def words(self) -> list[str]:
        """Return the flags as they are typed."""
        return [*self.selection_words(), *self.exception_words(), *self.restriction_words()]

    def selection_words(self) -> list[str]:
        """Return the flags that choose objects."""
        only, but = self.selection.only, self.selection.but
        return [*_named("--target", only), *_named("--exclude", but)]

    def exception_words(self) -> list[str]:
        """Return the flags that allow something once."""
        limits = self.limits
        return [
            *(["--max-removals", str(limits.max_removals)] if limits.max_removals else []),
            *(["--allow-empty"] if limits.allow_empty else []),
            *(["--allow-rewind"] if self.allow_rewind else []),
            *(["--override-trust"] if self.override_trust else []),
        ]

    def restriction_words(self) -> list[str]:
        """Return the flags that refuse something."""
        return [
            *(["--refuse-widening"] if self.limits.refuse_widening else []),
            *(["--require-signed"] if self.require_signed else []),
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the form that a saved plan has: what it is about, and no exceptions."""
        return {
            "targets": sorted([str(kind), name] for kind, name in self.selection.only),
            "excludes": sorted([str(kind), name] for kind, name in self.selection.but),
            "refuseWidening": self.limits.refuse_widening,
            "requireSigned": self.require_signed,
        }

    @classmethod
    def from_json(cls, document: Any) -> PlanOptions:
        """Return the options of a saved plan.

        Raises:
            ValueError, KeyError, TypeError: it is of another form.
        """
        return cls(
            Selection(_identities(document["targets"]), _identities(document["excludes"])),
            GuardOptions(refuse_widening=bool(document["refuseWidening"])),
            require_signed=bool(document["requireSigned"]),
        )


class _MaxRemovalsType(click.ParamType["MaxRemovals"]):
    name = "N|N%"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> MaxRemovals:
        try:
            return MaxRemovals.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class IdentityType(click.ParamType["Identity"]):
    """An object by kind and name, such as `grant/beta-tasks`."""

    name = "kind/name"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the kind, then the name."""
        from reconciler.cli.shared.names import completing

        kinds = {f"{kind}/".lower(): kind for kind in Kind}
        return [
            item
            for before, kind in kinds.items()
            for item in (
                completing(kind, before)(ctx, param, incomplete)
                if incomplete.startswith(before)
                else [CompletionItem(before)]
                if before.startswith(incomplete)
                else []
            )
        ]

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Identity:
        """Return the kind and the name of a text."""
        if isinstance(value, tuple):
            return value
        kind, slash, name = str(value).partition("/")
        kinds = {str(each).lower(): each for each in Kind}
        if kind.lower() not in kinds or not slash or not name:
            self.fail(
                f"got {printable(value)!r}, expected one such as grant/beta-tasks", param, ctx
            )
        return (kinds[kind.lower()], name)


def confirmed_override(function: F) -> F:
    """Add `--override-trust` and `--yes`; ask before the verb is called with the first."""

    @functools.wraps(function)
    def wrapped(*args: Any, override_trust: bool, yes: bool, **kwargs: Any) -> Any:
        if override_trust:
            confirm("Do this even if the rules of trust refuse it?", yes=yes)
        return function(*args, override_trust=override_trust, **kwargs)

    return cast("F", add_options(wrapped, override_option, yes_option))


def signatures(settings: Settings, *, required: bool = False) -> SignatureSetting | None:
    """Return whose signatures count, where a flag or a setting requires them.

    Raises:
        NeedsEdit: `config_invalid`: they are required, and nobody may sign.
    """
    if not (required or settings.require_signed):
        return None
    files = (settings.allowed_signers, settings.signers_keyring)
    if not any(files):
        raise NeedsEdit(
            "config_invalid",
            "MOSAIC_ALLOWED_SIGNERS: signed commits are required, but no allowed signers are"
            " configured",
            hint="set it to a file of allowed signers, or set MOSAIC_SIGNERS_KEYRING",
        )
    return SignatureSetting(*(str(each) if each is not None else None for each in files))


def _plan_options(
    targets: tuple[Identity, ...],
    excludes: tuple[Identity, ...],
    max_removals: MaxRemovals | None,
    allow_empty: bool,
    refuse_widening: bool,
    allow_rewind: bool,
    override_trust: bool,
    verify: bool,
    require_signed: bool,
) -> PlanOptions:
    return PlanOptions(
        Selection(frozenset(targets), frozenset(excludes)),
        GuardOptions(max_removals, allow_empty=allow_empty, refuse_widening=refuse_widening),
        allow_rewind=allow_rewind,
        override_trust=override_trust,
        require_signed=require_signed,
        verify=verify,
    )


plan_flags: Final = option_group(
    "plan_options",
    _plan_options,
    click.option(
        "--target",
        "targets",
        type=IdentityType(),
        metavar="KIND/NAME",
        multiple=True,
        help="Include only this object, a peer with its grants; may be given again.",
    ),
    click.option(
        "--exclude",
        "excludes",
        type=IdentityType(),
        metavar="KIND/NAME",
        multiple=True,
        help="Exclude this object, a peer with its grants; may be given again.",
    ),
    click.option(
        "--max-removals",
        type=_MaxRemovalsType(),
        metavar="N|N%",
        help="Allow this number or percentage of removals, once.",
    ),
    click.option(
        "--allow-empty",
        is_flag=True,
        help="Allow an empty source to remove all managed objects, once.",
    ),
    click.option(
        "--refuse-widening",
        is_flag=True,
        help="Refuse a plan that grants more than is granted now.",
    ),
    click.option(
        "--allow-rewind",
        is_flag=True,
        help="Allow a commit that does not follow the applied one, once.",
    ),
    override_option,
    click.option(
        "--verify",
        is_flag=True,
        help="Parse every file and compute every digest; do not use the cache.",
    ),
    signed_option,
)


def _named(flag: str, identities: frozenset[Identity]) -> list[str]:
    names = sorted(kind.subject(name) for kind, name in identities)
    return [word for name in names for word in (flag, name)]


def _identities(pairs: Any) -> frozenset[Identity]:
    return frozenset((Kind(kind), str(name)) for kind, name in pairs)
