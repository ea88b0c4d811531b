"""Debian's Chromium without a window, driven by Playwright; each page with what it complains of."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from playwright.sync_api import sync_playwright

from tests.support.project.checkout import ROOT
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

AXE: Final = ROOT / "build" / "axe-core-4.14.1.js"  # tools/axe.sh fetches it
# Root has no sandbox of its own; nothing but our pages is opened.
ARGUMENTS: Final = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Run a browser until the block ends."""
    program = shutil.which("chromium")
    assert program is not None, "chromium is missing: make test installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened_page(browser: Browser, **context: Any) -> Iterator[tuple[Page, list[str]]]:
    """Open a tab in a context of its own; give it, and the messages of its console."""
    messages: list[str] = []
    made = browser.new_context(**context)
    made.set_default_timeout(PATIENCE_S * 1000)
    try:
        page = made.new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("dialog", lambda dialog: messages.append(f"dialog: {dialog.message}"))
        page.on("requestfailed", lambda request: messages.append(f"failed: {request.url}"))
        yield page, messages
    finally:
        made.close()


def violations(page: Page, *rules: str) -> list[str]:
    """Return what axe-core finds on a page; by some rules, if any are named."""
    assert AXE.exists(), f"{AXE} is missing: make test fetches it"
    page.evaluate(AXE.read_text(encoding="utf-8"))
    options: dict[str, object] = {"resultTypes": ["violations"]}  # the rest takes longest
    if rules:
        options["runOnly"] = {"type": "rule", "values": list(rules)}
    result = page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{each['id']}: {node['html'][:200]} {node.get('failureSummary', '')}"
        for each in result["violations"]
        for node in each["nodes"]
    ]
