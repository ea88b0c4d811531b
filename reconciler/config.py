"""The settings: flags, then `MOSAIC_*` variables, then `mosaic.toml`; read once, at the top.

The table `SETTINGS` names every one, with what it means and how its text is read. Nothing below
this module reads the environment for a setting.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from reconciler.core import values
from reconciler.core.text import without_credentials
from reconciler.core.values import (
    DEFAULT_RATE_LIMIT,
    LOOPBACK,
    Address,
    Network,
    RateLimit,
    SourceSetting,
)
from reconciler.core.words import edits, nearest
from reconciler.core.x509 import DEFAULT_OID_ARC
from reconciler.embedded.home import Home, find_home
from reconciler.errors import NeedsEdit
from reconciler.files import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

PREFIX: Final = "MOSAIC_"
MAX_TYPO: Final = 2  # edits; the prefix is the platform's, so only a near miss is ours to refuse


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, read and checked. `home` is None where no home was found or made yet."""

    home: Home | None = None
    home_path: Path = Path(".mosaic")
    source: SourceSetting | None = None
    database_url: str | None = field(default=None, repr=False)
    ca_url: str | None = None
    ca_root: Path | None = None
    ca_provisioners: Path | None = None
    listen: Address = ("127.0.0.1", 8443)
    public_url: str | None = None
    keyring: Path | None = None
    token_pepper: Path | None = None
    oid_arc: str = DEFAULT_OID_ARC
    allow_addresses: tuple[Network, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()
    proxy_protocol: bool = False
    allowed_signers: Path | None = None
    signers_keyring: Path | None = None
    require_signed: bool = False
    rate_limit: RateLimit = DEFAULT_RATE_LIMIT

    @property
    def cache(self) -> str | None:
        """The folder for what may be deleted at any time, in the home; None without one."""
        return str(self.home.path / "cache") if self.home is not None else None


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its variable is `MOSAIC_` and the name in capitals; `read` parses its text."""

    name: str
    read: Callable[[str], Any]
    meaning: str
    secret: bool = False

    @property
    def variable(self) -> str:
        """The environment variable of the setting."""
        return PREFIX + self.name.upper()


SETTINGS: Final = (
    Setting("home", Path, "the folder of an embedded gateway (default .mosaic, searched upward)"),
    Setting("source", values.read_git_word, "where manifests come from: a folder or a git URL"),
    Setting(
        "ref", values.read_git_word, "the git ref to read; with it, a path is a repository too"
    ),
    Setting("path", values.read_git_word, "the folder of the manifests within a git repository"),
    Setting(
        "database_url", values.read_database_url, "the libpq URL of PostgreSQL 15+", secret=True
    ),
    Setting("ca_url", values.read_https_url, "the URL of step-ca"),
    Setting("ca_root", Path, "the PEM bundle of our CA's roots"),
    Setting("ca_provisioners", Path, "the folder of the provisioners' private keys (serve)"),
    Setting("listen", values.read_listen, "the address of the HTTPS endpoint, host:port"),
    Setting("public_url", values.read_https_url, "the URL under which peers reach the endpoint"),
    Setting("keyring", Path, "the folder of the sealing keys"),
    Setting("token_pepper_file", Path, "the file of the token pepper, 32 bytes in hex"),
    Setting("oid_arc", values.read_oid_arc, "the arc of the OIDs in certificates"),
    Setting("allow_addresses", values.read_networks, "networks, not global, that may be called"),
    Setting("trusted_proxies", values.read_networks, "networks whose X-Forwarded-For is believed"),
    Setting("proxy_protocol", values.read_switch, "true: they send a PROXY header instead"),
    Setting("allowed_signers", Path, "who may sign commits, in the format of ssh-keygen"),
    Setting("signers_keyring", Path, "the OpenPGP public keys of who may sign commits"),
    Setting("require_signed", values.read_switch, "true: apply signed commits alone"),
    Setting("rate_limit", values.read_rate_limit, "requests of one address (30/s; 0 is off)"),
)
_BY_NAME: Final = {setting.name: setting for setting in SETTINGS}
_FILE_SUFFIX: Final = "_FILE"


@dataclass(frozen=True, slots=True)
class _Given:
    """A setting's text, and who said it: the name that an error shows; relative to `base`."""

    text: str = field(repr=False)
    said_by: str
    base: Path


def load_settings(
    flags: Mapping[str, str], environ: Mapping[str, str], cwd: Path, *, making_home: bool = False
) -> Settings:
    """Return the settings of flags (by name), environment and the home's `mosaic.toml`.

    Paths of flags and variables are relative to `cwd`, those of `mosaic.toml` to the folder that
    holds the home. A home that is named must exist, unless `making_home`.

    Raises:
        NeedsEdit: `config_invalid` naming the setting, or `home_missing`.
    """
    given = {name: _Given(text, f"--{name.replace('_', '-')}", cwd) for name, text in flags.items()}
    for name, each in _from_environment(environ, cwd).items():
        given.setdefault(name, each)
    home = _home(given.get("home"), cwd, making_home=making_home)
    if home is not None and home.config.is_file():
        for name, each in _from_toml(home).items():
            given.setdefault(name, each)
    found = {name: _read(name, each) for name, each in given.items()}
    return _settings(found, home, cwd)


def write_config(path: Path, settings: Mapping[str, str]) -> None:
    """Write `mosaic.toml`, each value with what it means above it; whole or not at all."""
    lines = ["# What this gateway is. A flag or a MOSAIC_* variable overrides a line.\n"]
    for name, value in settings.items():
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'\n# {_BY_NAME[name].meaning}\n{name} = "{escaped}"\n')
    replace_file(path, "".join(lines).encode(), 0o666)


