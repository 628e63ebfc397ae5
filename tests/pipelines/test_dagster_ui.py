"""The Dagster UI shows the whole flow, and the run that made it (08.2)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.browser import FLAGS, chromium, free_port, server
from tests.support.flowforge import ROOT, flowforge

pytestmark = pytest.mark.browser


def test_the_asset_graph_shows_every_group_and_the_run_is_in_the_list(tmp_path: Path):
    executable = chromium()
    from playwright.sync_api import sync_playwright

    tmp_path.chmod(0o755)
    home = tmp_path / "home"
    done = flowforge("demo", "--once", "--users", "50", home=home)
    assert done.returncode == 0, done.stdout + done.stderr
    base = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "pipelines.cli", "dagster", "--port", str(port)]
    with (
        server(
            command, f"{base}/server_info", cwd=ROOT, environment={"FLOWFORGE_HOME": str(home)}, log=tmp_path / "log"
        ),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        page = browser.new_page(viewport={"width": 1900, "height": 1100})
        page.goto(f"{base}/asset-groups", wait_until="domcontentloaded", timeout=120_000)
        for group in ("snapshot", "staged", "friends", "feed", "digests", "premium", "published"):
            page.get_by_text(group, exact=True).first.wait_for(timeout=120_000)
        page.screenshot(path=tmp_path / "graph.png")
        page.goto(f"{base}/runs", wait_until="domcontentloaded", timeout=120_000)
        page.get_by_text("refresh_all").first.wait_for(timeout=120_000)
        page.get_by_text("Success").first.wait_for(timeout=120_000)
        browser.close()
