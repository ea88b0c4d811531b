"""All settings as one frozen value, made of flags, environment and `mosaic.toml`."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from reconciler.config.definitions import BY_NAME, NOT_IN_HOME, Assignment, invalid
from reconciler.config.document import read_document
from reconciler.config.environment import read_environment
from reconciler.config.home import NAME, Home, NamedServer, find_home
from reconciler.config.home_ownership import require_own, trusted_homes
from reconciler.core import setting_values as values
from reconciler.core.model.ids import DEFAULT_OID_ARC
from reconciler.core.model.text import without_credentials
from reconciler.core.setting_values import (
    DEFAULT_RATE_LIMIT,
    LOOPBACK,
    Network,
    ProxyRules,
    RateLimit,
    SourceSetting,
    UnixPath,
    read_proxy_rules,
)
from reconciler.errors import NeedsEdit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.core.model.origin import Address

T = TypeVar("T")

PLAN_KEY: Final = "plan-mac-key"
FIND_HOME: Final = "change to the folder of the gateway, or name its home (--home DIR)"

CLEARED: Final = frozenset({"ref", "path"})  # by an empty flag: `--ref ''` reads the folder itself


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, read and checked. `home` is None where no home was found or made yet.

    `assigned` are the texts that they were read from, by name.
    """

    home: Home | None = None
    home_path: Path = Path(".mosaic")
    source: SourceSetting | None = None
    database_url: str | None = field(default=None, repr=False)
    database_password_command: tuple[str, ...] | None = field(default=None, repr=False)
    postgres_bin: NamedServer | None = None
    ca_url: str | None = None
    ca_root: Path | None = None
    ca_provisioners: Path | None = None
    listen: Address = ("127.0.0.1", 8443)
    workers: int = 1
    public_url: str | None = None
    keyring: Path | None = None
    token_pepper: Path | None = None
    plan_key: Path | None = None
    oid_arc: str = DEFAULT_OID_ARC
    allow_addresses: tuple[Network, ...] = ()
    peer_proxy: ProxyRules = field(default_factory=ProxyRules)
    credentials_dir: Path | None = None
    state_dir: Path | None = None
    credentials_exec: tuple[str, ...] | None = None
    notify_file: Path | None = None
    checkpoint_dir: Path | None = None
    checkpoint_exec: tuple[str, ...] | None = None
    trusted_proxies: tuple[Network, ...] = ()
    proxy_protocol: bool = False
    allowed_signers: Path | None = None
    signers_keyring: Path | None = None
    require_signed: bool = False
    private_listen: Address | UnixPath | None = None
    private_token: Path | None = None
    private_hosts: frozenset[str] = frozenset()
    suspend_on_theft: bool = False
    log_format: str = "text"
    rate_limit: RateLimit = DEFAULT_RATE_LIMIT
    assigned: Mapping[str, Assignment] = field(default_factory=dict, repr=False, compare=False)

    @property
    def embedded(self) -> bool:
        """Whether PostgreSQL and step-ca are the home's own."""
        return self.home is not None and self.database_url is None

    def origin_of(self, name: str) -> str:
        """Return who set a setting, as an error names it: a flag, a variable, or file and key."""
        assigned = self.assigned.get(name)
        return assigned.origin if assigned is not None else BY_NAME[name].variable

    @property
    def plan_key_file(self) -> Path | None:
        """The file of the key for saved plans: beside the sealing keys, if it is not set."""
        beside = self.keyring / PLAN_KEY if self.keyring is not None else None
        return self.plan_key or beside

    @property
    def cache(self) -> str | None:
        """The folder for what may be deleted at any time, in the home; None without one."""
        return str(self.home.path / "cache") if self.home is not None else None


def load_settings(
    flags: Mapping[str, str], environ: Mapping[str, str], cwd: Path, *, making_home: bool = False
) -> Settings:
    """Return the settings of flags (by name), environment and the home's `mosaic.toml`.

    Paths of flags and variables are relative to `cwd`, those of `mosaic.toml` to the folder that
    holds the home. A home that is named must exist, unless `making_home`.

    Raises:
        NeedsEdit: `config_invalid` naming the setting, `home_missing`, or `home_unsafe`.
    """
    given = {
        name: Assignment(text, f"--{name.replace('_', '-')}", cwd) for name, text in flags.items()
    }
    for name, each in read_environment(environ, cwd).items():
        given.setdefault(name, each)
    given.pop("safe_homes", None)  # by itself, as `destroy` reads no other setting
    home = _home(given.get("home"), cwd, trusted_homes(environ), making_home=making_home)
    if home is not None and home.config.is_file():
        for name, each in read_document(home).items():
            given.setdefault(name, each)
    # an empty flag is no value, and what is set elsewhere is not meant either
    given = {name: each for name, each in given.items() if each.text or name not in CLEARED}
    fields = {name: _read(name, each) for name, each in given.items()}
    if "postgres_bin" in fields:
        fields["postgres_bin"] = NamedServer(fields["postgres_bin"], given["postgres_bin"].origin)
        home = replace(home, server=fields["postgres_bin"]) if home is not None else None
    fields["peer_proxy"] = read_proxy_rules(environ, used=fields.get("peer_proxy", False))
    settings = replace(_settings(fields, given, home, cwd), assigned=given)
    if settings.source is None or "ref" not in given:
        return settings
    return replace(settings, source=replace(settings.source, ref_origin=given["ref"].origin))


