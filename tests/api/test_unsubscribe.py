"""One-click unsubscription: the link, the page, the click, and the note it leaves (RFC 8058, 06.2)."""

from __future__ import annotations

import json
import os
import resource
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.payloads import (
    INBOX,
    Cursor,
    Unsubscribe,
    UnsubscribeInvalid,
    read_note,
    read_unsubscribe_token,
    write_cursor,
    write_unsubscribe_token,
)
from store.settings import ApiSettings, SecretSettings, Settings
from tests.support.api import assert_shape, running

FORM = {"List-Unsubscribe": "One-Click"}
KEY = b"k" * 32
ASKED = Unsubscribe(42, "email")


@pytest.fixture
def home(tmp_path):
    return tmp_path


@pytest.fixture
def app(home):
    """An app without any generation: unsubscribing needs none."""
    with running(Settings(home=home, env="test")) as api:
        yield api


def link(app, asked=ASKED):
    return f"/v2/unsubscribe/{write_unsubscribe_token(asked, app.app.state.runtime.unsubscribe_keys[0])}"


def notes(home):
    return sorted((home / INBOX).glob("*")) if (home / INBOX).exists() else []


@given(
    asked=st.builds(Unsubscribe, st.integers(1, 2**63 - 1), st.sampled_from(["email", "push", "in_app"]),
                    st.sampled_from(["all", "social", "billing"])),
    place=st.integers(0, 200), flip=st.integers(1, 255),
)  # fmt: skip
def test_a_token_says_what_was_signed_and_no_other_text_does(asked, place, flip):
    text = write_unsubscribe_token(asked, KEY)
    assert read_unsubscribe_token(text, [b"newer" * 8, KEY]) == asked
    at = place % len(text)
    changed = text[:at] + chr((ord(text[at]) + flip) % 256) + text[at + 1 :]
    for other, keys in ((changed, [KEY]), (text + "=", [KEY]), (text[:-1], [KEY]), (text, [b"other" * 8]), (text, [])):
        with pytest.raises(UnsubscribeInvalid):
            read_unsubscribe_token(other, keys)


def test_a_cursor_of_the_same_key_is_no_unsubscribe_token():
    cursor = Cursor("feed", "ranked", 42, "g", True, 1, "x")
    with pytest.raises(UnsubscribeInvalid):
        read_unsubscribe_token(write_cursor(cursor, KEY), [KEY])


def test_a_click_leaves_one_note_and_says_so(app, home):
    response = app.request("POST", link(app), data=FORM)
    assert response.status_code == 200
    assert_shape("Unsubscribed", response.json())
    assert response.json() == {"status": "unsubscribed", "channel": "email", "category": "all"}
    (note,) = notes(home)
    assert read_note(note)[0] == ASKED
    assert (home / INBOX).stat().st_mode & 0o077 == 0


def test_a_second_click_changes_nothing(app, home):
    first = app.request("POST", link(app), data=FORM)
    before = {path: path.read_bytes() for path in notes(home)}
    again = app.request("POST", link(app), data=FORM)
    assert (again.status_code, again.content) == (200, first.content)
    assert {path: path.read_bytes() for path in notes(home)} == before


def test_the_form_may_be_multipart(app, home):
    response = app.request("POST", link(app), files={"List-Unsubscribe": (None, "One-Click")})
    assert response.status_code == 200
    assert len(notes(home)) == 1


@pytest.mark.parametrize(
    "sent",
    [{}, {"data": {"List-Unsubscribe": "yes"}}, {"json": FORM}, {"content": b"\xff\xfe"},
     {"content": b"--x", "headers": {"content-type": "multipart/form-data"}},
     {"content": b"List-Unsubscribe=One-Click", "headers": {"content-type": "multipart/form-data; boundary=x"}}],
    ids=str,
)  # fmt: skip
def test_another_body_is_refused_and_changes_nothing(app, home, sent):
    response = app.request("POST", link(app), **sent)
    assert response.status_code == 422
    assert_shape("Problem", response.json())
    assert notes(home) == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_looking_at_a_link_changes_nothing(app, home, method):
    response = app.request(method, link(app))
    assert response.status_code == (204 if method == "OPTIONS" else 200)
    assert notes(home) == []
    if method == "OPTIONS":
        assert response.headers["allow"] == "GET, HEAD, OPTIONS, POST"


def test_the_page_has_one_button_runs_nothing_and_tells_nobody(app):
    page = app.get(link(app))
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text.count("<button") == 1
    assert 'lang="en"' in page.text
    assert "<script" not in page.text
    assert "http://" not in page.text
    assert "42" not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert (page.headers["referrer-policy"], page.headers["cache-control"]) == ("no-referrer", "no-store")


def test_a_person_who_clicks_sees_a_page(app):
    done = app.request("POST", link(app), data=FORM, headers={"accept": "text/html,*/*;q=0.8"})
    assert done.headers["content-type"].startswith("text/html")
    assert 'role="status"' in done.text


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "change", [lambda t: t[:-2], lambda t: t + "A", lambda t: "x", lambda t: t.upper(), lambda t: "a" * 3000,
               lambda t: "%F0%9F%90%88", lambda t: "%00"]
)  # fmt: skip
def test_a_changed_link_is_a_problem(app, home, method, change):
    path, _, token = link(app).rpartition("/")
    response = app.request(method, f"{path}/{change(token)}", data=FORM if method == "POST" else None)
    told = response.json()
    assert_shape("Problem", told)
    assert (response.status_code, told["type"].rpartition("/")[2]) == (400, "invalid-parameter")
    assert [error["pointer"] for error in told["errors"]] == ["#/path/token"]
    assert "old" not in told["detail"], "links do not expire"
    assert notes(home) == []


def test_links_stay_good_while_their_key_is_on_the_list(tmp_path):
    token = write_unsubscribe_token(ASKED, b"old-key")
    for keys, status in ((["new-key", "old-key"], 200), (["new-key"], 400)):
        secret = SecretSettings(unsubscribe_keys=keys)
        with running(Settings(home=tmp_path, env="test", secret=secret)) as app:
            assert app.request("POST", f"/v2/unsubscribe/{token}", data=FORM).status_code == status


def test_who_clicks_too_often_waits_and_the_users_own_requests_do_not(tmp_path):
    with running(Settings(home=tmp_path, env="test", api=ApiSettings(rate_user="3/60"))) as app:
        answers = [app.request("POST", link(app), data=FORM) for _ in range(4)]
        assert [a.status_code for a in answers] == [200, 200, 200, 429]
        assert int(answers[-1].headers["retry-after"]) > 0
        assert app.request("POST", link(app, Unsubscribe(43, "email")), data=FORM).status_code == 200
        assert app.get("/v2/me/feed", 42).status_code == 503, "not 429: nothing is published, that is all"


def test_a_full_disk_is_said_and_leaves_nothing_half_written(app, home):
    """Beyond the file size limit a write fails as on a full disk: in the middle of the note."""
    path = link(app)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        refused = app.request("POST", path, data=FORM)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert_shape("Problem", refused.json())
    assert notes(home) == []
    assert app.request("POST", path, data=FORM).status_code == 200


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_cannot_be_written_is_said(app, home):
    (home / INBOX).mkdir(mode=0o500)
    assert app.request("POST", link(app), data=FORM).status_code == 503


def test_what_a_problem_says_holds_no_more_than_was_sent(app):
    assert "42" not in json.dumps(app.get("/v2/unsubscribe/x").json()["detail"])
