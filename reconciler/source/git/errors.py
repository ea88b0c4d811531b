"""The errors of git and ssh: their relevant lines, and whether a retry can help."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from reconciler.core.model.text import printable, without_credentials
from reconciler.errors import NeedsEdit, Retry

if TYPE_CHECKING:
    from reconciler.errors import MosaicError
    from reconciler.process import ProcessResult

MAX_LINE: Final = 300  # characters
MAX_LINES: Final = 6  # the last ones

# Advice, progress and frames, beside the lines that say what failed.
_ADVICE: Final = re.compile(
    r"hint: |remote: (?:Enumerating|Counting|Compressing|Total )|(?:Please make sure you have the"
    r" correct access|and the repository exists\.|To add an exception|Try '?git |usage: )"
    r"|\s*git config --global|warning: Permanently added|debug\d: |[\W_]*$"
)


@dataclass(frozen=True, slots=True)
class _Fault:
    """A fault, by a pattern of the output; `lasting`: a person must correct it, no retry helps."""

    pattern: re.Pattern[str]
    hint: str
    lasting: bool = True


def _fault(pattern: str, hint: str, *, lasting: bool = True) -> _Fault:
    return _Fault(re.compile(pattern, re.IGNORECASE), hint, lasting)


_FAULTS: Final = (  # the first that matches
    _fault(
        r"host key verification failed|host identification has changed|no \S+ host key is known",
        "compare the host's key with the one that its owner publishes, then add it to known_hosts: "
        "ssh-keyscan {host} >> ~/.ssh/known_hosts",
    ),
    _fault(
        r"permission denied \(|too many authentication failures|load key ",
        "the host accepts none of the keys: add the public key there, or name another key by "
        "GIT_SSH_COMMAND; see docs/sources.md",
    ),
    _fault(
        r"no space left on device|disk quota exceeded|read-only file system",
        "free some space where mirrors are; docs/sources.md says where that is",
        lasting=False,
    ),
    _fault(
        r"could not resolve (?:host|proxy)|name or service not known|temporary failure in name",
        "check the name of the host, and this machine's DNS and https_proxy",
        lasting=False,
    ),
    _fault(
        r"returned error: 30\d|redirect",
        "redirects are not followed: name the URL that it leads to{dot_git}",
    ),
    _fault(
        r"returned error: 401|could not read (?:username|password)|authentication failed"
        r"|invalid credentials|http basic: access denied",
        "put the credentials into ~/.netrc (mode 0600): machine {host} login USER password TOKEN",
    ),
    _fault(
        r"returned error: 403",
        "the credentials of ~/.netrc may not read this repository: grant them access",
    ),
    _fault(
        r"returned error: 404|repository '[^']*' not found|repository not found|project not found",
        "check the URL; hosts say so, too, where the credentials may not see the repository",
    ),
    _fault(
        r"certificate|self.signed|unable to get local issuer|ssl_error|tls alert|cafile",
        "name the PEM bundle of the roots that signed the host's certificate by GIT_SSL_CAINFO",
    ),
    _fault(
        r"index-pack|fsck error|unpack-objects|invalid object",
        "the repository holds an object that git calls invalid: `git fsck` in it names all of them",
    ),
    _fault(
        r"bad/illegal format",
        "write the host in ASCII: an international name as xn--…",
    ),
    _fault(
        r"shallow roots",
        "the repository is a shallow clone: complete it (git fetch --unshallow), or name the one"
        " that it was cloned from",
    ),
    _fault(
        r"not our ref|does not allow request for unadvertised",
        "the host does not serve commits by hash: name the branch or the tag that contains it",
    ),
)
_UNKNOWN: Final = _fault("", "check the URL, the network and the credentials", lasting=False)


def error_summary(result: ProcessResult) -> str:
    """Return the last lines that say why a process failed, in one, printable, no credentials."""
    lines = [line.strip() for line in lines_of(result) if not _ADVICE.match(line)]
    lines_once = list(dict.fromkeys(line for line in lines if line))[-MAX_LINES:]
    return "; ".join(lines_once) or f"it ended with {result.code}"


def lines_of(result: ProcessResult) -> list[str]:
    """Return all lines of standard error, printable, without credentials."""
    text = without_credentials(result.errors.decode("utf-8", "replace")).replace("\t", " ")
    return [printable(line, MAX_LINE) for line in re.split(r"[\r\n]+", text) if line.strip()]


def unfetched(url: str, result: ProcessResult) -> MosaicError:
    """Return the error of a repository at `url` that cannot be fetched.

    It is `source_unavailable`, or `source_refused` if a person has to change something first.
    """
    reason = error_summary(result)
    fault = next((each for each in _FAULTS if each.pattern.search(reason)), _UNKNOWN)
    message = f"{printable(without_credentials(url), 200)} cannot be fetched: {reason}"
    hint = f"nothing was changed; {_hint(fault, url)}"
    if fault.lasting:
        return NeedsEdit("source_refused", message, hint=hint)
    return Retry("source_unavailable", message, hint=hint)


def _hint(fault: _Fault, url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or url.partition("@")[2].partition(":")[0] or "HOST"
    plain = url.rstrip("/")
    dot_git = "" if plain.endswith(".git") else f", often {without_credentials(plain)}.git"
    return fault.hint.format(host=printable(host, 200), dot_git=printable(dot_git, 300))
