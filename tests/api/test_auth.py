"""Bearer tokens: what is verified, what is refused, what is remembered (spec 06.2, 06.4)."""

import base64
import hmac
import json
import time

import pytest
from joserfc import jwk, jwt
from joserfc.errors import SecurityWarning

from api import auth
from api.auth import MAX_TOKEN_BYTES, TokenInvalid, Verifier, demo_token
from api.keyring import KeyRing, KeysUnusable, demo_key
from store.settings import AuthSettings, Settings

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")

KINDS = {
    "RS256": lambda kid: jwk.RSAKey.generate_key(2048, {"kid": kid, "use": "sig"}),
    "ES256": lambda kid: jwk.ECKey.generate_key("P-256", {"kid": kid, "use": "sig"}),
    "EdDSA": lambda kid: jwk.OKPKey.generate_key("Ed25519", {"kid": kid}),
}


def claims(**changes):
    now = int(time.time())
    made = {"iss": "flowforge-demo", "aud": "flowforge", "sub": "42", "nbf": now, "exp": now + 600} | changes
    return {name: value for name, value in made.items() if value is not None}


def signed(key, algorithm, kid=None, **changes):
    header = {"alg": algorithm} | ({"kid": kid} if kid else {})
    return jwt.encode(header, claims(**changes), key, algorithms=[algorithm])


def raw(header, body, signature=b""):
    return ".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=").decode()
        for part in (json.dumps(header).encode(), json.dumps(body).encode(), signature)
    )


def verifier(settings):
    return Verifier(settings, KeyRing(settings))


@pytest.fixture
def demo(tmp_path):
    return Settings(home=tmp_path)


@pytest.fixture(scope="module")
def keys():
    return {name: make(f"{name}-1") for name, make in KINDS.items()}


@pytest.fixture
def with_jwks(tmp_path, keys):
    """Settings with a JWKS file of one key per algorithm, the keys, and the file."""
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [key.as_dict(private=False) for key in keys.values()]}))
    return Settings(home=tmp_path, auth=AuthSettings(jwks=str(path))), keys, path


def test_a_demo_token_names_its_user(demo):
    principal = verifier(demo).verify(demo_token(demo, 42))
    assert (principal.user_id, principal.role) == (42, "user")


def test_the_demo_key_is_readable_by_its_owner_only(demo):
    demo_key(demo)
    assert (demo.home / "secrets" / "demo_jwt.key").stat().st_mode & 0o777 == 0o600
    assert (demo.home / "secrets").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("algorithm", KINDS)
def test_a_token_signed_with_a_key_of_the_jwks_is_accepted(with_jwks, algorithm):
    settings, keys, _ = with_jwks
    assert verifier(settings).verify(signed(keys[algorithm], algorithm, f"{algorithm}-1")).user_id == 42


@pytest.mark.parametrize(
    "changes",
    [{"iss": "someone-else"}, {"iss": None}, {"aud": "other"}, {"aud": None}, {"aud": ["other"]}, {"aud": []},
     {"exp": 1}, {"exp": None}, {"exp": True}, {"exp": "soon"}, {"exp": 1e300}, {"nbf": None},
     {"nbf": 4_000_000_000}, {"sub": None}, {"sub": ""}, {"sub": 42}, {"role": "admin"},
     {"role": "anonymous"}, {"scope": ["feed:read"]}],
    ids=str,
)  # fmt: skip
def test_a_token_whose_claims_do_not_hold_is_refused(demo, changes):
    with pytest.raises(TokenInvalid):
        verifier(demo).verify(signed(demo_key(demo), "HS256", **changes))


@pytest.mark.parametrize(
    ("sub", "told"), [(None, "has no sub"), ("", "has no sub"), (42, "sub is not text"), (["42"], "sub is not text"),
                      (0, "sub is not text"), (False, "sub is not text")]
)  # fmt: skip
def test_a_sub_that_is_missing_and_one_that_is_no_text_are_told_apart(demo, sub, told):
    with pytest.raises(TokenInvalid, match=told):
        verifier(demo).verify(signed(demo_key(demo), "HS256", sub=sub))


def test_an_audience_may_be_one_of_several(demo):
    token = signed(demo_key(demo), "HS256", aud=["other", "flowforge"])
    assert verifier(demo).verify(token).user_id == 42


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", ""])
def test_an_unsigned_token_is_refused(demo, with_jwks, algorithm):
    token = raw({"alg": algorithm}, claims())
    for settings in (demo, with_jwks[0]):
        with pytest.raises(TokenInvalid):
            verifier(settings).verify(token)


def test_a_public_key_used_as_a_shared_secret_is_refused(with_jwks):
    settings, keys, _ = with_jwks
    for name, key in keys.items():
        for secret in (key.as_pem(private=False), json.dumps(key.as_dict(private=False)).encode()):
            unsigned = raw({"alg": "HS256", "kid": f"{name}-1"}, claims()).rstrip(".")
            signature = base64.urlsafe_b64encode(hmac.digest(secret, unsigned.encode(), "sha256")).rstrip(b"=").decode()
            with pytest.raises(TokenInvalid):
                verifier(settings).verify(f"{unsigned}.{signature}")


