"""The explorer: who may look, how a browser signs in, and what the page says of a generation and of a person."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from api.explorer.plots import WIDTH, line, scale_of
from api.explorer.session import COOKIE
from store.generations import GenerationRefused
from store.revocations import Kind
from store.settings import ExplorerSettings, RevocationSettings, Settings
from tests.support.api import DORMANT, EMPTY, GONE, READER, SUGGESTED, UNKNOWN, Api, frames, published, running
from tests.support.revocations import entry, write_revocations
from tests.support.serving import AS_OF, small_generation, table

PAGE = "/explorer"
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture(scope="module")
def explorer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with published(tmp_path_factory.mktemp("explorer"), explorer=ExplorerSettings(enabled=True)) as running_:
        yield running_


def look(api: Api, query: str = "") -> str:
    answer = api.request("GET", PAGE + query, token=api.token("ops", "operator"))
    assert answer.status_code == 200, answer.text
    return answer.text


def sign_in(api: Api, token: str, **headers: str) -> Any:
    return api.request("POST", f"{PAGE}/session", content=f"token={token}", headers={
        "content-type": "application/x-www-form-urlencoded", **headers})  # fmt: skip


@pytest.mark.parametrize(
    ("role", "status"), [(None, 401), ("user", 403), ("service", 403), ("analyst", 403), ("operator", 200)]
)
def test_only_operators_may_look(explorer: Api, role: Any, status: int):
    token = None if role is None else explorer.token(READER, role)
    for path in (PAGE, f"{PAGE}?user={READER}", f"{PAGE}/users/{READER}/digests/{'a' * 64}"):
        answer = explorer.request("GET", path, token=token, headers=BROWSER)
        assert answer.status_code == (404 if status == 200 and "digests" in path else status), path
        if status != 200:
            assert 'name="token"' in answer.text
            assert "www-authenticate" in answer.headers


def test_it_is_not_there_unless_it_is_enabled(api: Api):
    for method, path in (("GET", PAGE), ("POST", f"{PAGE}/session"), ("GET", f"{PAGE}/explorer.css")):
        assert api.request(method, path, token=api.token("ops", "operator")).status_code == 404


@pytest.mark.parametrize("accept", ["application/json", "*/*"])
def test_a_client_that_is_no_browser_gets_a_problem(explorer: Api, tmp_path: Path, accept: str):
    def told(api: Api, path: str, token: str | None) -> str:
        answer = api.request("GET", path, token=token, headers={"accept": accept})
        assert answer.headers["content-type"] == "application/problem+json"
        return f"{answer.status_code} {answer.json()['type'].rpartition('/')[2]}"

    operator = explorer.token("ops", "operator")
    assert told(explorer, PAGE, None) == "401 unauthorized"
    assert told(explorer, PAGE, explorer.token(READER)) == "403 forbidden"
    assert told(explorer, f"{PAGE}?user=nobody", operator) == "422 invalid-parameter"
    assert told(explorer, f"{PAGE}?user={UNKNOWN}", operator) == "404 not-found"
    with running(Settings(home=tmp_path, env="test", explorer=ExplorerSettings(enabled=True))) as empty:
        assert told(empty, PAGE, empty.token("ops", "operator")) == "503 not-ready"


def test_a_posted_token_becomes_a_cookie_that_only_the_explorer_gets(explorer: Api):
    token = explorer.token("ops", "operator")
    answer = sign_in(explorer, token)
    assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}={token};")
    assert {"HttpOnly", "Path=/explorer", "SameSite=strict"} <= set(cookie.split("; "))
    assert 0 < int(re.search(r"Max-Age=(\d+)", cookie)[1]) <= 3600
    assert "Secure" not in cookie
    with_cookie = {"cookie": f"{COOKIE}={token}"}
    assert explorer.request("GET", PAGE, headers=with_cookie).status_code == 200
    assert explorer.request("GET", "/v2/generations", headers=with_cookie).status_code == 401
    out = explorer.request("POST", f"{PAGE}/session/end", headers=with_cookie)
    assert "Max-Age=0" in out.headers["set-cookie"]
    assert token not in explorer.request("GET", PAGE, headers=with_cookie).text


def test_behind_https_the_cookie_is_secure(tmp_path: Path):
    with published(tmp_path, explorer=ExplorerSettings(enabled=True), public={"base_url": "https://x.example"}) as api:
        assert "Secure" in sign_in(api, api.token("ops", "operator")).headers["set-cookie"]


@pytest.mark.parametrize(
    ("token", "status"), [("", 401), ("nonsense", 401), ("x" * 5000, 401), ("a.b.c%0d%0aset-cookie:%20x=1", 401)]
)
def test_a_bad_token_is_refused_without_being_repeated(explorer: Api, token: str, status: int):
    answer = sign_in(explorer, token)
    assert answer.status_code == status
    assert "set-cookie" not in answer.headers
    assert not token or token not in answer.text


def test_a_weak_token_does_not_sign_in(explorer: Api):
    answer = sign_in(explorer, explorer.token(READER))
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("headers", [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
                                     {"origin": "https://evil.example"}, {"origin": "null"}])  # fmt: skip
def test_a_form_of_another_site_signs_nobody_in_or_out(explorer: Api, headers: dict[str, str]):
    assert sign_in(explorer, explorer.token("ops", "operator"), **headers).status_code == 403
    assert explorer.request("POST", f"{PAGE}/session/end", headers=headers).status_code == 403


def test_the_page_may_run_nothing_and_load_nothing_from_elsewhere(explorer: Api):
    answer = explorer.request("GET", f"{PAGE}?user={READER}&all", token=explorer.token("ops", "operator"))
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r"<script|\son\w+=|\sstyle=|https?://", answer.text)


def test_what_is_asked_for_is_escaped(explorer: Api):
    token = explorer.token("ops", "operator")
    answer = explorer.request("GET", f"{PAGE}?user=%3Cscript%3Ex", token=token, headers=BROWSER)
    assert answer.status_code == 422
    assert "<script" not in answer.text
    assert "is no user id" in answer.text


def test_the_parts_on_the_page_add_up_to_the_scores_that_order_the_feed(explorer: Api):
    text = look(explorer, f"?user={READER}&all")
    scores = re.findall(r'data-newest="(\d+)" data-score="(\d+)">(.*?)</div>', text, re.DOTALL)
    assert len(scores) == 45
    for newest, score, inside in scores:
        parts = [int(value) for value in re.findall(r'data-value="(-?\d+)"', inside)]
        total = int(re.search(r"<b>= (−?[\d,]+)</b>", inside)[1].replace(",", "").replace("−", "-"))
        assert len(parts) == 5
        assert sum(parts) == total
        assert total + int(newest) == int(score)
    assert [int(score) for _, score, _ in scores] == sorted((int(s) for _, s, _ in scores), reverse=True)


def test_parts_that_are_not_the_scores_are_refused_before_they_are_served(tmp_path: Path):
    made = frames()
    items = made["feed_items"].collect().to_dicts()
    items[0]["k_verb"] = items[0]["k_verb"] + 1
    with pytest.raises(GenerationRefused, match="parts are not the scores"):
        small_generation(tmp_path, frames={**made, "feed_items": table("feed_items", items)})


def test_first_a_part_of_a_list_is_shown_and_all_of_it_on_demand(explorer: Api):
    assert look(explorer, f"?user={READER}").count('class="score"') == 20
    assert f"{PAGE}?user={READER}&amp;all" in look(explorer, f"?user={READER}")
    assert look(explorer, f"?user={READER}&all").count('class="score"') == 45


@pytest.mark.parametrize(("user", "state"), [(READER, "ready"), (SUGGESTED, "cold start"), (EMPTY, "empty"),
                                             (DORMANT, "building")])  # fmt: skip
def test_the_state_of_a_feed_is_told(explorer: Api, user: int, state: str):
    shown = re.search(r'<h3 id="ranked">Feed, ranked <span class="state \w+">([^<]+)<', look(explorer, f"?user={user}"))
    assert shown[1] == state


@pytest.mark.parametrize("user", [UNKNOWN, GONE])
def test_somebody_who_is_not_in_the_generation_is_not_found(explorer: Api, user: int):
    answer = explorer.request("GET", f"{PAGE}?user={user}", token=explorer.token("ops", "operator"))
    assert answer.status_code == 404
    assert f"User {user} is not in this generation" in answer.text


def test_a_digest_is_shown_as_it_was_rendered_in_a_sandbox(explorer: Api):
    text = look(explorer, f"?user={READER}")
    path = re.search(r'<iframe src="([^"]+)" sandbox', text)[1]
    mail = explorer.request("GET", path, token=explorer.token("ops", "operator"))
    assert mail.status_code == 200
    assert "sandbox" in mail.headers["content-security-policy"]
    other = path.replace(f"/users/{READER}/", f"/users/{EMPTY}/")
    assert explorer.request("GET", other, token=explorer.token("ops", "operator")).status_code == 404


def test_what_is_withheld_now_is_marked_and_stale_revocations_are_told(tmp_path: Path):
    known = {"explorer": ExplorerSettings(enabled=True), "revocations": RevocationSettings(mode="required")}
    write_revocations(tmp_path, [entry(Kind.DELETED, 1001, at=AS_OF + timedelta(minutes=30))])
    with published(tmp_path, **known) as api:
        text = look(api, f"?user={READER}")
        assert text.count("withheld now") == 2, "the post, in both modes"
        write_revocations(tmp_path, age_seconds=600)
        api.refresh()
        text = look(api, f"?user={READER}")
        assert '<h3 id="ranked">Feed, ranked <span class="state degraded">degraded<' in text
        assert "<iframe" not in text


def test_before_the_first_generation_it_says_so(tmp_path: Path):
    with running(Settings(home=tmp_path, env="test", explorer=ExplorerSettings(enabled=True))) as api:
        answer = api.request("GET", f"{PAGE}?user=1", token=api.token("ops", "operator"), headers=BROWSER)
        assert answer.status_code == 503
        assert "Nothing is published yet" in answer.text


def test_a_scale_fits_every_bar_and_a_line_its_box():
    rows = [[("a", 5), ("b", -3), ("c", 2)], [("a", 1), ("b", -8), ("c", 0)]]
    scale = scale_of(rows)
    for row in rows:
        bars = scale.bars(row)
        assert [bar.part for bar in bars] == [name for name, value in row if value]
        assert all(bar.x >= 0 and bar.x + bar.width <= WIDTH + 0.02 for bar in bars)
    assert scale.bars(rows[0])[2].x == pytest.approx(scale.bars(rows[0])[0].x + scale.bars(rows[0])[0].width, abs=0.02)
    assert all(0 <= x <= WIDTH for x, _ in line([3, 0, 9]).dots)
    assert line([0]).dots == ((WIDTH / 2, 54.0),)
