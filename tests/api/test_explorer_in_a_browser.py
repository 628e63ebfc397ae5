"""The explorer in a real Chromium: signing in, reading, at desktop and phone width, light and dark."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.auth import demo_token
from store.settings import Settings
from tests.support.api import EMPTY, READER, ROOT, frames
from tests.support.browser import FLAGS, chromium, free_port, server
from tests.support.serving import small_generation

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Settings]]:
    """A real server over two generations; its base URL and settings."""
    executable = chromium()
    assert executable
    home = tmp_path_factory.mktemp("explorer")
    small_generation(home, frames=frames())
    small_generation(home, salt="another", frames=frames())
    base = f"http://127.0.0.1:{(port := free_port())}"
    environment = {"FLOWFORGE_HOME": str(home), "FLOWFORGE_EXPLORER__ENABLED": "true", "FLOWFORGE_ENV": "test"}
    command = [sys.executable, "-m", "api.server", "--port", str(port)]
    with server(command, f"{base}/readyz", cwd=ROOT, environment=environment, log=home / "log"):
        yield base, Settings(home=home, env="test")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield opened
        opened.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_an_operator_signs_in_and_reads_a_person(
    served: tuple[str, Settings], browser: Any, tmp_path: Path, width: int, scheme: str
):
    base, settings = served
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    assert page.goto(f"{base}/explorer").status == 401
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))

    page.locator("#token:focus").wait_for()  # the page focuses its one field by itself, soon after it is loaded
    page.keyboard.type(token := demo_token(settings, "ops", role="operator"))
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Live generation").wait_for()
    (cookie,) = context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/explorer")
    assert page.evaluate("document.cookie") == ""
    assert page.locator("svg[role=img] circle").count() == 6 * 2
    assert _fits(page)

    page.get_by_label("User id").fill(str(READER))
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=f"User {READER}").wait_for()
    assert page.locator(".score").count() == 20
    for score in page.locator(".score").all():
        parts = [int(p.get_attribute("data-value")) for p in score.locator(".part").all()]
        shown = int(re.sub(r"[=,\s]", "", score.locator("b").inner_text()).replace("−", "-"))
        assert sum(parts) == shown == int(score.get_attribute("data-score")) - int(score.get_attribute("data-newest"))
    assert page.get_by_text(f"flowforge explain {READER}").is_visible()
    for summary in page.locator("summary").all():
        if summary.locator("xpath=..").get_attribute("open") is None:
            summary.press("Enter")
    assert page.frame_locator("iframe").first.locator("body").inner_text().strip()
    assert _fits(page)
    page.screenshot(path=tmp_path / f"{width}.png", full_page=True)

    page.get_by_label("User id").fill(str(EMPTY))
    page.get_by_role("button", name="Look").click()
    page.get_by_role("heading", name=f"User {EMPTY}").wait_for()
    assert page.get_by_role("heading", name="Feed, ranked").inner_text().endswith("empty")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in").wait_for()
    assert context.cookies() == []

    assert [url for url in asked if not url.startswith((base, "data:"))] == []
    assert [url for url in asked if token in url] == []
    assert [text for text in said if "401" not in text] == []
    context.close()


def _fits(page: Any) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))