def test_the_demo_key_is_refused_beside_a_jwks(demo, with_jwks):
    token = demo_token(demo, 42)
    with pytest.raises(TokenInvalid):
        verifier(with_jwks[0]).verify(token)
    with pytest.raises(KeysUnusable):
        demo_token(with_jwks[0], 42)


@pytest.mark.parametrize("kid", [None, "RS256-2", "../RS256-1", 7])
def test_a_kid_that_is_not_on_the_list_is_refused(with_jwks, kid):
    settings, keys, _ = with_jwks
    header = {"alg": "RS256"} | ({} if kid is None else {"kid": kid})
    good = signed(keys["RS256"], "RS256", "RS256-1")
    verifier(settings).verify(good)
    first = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    with pytest.raises(TokenInvalid):
        verifier(settings).verify(".".join([first, *good.split(".")[1:]]))


def test_a_key_of_another_kid_or_kind_does_not_verify(with_jwks):
    settings, keys, _ = with_jwks
    for algorithm, kid in (("RS256", "ES256-1"), ("ES256", "EdDSA-1"), ("EdDSA", "RS256-1")):
        with pytest.raises(TokenInvalid):
            verifier(settings).verify(signed(keys[algorithm], algorithm, kid))


def test_a_changed_token_is_refused(demo):
    checked = verifier(demo)
    head, body, signature = demo_token(demo, 42).split(".")
    other = demo_token(demo, 43).split(".")[1]
    for token in (
        f"{head}.{other}.{signature}",
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{head}.{body}.{signature[:-4]}",
    ):
        with pytest.raises(TokenInvalid):
            checked.verify(token)


def test_an_oversize_token_is_refused_before_it_is_read(demo):
    with pytest.raises(TokenInvalid, match="longer"):
        verifier(demo).verify(demo_token(demo, "x" * MAX_TOKEN_BYTES))


def test_a_critical_header_we_do_not_know_is_refused(demo):
    unsigned = raw({"alg": "HS256", "crit": ["moon"], "moon": "full"}, claims()).rstrip(".")
    secret = demo_key(demo).raw_value
    signature = base64.urlsafe_b64encode(hmac.digest(secret, unsigned.encode(), "sha256")).rstrip(b"=").decode()
    with pytest.raises(TokenInvalid):
        verifier(demo).verify(f"{unsigned}.{signature}")


def test_a_rotated_key_is_taken_up_and_the_old_one_refused(with_jwks):
    settings, keys, path = with_jwks
    ring = KeyRing(settings)
    checked = Verifier(settings, ring)
    old = signed(keys["ES256"], "ES256", "ES256-1")
    checked.verify(old)
    rotated = KINDS["ES256"]("ES256-2")
    path.write_text(json.dumps({"keys": [rotated.as_dict(private=False)]}))
    ring.refresh()
    assert checked.verify(signed(rotated, "ES256", "ES256-2")).user_id == 42
    with pytest.raises(TokenInvalid):
        checked.verify(old)


@pytest.mark.parametrize(
    "content", ["", "{", '{"keys": []}', '{"keys": [{"kty": "oct", "kid": "a", "k": "c2VjcmV0"}]}']
)
def test_a_broken_jwks_keeps_the_last_good_keys(with_jwks, content):
    settings, keys, path = with_jwks
    ring = KeyRing(settings)
    path.write_text(content)
    ring.refresh()
    assert ring.last_error is not None
    assert Verifier(settings, ring).verify(signed(keys["ES256"], "ES256", "ES256-1")).user_id == 42
    with pytest.raises(KeysUnusable):
        KeyRing(settings)


def test_production_does_not_start_without_a_jwks(tmp_path):
    with pytest.raises(KeysUnusable, match="AUTH__JWKS"):
        KeyRing(Settings(home=tmp_path, env="production"))
    with pytest.raises(KeysUnusable):
        demo_token(Settings(home=tmp_path, env="production"), 42)


def test_a_remembered_token_does_not_outlive_its_expiry(demo, monkeypatch):
    checked = verifier(demo)
    token = demo_token(demo, 42, ttl_seconds=30)
    checked.verify(token)
    later = time.time() + 31
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(TokenInvalid, match="expired"):
        checked.verify(token)


def test_the_memory_of_tokens_is_bounded(demo, monkeypatch):
    monkeypatch.setattr(auth, "CACHE_ENTRIES", 3)
    checked = verifier(demo)
    for user_id in range(5):
        checked.verify(demo_token(demo, user_id))
    assert len(checked._cache) == 3
    assert checked.verify(demo_token(demo, 0)).user_id == 0


def test_verifying_warns_nobody(with_jwks, recwarn):
    settings, keys, _ = with_jwks
    token = signed(keys["EdDSA"], "EdDSA", "EdDSA-1")
    recwarn.clear()
    verifier(settings).verify(token)
    assert not [w for w in recwarn if issubclass(w.category, SecurityWarning)]