def require(value: T | None, name: str) -> T:
    """Return the value of a setting that a command cannot do without.

    Raises:
        NeedsEdit: `config_invalid`, naming its variable.
    """
    if value is None:
        setting = _BY_NAME[name]
        message = f"it is not set: {setting.meaning}"
        raise _wrong(setting.variable, message, "set it, or run inside a gateway's home")
    return value


def _from_environment(environ: Mapping[str, str], cwd: Path) -> dict[str, _Given]:
    known = {setting.variable: setting for setting in SETTINGS}
    files = {s.variable + _FILE_SUFFIX: s for s in SETTINGS if s.secret}
    given: dict[str, _Given] = {}
    for variable in sorted(name for name in environ if name.startswith(PREFIX)):
        setting = known.get(variable) or files.get(variable)
        if setting is None:
            _refuse_typo(variable, (*known, *files))
            continue
        if setting.name in given:
            raise _wrong(variable, f"{given[setting.name].said_by} is set too", "keep one of them")
        text = environ[variable]
        if variable in files:
            text = _secret_of(variable, cwd / text)
        given[setting.name] = _Given(text, variable, cwd)
    return given


def _refuse_typo(variable: str, known: tuple[str, ...]) -> None:
    close = nearest(variable, known)
    if edits(variable, close) <= MAX_TYPO:
        raise _wrong(variable, "there is no such setting", f"did you mean {close}?")


def _secret_of(variable: str, path: Path) -> str:
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise _wrong(variable, f"{path} cannot be read: {reason}", "name a readable file") from None
    if not text:
        raise _wrong(variable, f"{path} is empty", "write the value into it")
    return text


def _home(given: _Given | None, cwd: Path, *, making_home: bool) -> Home | None:
    if given is None:
        return find_home(cwd)
    home = Home((cwd / given.text).resolve())
    if home.config.is_file():
        return home
    if making_home:
        return None
    raise NeedsEdit(
        "home_missing",
        f"{given.said_by}: {home.path} holds no gateway (no {home.config.name})",
        hint=f"make one: mosaic federation init --home {home.path}",
    )


def _from_toml(home: Home) -> dict[str, _Given]:
    try:
        document = tomllib.loads(home.config.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _wrong(str(home.config), f"it cannot be read: {error}", "correct it") from None
    known = tuple(setting.name for setting in SETTINGS if setting.name != "home")
    for key in document:
        if key not in known:
            hint = f"did you mean {nearest(key, known)!r}?"
            raise _wrong(str(home.config), f"there is no setting {key!r}", hint)
    return {
        key: _Given(_toml_text(home, key, value), f"{home.config}: {key}", home.path.parent)
        for key, value in document.items()
    }


def _toml_text(home: Home, key: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ",".join(value)
    raise _wrong(f"{home.config}: {key}", f"got {value!r}, expected text", "write it in quotes")


def _read(name: str, given: _Given) -> Any:  # noqa: ANN401 - each setting has its own type
    setting = _BY_NAME[name]
    if setting.read is Path:
        if not given.text.strip():
            raise _wrong(given.said_by, "got nothing, expected a path", "write it, or unset it")
        return given.base / given.text
    try:
        read = setting.read(given.text)
    except ValueError as error:
        shown = "a value" if setting.secret else repr(without_credentials(given.text[:200]))
        raise _wrong(given.said_by, f"got {shown}: {error}", "correct it") from None
    return str(given.base / read) if name == "source" and not values.is_url(read) else read


def _settings(found: dict[str, Any], home: Home | None, cwd: Path) -> Settings:
    made: dict[str, Any] = {
        "home": home,
        "home_path": found.pop("home", home.path if home else cwd / ".mosaic"),
    }
    ref, path = found.pop("ref", None), found.pop("path", None)
    location = found.pop("source", None)
    if location is not None:
        made["source"] = _source(SourceSetting(location, ref, path), home)
    if "token_pepper_file" in found:
        found["token_pepper"] = found.pop("token_pepper_file")
    if home is not None and "database_url" not in found:
        made |= _of_a_home(home)
    if found.get("proxy_protocol") and not found.get("trusted_proxies"):
        message = "no proxy is named that would send a PROXY header"
        hint = f"name its network: {_BY_NAME['trusted_proxies'].variable}"
        raise _wrong(_BY_NAME["proxy_protocol"].variable, message, hint)
    return Settings(**made | found)


def _source(given: SourceSetting, home: Home | None) -> SourceSetting:
    if given.path is not None and not given.is_git:
        message = "it is a folder within a git repository, and the source is none"
        raise _wrong(_BY_NAME["path"].variable, message, "set MOSAIC_REF too, or name a git URL")
    return replace(given, cache=Settings(home=home).cache)


def _of_a_home(home: Home) -> dict[str, Any]:
    return {
        "ca_root": home.ca / "root_ca.crt",
        "ca_provisioners": home.provisioners,
        "keyring": home.keys,
        "token_pepper": home.token_pepper,
        "allow_addresses": LOOPBACK,
    }


def _wrong(where: str, message: str, hint: str) -> NeedsEdit:
    return NeedsEdit("config_invalid", f"{where}: {message}", hint=hint)
