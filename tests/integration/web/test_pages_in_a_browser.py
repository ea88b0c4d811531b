"""The pages as people use them: in a browser, by keyboard, on a small screen, with any text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from reconciler.core.model.text import escaped
from tests.support.browser import opened_page, running_browser, violations
from tests.support.database.hostile_rows import EAST_ASIAN, HOSTILE, LONGEST_NAME, SCRIPT, fill
from tests.support.gateways.enrollee import Rows
from tests.support.gateways.private_server import PrivateRunning, serving_private

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

UNKNOWN: Final = "/grants/unknown"
PAGES: Final = (
    *("/", "/grants", "/grants/beta-active", "/grants/beta-held", f"/grants/{LONGEST_NAME}"),
    *("/peers", "/peers/beta", "/peers/gamma", "/runs", "/drift", "/audit", UNKNOWN),
)
FOCUS: Final = """() => {
    const focused = document.activeElement, style = getComputedStyle(focused);
    const box = focused.getBoundingClientRect();
    return {
        what: focused.getAttribute('href') || focused.id || focused.tagName,
        visible: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2
            && box.width > 0 && box.bottom > 0 && box.right > 0,
    };
}"""
TAB_STOPS: Final = """[...document.querySelectorAll('a[href], input, select, button, summary')]
    .filter(each => each.checkVisibility())
    .map(each => each.getAttribute('href') || each.id || each.tagName)"""
BEYOND: Final = """[...document.querySelectorAll('body *')]
    .filter(each => each.getBoundingClientRect().right > innerWidth + 1)
    .map(each => each.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def private(shared_database_url: str) -> Iterator[PrivateRunning]:
    fill(Rows(shared_database_url))
    with serving_private(shared_database_url) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


def run_page(page: Page, url: str) -> str:
    """Return the path of the newest run."""
    page.goto(f"{url}/runs")
    path = page.locator("tbody a").first.get_attribute("href")
    assert path is not None
    return path


def test_every_page_is_quiet_and_axe_finds_no_violation(
    private: PrivateRunning, browser: Browser
) -> None:
    with opened_page(browser, color_scheme="light") as (page, messages):
        for path in (*PAGES, run_page(page, private.url)):
            page.goto(private.url + path)
            assert violations(page) == [], path
            expected = 1 if path == UNKNOWN else 0  # the browser's own word on a 404
            assert len(messages) == expected, (path, messages)
            messages.clear()


def test_contrast_is_enough_in_the_dark(private: PrivateRunning, browser: Browser) -> None:
    with opened_page(browser, color_scheme="dark") as (page, _):
        colours = set()
        for path in ("/", "/grants", "/grants/beta-active", "/peers/gamma", "/drift", UNKNOWN):
            page.goto(private.url + path)
            assert violations(page, "color-contrast") == [], path
            colours.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.emulate_media(color_scheme="light")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") not in colours
        assert len(colours) == 1


def test_nothing_is_wider_than_a_screen_of_320_pixels(
    private: PrivateRunning, browser: Browser
) -> None:
    with opened_page(browser, viewport={"width": 320, "height": 640}) as (page, _):
        for path in (*PAGES, run_page(page, private.url)):
            page.goto(private.url + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, path
            assert page.evaluate(BEYOND) == [], path


def test_no_secret_is_on_any_page(private: PrivateRunning, shared_database_url: str) -> None:
    mac = "SELECT encode(mac, 'hex') FROM federation_enrollment_tokens LIMIT 1"
    secrets = ("sealed-secret", "MSEAL1", "csr-secret", Rows(shared_database_url).one(mac))
    with private.client() as client:
        for path in PAGES:
            json_path = "/index.json" if path == "/" else f"{path}.json"
            text = client.get(path).text + client.get(json_path).text
            assert not [each for each in secrets if each in text], path


def test_text_of_others_stands_as_text(private: PrivateRunning, browser: Browser) -> None:
    with opened_page(browser) as (page, _):
        for path in ("/", "/grants/beta-held", "/runs"):
            page.goto(private.url + path)
            text = " ".join(page.locator("main").inner_text().split())
            assert " ".join(escaped(HOSTILE).split()) in text, path
            assert page.locator("script, main img, [onerror], [onfocus]").count() == 0
        page.goto(f"{private.url}/peers")
        assert EAST_ASIAN in page.locator("main").inner_text()
        assert SCRIPT in page.locator("main").inner_text()


def test_the_keyboard_reaches_everything_in_order_and_shows_where_it_is(
    private: PrivateRunning, browser: Browser
) -> None:
    with opened_page(browser) as (page, _):
        for path in ("/", "/grants", "/grants/beta-active", "/audit"):
            page.goto(private.url + path)
            stops = page.evaluate(TAB_STOPS)
            assert stops[0] == "#content"
            for expected in stops:
                page.keyboard.press("Tab")
                focus = page.evaluate(FOCUS)
                assert focus == {"what": expected, "visible": True}, path


def test_the_skip_link_leads_past_the_navigation(private: PrivateRunning, browser: Browser) -> None:
    with opened_page(browser) as (page, _):
        page.goto(f"{private.url}/grants")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate(FOCUS)["what"] == "q"


def test_a_search_needs_the_keyboard_alone_and_no_script(
    private: PrivateRunning, browser: Browser
) -> None:
    with opened_page(browser, java_script_enabled=False) as (page, _):
        page.goto(f"{private.url}/grants")
        page.locator("#q").focus()
        page.keyboard.type("held")
        page.keyboard.press("Enter")
        page.wait_for_url("**/grants?q=held*")
        assert page.locator("tbody tr").count() == 1
        page.locator("tbody a").first.focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/grants/beta-held")
        assert page.locator("h1").inner_text() == "Grant beta-held suspended"
        page.locator("summary").first.focus()
        page.keyboard.press("Enter")
        assert page.locator("details pre").first.is_visible()
