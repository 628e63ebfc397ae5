"""schemathesis over the whole OpenAPI document, all its checks (spec 06.4, 07.4).

Beside tests/api/test_fuzz.py, whose requests are odder and whose answers are held against the contract.
"""

from __future__ import annotations

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS, load_all_checks

from api.auth import demo_token
from store.payloads import kept_key
from store.payloads.unsubscribes import Unsubscribe, write_unsubscribe_token
from store.settings import ApiSettings
from tests.support.api import READER, published

load_all_checks()
CHECKED = tuple(CHECKS.get_all())
EXAMPLES = 200 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 15
pytestmark = pytest.mark.slow
schema = schemathesis.pytest.from_fixture("document")


@pytest.fixture(scope="module")
def roomy(tmp_path_factory):
    """An app of its own, that so many requests do not tire."""
    api = ApiSettings(rate_user="1000000/60", rate_service="1000000/60")
    with published(tmp_path_factory.mktemp("schemathesis"), api=api) as running:
        yield running


@pytest.fixture
def document(roomy):
    return schemathesis.openapi.from_asgi("/openapi.json", roomy.app)


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_operation_fails_a_check(case, roomy):
    roles = {"/v2/metrics": "analyst", "/v2/generations": "operator", "/v2/users": "service"}
    role = next((role for prefix, role in roles.items() if case.path.startswith(prefix)), "user")
    if "token" in (case.path_parameters or {}) and case.path_parameters["token"].startswith("a"):
        key = kept_key(roomy.settings.home, "unsubscribe")
        case.path_parameters["token"] = write_unsubscribe_token(Unsubscribe(READER, "email"), key)
    needs_token = case.operation.definition.raw.get("security")
    headers = {"Authorization": f"Bearer {demo_token(roomy.settings, READER, role=role)}"} if needs_token else {}
    case.call_and_validate(headers=headers, checks=CHECKED)
