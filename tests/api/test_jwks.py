"""Keys from a real JWKS server: rotated, slow, huge, broken or down, without a restart (06.2, 06.4)."""

from __future__ import annotations

import http.server
import json
import threading
import time

import httpx
import pytest
from joserfc import jwk, jwt

from api import keyring
from api.auth import TokenInvalid, Verifier
from api.keyring import KeyRing, KeysUnusable
from store.settings import AuthSettings, Settings
from tests.support.api import READER, frames, running
from tests.support.server import api_server
from tests.support.serving import small_generation

OLD, NEW = (jwk.ECKey.generate_key("P-256", {"kid": kid, "use": "sig"}) for kid in ("old", "new"))


def token(key):
    now = int(time.time())
    claims = {"iss": "flowforge-demo", "aud": "flowforge", "sub": str(READER), "nbf": now, "exp": now + 600}
    return jwt.encode({"alg": "ES256", "kid": key.kid}, claims, key, algorithms=["ES256"])


def jwks(*keys):
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


class Issuer:
    """A server of keys: says ``body`` with ``status``; ``drips`` makes it send a byte at a time, without end."""

    def __init__(self):
        self.body, self.status, self.drips, self.asked = jwks(OLD), 200, False, 0
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked += 1
                self.send_response(issuer.status)
                self.end_headers()
                try:
                    while issuer.drips:
                        self.wfile.write(b" ")
                        time.sleep(0.02)
                    self.wfile.write(issuer.body)
                except OSError:
                    pass

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self):
        self.drips = False
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def issuer():
    made = Issuer()
    yield made
    if made._thread.is_alive():
        made.close()


@pytest.fixture
def at_once(monkeypatch):
    """The URL is asked at every look, and answers within half a second or not."""
    monkeypatch.setattr(keyring, "URL_REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(keyring, "URL_TIMEOUT_SECONDS", 0.5)


@pytest.fixture
def settings(tmp_path, issuer):
    return Settings(home=tmp_path, auth=AuthSettings(jwks=issuer.url))


def test_a_rotated_key_is_accepted_and_the_old_one_refused_though_remembered(settings, issuer, at_once):
    ring = KeyRing(settings)
    verifier = Verifier(settings, ring)
    assert verifier.verify(token(OLD)).user_id == READER
    issuer.body = jwks(NEW)
    remembered = token(OLD)
    verifier.verify(remembered)
    ring.refresh()
    assert verifier.verify(token(NEW)).user_id == READER
    assert list(verifier._cache) and remembered not in verifier._cache
    with pytest.raises(TokenInvalid):
        verifier.verify(remembered)


def test_while_both_keys_are_published_both_are_accepted(settings, issuer, at_once):
    ring = KeyRing(settings)
    issuer.body = jwks(NEW, OLD)
    ring.refresh()
    assert {Verifier(settings, ring).verify(token(key)).user_id for key in (OLD, NEW)} == {READER}


def test_a_url_is_not_asked_at_every_look(settings, issuer):
    ring = KeyRing(settings)
    for _ in range(20):
        ring.refresh()
    assert issuer.asked == 1


def failing(issuer, how):
    """Make the issuer fail in one way."""
    if how == "down":
        issuer.close()
    issuer.drips = how == "drips"
    issuer.status = {"500": 500, "404": 404}.get(how, 200)
    issuer.body = {"huge": b'{"keys": [' + b" " * (2 << 20) + b"]}", "no json": b"<html>", "a list": b"[]",
                   "no keys": b'{"keys": []}',
                   "symmetric": b'{"keys": [{"kty": "oct", "kid": "old", "k": "c2VjcmV0"}]}',
                   "broken key": b'{"keys": [{"kty": "EC", "kid": "old", "crv": "P-256", "x": "AA", "y": "AA"}]}',
                   }.get(how, jwks(NEW))  # fmt: skip


FAILURES = ["down", "drips", "500", "404", "huge", "no json", "a list", "no keys", "symmetric", "broken key"]


@pytest.mark.parametrize("how", FAILURES)
def test_a_jwks_that_fails_keeps_the_last_good_keys_and_says_so(settings, issuer, at_once, how):
    ring = KeyRing(settings)
    failing(issuer, how)
    ring.refresh()
    assert ring.last_error
    verifier = Verifier(settings, ring)
    assert verifier.verify(token(OLD)).user_id == READER
    with pytest.raises(TokenInvalid):
        verifier.verify(token(NEW))


def test_an_error_stays_said_until_the_next_look(settings, issuer, monkeypatch, at_once):
    ring = KeyRing(settings)
    failing(issuer, "500")
    ring.refresh()
    monkeypatch.setattr(keyring, "URL_REFRESH_SECONDS", 60.0)
    ring.refresh()
    assert ring.last_error
    monkeypatch.setattr(keyring, "URL_REFRESH_SECONDS", 0.0)
    issuer.status, issuer.body = 200, jwks(OLD)
    ring.refresh()
    assert ring.last_error is None


def test_keys_that_could_not_be_looked_at_for_too_long_are_given_up(settings, issuer, at_once, monkeypatch):
    ring = KeyRing(settings)
    verifier = Verifier(settings, ring)
    known = token(OLD)
    verifier.verify(known)
    failing(issuer, "500")
    later = time.monotonic() + settings.auth.jwks_max_age_seconds
    for seconds, status, is_good in ((-10, 500, True), (10, 500, False), (20, 200, True)):
        issuer.status, issuer.body = status, jwks(OLD)
        with monkeypatch.context() as patched:
            patched.setattr(time, "monotonic", lambda at=later + seconds: at)
            ring.refresh()
        if is_good:
            assert verifier.verify(known).user_id == READER
        else:
            with pytest.raises(TokenInvalid):
                verifier.verify(known)


@pytest.mark.parametrize("how", FAILURES)
def test_the_api_does_not_start_on_a_jwks_it_cannot_use(settings, issuer, at_once, how):
    failing(issuer, how)
    with pytest.raises(KeysUnusable):
        KeyRing(settings)


def test_a_slow_jwks_holds_up_neither_requests_nor_generations(settings, issuer, at_once):
    small_generation(settings.home, frames=frames())
    with running(settings) as api:
        issuer.drips = True
        bearer = token(OLD)
        assert api.request("GET", "/v2/me/feed", token=bearer).status_code == 200
        api.refresh()
        assert api.request("GET", "/v2/me/feed", token=bearer).status_code == 200
        issuer.drips = False


def test_a_running_server_takes_up_a_rotation(tmp_path):
    small_generation(tmp_path, frames=frames())
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks(OLD))
    with api_server(tmp_path, AUTH__JWKS=str(path)) as server:

        def status(key):
            return httpx.get(f"{server.url}/v2/me/feed", headers={"authorization": f"Bearer {token(key)}"}).status_code

        assert (status(OLD), status(NEW)) == (200, 401)
        draft = tmp_path / "draft"
        draft.write_bytes(jwks(NEW))
        draft.replace(path)
        for _ in range(200):
            if status(NEW) == 200:
                break
            time.sleep(0.05)
        assert (status(OLD), status(NEW)) == (401, 200)
