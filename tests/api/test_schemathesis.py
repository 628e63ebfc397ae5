"""schemathesis over the whole OpenAPI document, all its checks (spec 06.4, 07.4).

Beside tests/api/test_fuzz.py, whose requests are odder and whose answers are held against the contract.
"""

from __future__ import annotations

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig

from api.auth import demo_token
from store.payloads import kept_key
from store.payloads.unsubscribes import Unsubscribe, write_unsubscribe_token
from store.settings import ApiSettings
from tests.support.api import READER, published

load_all_checks()
CHECKED = tuple(CHECKS.get_all())
EXAMPLES = 200 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 15
ACCEPTED = ["2xx", "3xx", 400, 401, 403, 404, 409, 422, 429, "5xx"]
"""What a request may get that the document allows. No document tells how a cursor is signed (400), or that a period
of two dates is too long (422)."""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def roomy(tmp_path_factory):
    """An app of its own, that so many requests do not tire."""
    api = ApiSettings(rate_user="1000000/60", rate_service="1000000/60")
    with published(tmp_path_factory.mktemp("schemathesis"), api=api) as running:
        yield running


def test_no_operation_fails_a_check(roomy):
    config = SchemathesisConfig.from_dict({"checks": {"positive_data_acceptance": {"expected-statuses": ACCEPTED}}})
    document = schemathesis.openapi.from_asgi("/openapi.json", roomy.app, config=config)
    operations = [found.ok() for found in document.get_all_operations()]
    assert len(operations) > 30
    for operation in operations:
        held(operation, roomy)


def held(operation, roomy):
    """Odd and plain requests of one operation, each answer judged by every check."""

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def asked(case):
        case.call_and_validate(headers=headers_of(case, roomy), checks=CHECKED)

    asked()


def headers_of(case, roomy):
    """The token that the operation asks for; some of the unsubscribe links are made good ones."""
    if (case.path_parameters or {}).get("token", "").startswith("a"):
        key = kept_key(roomy.settings.home, "unsubscribe")
        case.path_parameters["token"] = write_unsubscribe_token(Unsubscribe(READER, "email"), key)
    if not case.operation.definition.raw.get("security"):
        return {}
    roles = {"/v2/metrics": "analyst", "/v2/generations": "operator", "/v2/users": "service"}
    role = next((role for prefix, role in roles.items() if case.path.startswith(prefix)), "user")
    return {"Authorization": f"Bearer {demo_token(roomy.settings, READER, role=role)}"}
