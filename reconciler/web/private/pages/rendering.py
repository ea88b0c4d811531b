"""Documents as HTML: the one environment of the templates, in which everything is escaped.

A text that does not print, a bidirectional control among it, stands as its escape.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reconciler.core.model.text import counted, escaped
from reconciler.core.model.times import distance
from reconciler.web.private.pages.charts import calendar, time_line

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE: Final = Path(__file__).parent
NOTHING: Final = "-"  # where a value is null
STATIC: Final = {
    "/style.css": ((HERE / "static/style.css").read_bytes(), "text/css"),
    "/icon.svg": ((HERE / "static/icon.svg").read_bytes(), "image/svg+xml"),
}
SECTIONS: Final = (
    ("/", "Overview"),
    ("/grants", "Grants"),
    ("/peers", "Peers"),
    ("/runs", "Runs"),
    ("/drift", "Drift"),
    ("/audit", "Audit"),
)


def render(template: str, **context: object) -> str:
    """Return a page."""
    return _ENVIRONMENT.get_template(template).render(context)


def _shown(value: object) -> object:
    """Return a value as text that prints; markup of a macro stays as it is."""
    if isinstance(value, Markup):
        return value
    return NOTHING if value is None else escaped(str(value), allowed="\n")


def _minutes(at: str) -> str:
    """Return an RFC 3339 time as people read it."""
    return datetime.fromisoformat(at).strftime("%Y-%m-%d %H:%M UTC")


def _away(at: str, now: str) -> str:
    return distance(datetime.fromisoformat(at) - datetime.fromisoformat(now))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: Mapping[str, Any] = {
        "minutes": _minutes,
        "away": _away,
        "json": _json,
        "counted": counted,
    }
    environment.filters.update(filters)
    environment.globals.update(sections=SECTIONS, calendar=calendar, time_line=time_line)
    return environment


_ENVIRONMENT: Final = _environment()