def unstored_texts(settings: Settings) -> dict[str, str]:
    """Return what flags and variables set, by name, as the `mosaic.toml` of a new home says it.

    Raises:
        NeedsEdit: `config_invalid`: a home has its own of one of them, or it is no text.
    """
    folder = settings.home_path.resolve().parent
    texts: dict[str, str] = {}
    for name, assignment in settings.assigned.items():
        if assignment.stored or name in NOT_IN_HOME:
            continue
        if not BY_NAME[name].in_home:
            raise invalid(
                assignment.origin,
                "a home has a PostgreSQL and a certificate authority of its own",
                "unset it; for a gateway without a home: `mosaic federation prepare`, then serve",
            )
        value = _read(name, assignment)
        if isinstance(value, Path) or (name == "source" and not values.is_url(value)):
            path = Path(os.path.normpath(value))
            value = str(path.relative_to(folder) if path.is_relative_to(folder) else path)
        texts[name] = value if isinstance(value, str) else assignment.text
        if not texts[name].isprintable():
            message = f"got {texts[name]!r}, expected printable text"
            raise invalid(assignment.origin, message, "correct it")
    return texts


def require(value: T | None, name: str) -> T:
    """Return the value of a setting that a command cannot do without.

    Raises:
        NeedsEdit: `config_invalid`, naming its variable.
    """
    if value is None:
        setting = BY_NAME[name]
        message = f"it is not set: {setting.meaning}"
        raise invalid(setting.variable, message, f"{FIND_HOME}; without a home, set it")
    return value


def _home(
    given: Assignment | None, cwd: Path, safe_homes: tuple[str, ...], *, making_home: bool
) -> Home | None:
    if given is None:
        nearest = find_home(cwd)
        if nearest is not None or making_home:
            require_own(nearest or Home(cwd / NAME), safe_homes)
        return nearest
    require_own(Home(cwd / given.text), safe_homes)
    home = Home((cwd / given.text).resolve())
    if home.config.is_file():
        return home
    inner = home.path.parent if home.path.is_file() else home.path / NAME
    if Home(inner).config.is_file():
        separator = " " if given.origin.startswith("--") else "="
        has = "is in one" if home.path.is_file() else "contains one"
        raise NeedsEdit(
            "home_missing",
            f"{given.origin}: {home.path} is not the folder of a gateway, but it {has}",
            hint=f"did you mean {given.origin}{separator}{shlex.quote(str(inner))}?",
        )
    if making_home:
        return None
    raise NeedsEdit(
        "home_missing",
        f"{given.origin}: {home.path} holds no gateway (no {home.config.name})",
        hint=f"create one: `mosaic federation init --home {shlex.quote(str(home.path))}`",
    )


def _read(name: str, given: Assignment) -> Any:
    setting = BY_NAME[name]
    if setting.read is Path:
        if not given.text.strip():
            raise invalid(given.origin, "got nothing, expected a path", "write it, or unset it")
        return given.base / given.text
    try:
        read = setting.read(given.text)
    except ValueError as error:
        hidden = setting.secret or not setting.shown
        shown = "a value" if hidden else repr(without_credentials(given.text[:200]))
        raise invalid(given.origin, f"got {shown}: {error}", "correct it") from None
    if isinstance(read, UnixPath):
        return UnixPath(str(given.base / read.path))
    return str(given.base / read) if name == "source" and not values.is_url(read) else read


def _settings(
    fields: dict[str, Any], given: Mapping[str, Assignment], home: Home | None, cwd: Path
) -> Settings:
    arguments: dict[str, Any] = {
        "home": home,
        "home_path": fields.pop("home", home.path if home else cwd / ".mosaic"),
    }
    ref, path = fields.pop("ref", None), fields.pop("path", None)
    location = fields.pop("source", None)
    if location is not None:
        source = SourceSetting(location, ref, path, cache=Settings(home=home).cache)
        arguments["source"] = require_repository(source, given["path"].origin if path else "")
    for name in ("token_pepper", "plan_key", "private_token"):
        if f"{name}_file" in fields:
            fields[name] = fields.pop(f"{name}_file")
    if home is not None and "database_url" not in fields:
        arguments |= _of_a_home(home)
    if fields.get("proxy_protocol") and not fields.get("trusted_proxies"):
        message = "no trusted proxy is set"
        hint = f"name its network: {BY_NAME['trusted_proxies'].variable}"
        raise invalid(given["proxy_protocol"].origin, message, hint)
    if "database_password_command" in fields and "database_url" not in fields:
        message = "it needs MOSAIC_DATABASE_URL, which is not set"
        origin = given["database_password_command"].origin
        raise invalid(origin, message, "set it, or unset it")
    return Settings(**arguments | fields)


def require_repository(source: SourceSetting, path_origin: str) -> SourceSetting:
    """Return a source whose path within, which `path_origin` has set, is one of a repository.

    Raises:
        NeedsEdit: `config_invalid`.
    """
    if source.path is not None and not source.is_git:
        message = "it is a folder within a git repository, but the source is not one"
        raise invalid(path_origin, message, "set MOSAIC_REF too, or name a git URL")
    return source


def _of_a_home(home: Home) -> dict[str, Any]:
    return {
        "ca_root": home.ca / "root_ca.crt",
        "ca_provisioners": home.provisioners,
        "keyring": home.keys,
        "token_pepper": home.token_pepper,
        "allow_addresses": LOOPBACK,
    }
