"""Every answer, every model and the OpenAPI document against the API's contract (spec 06.2)."""

import json
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from starlette.routing import WebSocketRoute

from api import routes
from api.docs import openapi_text
from api.problems import KINDS, TYPE_BASE
from api.scopes import SCOPES
from store import payloads
from store.payloads import METRICS
from tests.api.test_access import DIGEST, PATHS
from tests.support.api import EMPTY, READER, SUGGESTED, UNKNOWN, assert_shape, contract

ROOT = Path(__file__).resolve().parents[2]
INLINED = {"Id", "Instant", "State"}
NOT_IN_OPENAPI = {"Event"}


@pytest.mark.parametrize("entry", routes.PERSONAL, ids=lambda p: p.path)
@pytest.mark.parametrize("user", [READER, SUGGESTED, EMPTY, UNKNOWN])
def test_what_a_person_reads_has_the_shape_of_the_contract(api, entry, user):
    response = api.get(f"/v2/me{PATHS[entry.path]}", user)
    assert response.status_code in ((200, 404, 503) if "{" in entry.path else (200,)), response.text
    assert_shape(entry.model.__name__ if response.status_code == 200 else "Problem", response.json())


@pytest.mark.parametrize("entry", routes.FORMER, ids=lambda f: f.path)
@pytest.mark.parametrize("user", [READER, EMPTY, UNKNOWN])
def test_what_v1_answers_has_the_shape_of_the_contract(api, entry, user):
    assert_shape(entry.model.__name__, api.read(entry.path, user))


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_has_the_shape_of_the_contract(api, metric):
    response = api.request("GET", f"/v2/metrics/{metric}", token=api.token("ada", "analyst"))
    assert_shape("MetricPage", response.json())
    assert response.json()["metric"] == metric


def test_what_operators_read_has_the_shape_of_the_contract(api):
    token = api.token("grace", "operator")
    listed = api.request("GET", "/v2/generations", token=token).json()
    current = api.request("GET", "/v2/generations/current", token=token).json()
    assert_shape("GenerationList", listed)
    assert_shape("Generation", current)
    assert listed["data"] == [current]
    assert current["status"] == "live"
    assert_shape("Ready", api.get("/readyz").json())


@pytest.mark.parametrize("path", ["/v2/me/feed?limit=0", "/nope", f"/v2/me/digests/{DIGEST[::-1]}", "/v2/generations"])
def test_a_problem_has_the_shape_of_the_contract(api, path):
    for user in (None, READER):
        response = api.get(path, user)
        assert response.status_code >= 400
        assert_shape("Problem", response.json())
        assert response.json()["instance"] == path.partition("?")[0]


def test_a_list_item_is_an_item_of_the_contract(api):
    for path, shape in (("feed", "FeedItem"), ("digests", "Digest"), ("entitlements", "Entitlement")):
        for item in api.read(f"/v2/me/{path}", READER)["data"]:
            assert_shape(shape, item)


def test_our_models_read_every_example_of_the_contract():
    for name, example in contract()["x-examples"].items():
        read = TypeAdapter(getattr(payloads, name)).validate_python(example)
        dumped = read.model_dump(mode="json", by_alias=True, exclude_unset=True)
        assert dumped == example


def ordered(schema):
    return json.dumps(schema, sort_keys=True).replace(".0", "")


def normal(schema, definitions):
    """A schema without titles and descriptions, its small parts written out."""
    if isinstance(schema, list):
        return [normal(s, definitions) for s in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return normal(definitions[name], definitions)
    kept = {k: v for k, v in schema.items() if k not in ("title", "description", "default", "format", "$defs")}
    if isinstance(kept.get("const"), str) or "enum" in kept:
        kept.pop("type", None)
    if "const" in kept:
        kept = {"enum": [kept["const"]]}
    if "properties" in kept:
        kept["properties"] = {n: normal(p, definitions) for n, p in kept["properties"].items()}
        kept["required"] = sorted(kept.get("required", ()))
    if "items" in kept:
        kept["items"] = normal(kept["items"], definitions)
    for union in ("anyOf", "oneOf"):
        if union in kept:
            kept["union"] = sorted((normal(s, definitions) for s in kept.pop(union)), key=ordered)
    return kept


def test_the_components_of_the_openapi_document_are_the_shapes_of_the_contract(api):
    shapes, components = contract()["$defs"], api.app.openapi()["components"]["schemas"]
    assert set(shapes) - INLINED - NOT_IN_OPENAPI <= set(components)
    for name in set(shapes) - INLINED - NOT_IN_OPENAPI:
        ours, theirs = normal(components[name], components), normal(shapes[name], shapes)
        assert ours == theirs, name


def test_the_events_of_the_live_connection_are_the_shapes_of_the_contract():
    shapes = contract()["$defs"]
    for name in NOT_IN_OPENAPI:
        schema = TypeAdapter(getattr(payloads, name)).json_schema(mode="serialization")
        schema.pop("discriminator", None)
        assert normal(schema, schema.get("$defs", {})) == normal(shapes[name], shapes), name


def test_dates_and_instants_say_their_format(api):
    components = api.app.openapi()["components"]["schemas"]
    assert components["FeedItem"]["properties"]["last_activity_at"]["format"] == "date-time"
    assert components["UsageDay"]["properties"]["date"]["format"] == "date"


def test_no_output_field_has_a_default(api):
    for name, schema in api.app.openapi()["components"]["schemas"].items():
        for field, property_ in schema["properties"].items():
            assert "default" not in property_ or (name, field) == ("Problem", "errors")


def test_every_path_of_the_contract_is_served(api):
    served = {f"{method.upper()} {path}" for path, item in api.app.openapi()["paths"].items() for method in item}
    served |= {f"WS {route.path}" for route in api.app.routes if isinstance(route, WebSocketRoute)}
    assert {e for e in contract()["x-endpoints"] if "|" not in e and "{any" not in e} - served == set()


def answers(document):
    """Every answer with a body of every operation."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for status, answer in operation["responses"].items():
                for media_type, media in answer.get("content", {}).items():
                    yield f"{method} {path} {status}", media_type, media


def test_every_operation_tells_what_any_request_may_be_answered(api):
    for path, item in api.app.openapi()["paths"].items():
        for operation in item.values():
            told = set(operation["responses"])
            assert {"413", "414", "431", "500"} <= told, path
            assert "429" in told or path in ("/livez", "/readyz", "/metrics"), path
            assert list(operation["responses"]) == sorted(told), path


def test_every_answer_in_the_document_has_an_example_of_its_shape(api):
    document = api.app.openapi()
    seen = set()
    for where, media_type, media in answers(document):
        if "json" not in media_type:
            continue
        (example,) = media["examples"].values()
        if "$ref" in example:
            example = document["components"]["examples"][example["$ref"].rpartition("/")[2]]
        name = media["schema"]["$ref"].rpartition("/")[2]
        assert_shape(name, example["value"])
        seen.add(name)
        if name == "Problem":
            value = example["value"]
            assert str(value["status"]) == where.rpartition(" ")[2], where
            assert value["type"] == "about:blank" or value["type"].removeprefix(TYPE_BASE) in KINDS, where
    assert seen == set(contract()["x-examples"]) - NOT_IN_OPENAPI


def test_the_examples_of_the_document_are_those_of_the_contract():
    ours = json.loads((ROOT / "api" / "examples.json").read_text())
    theirs = contract()["x-examples"]
    assert ours == {name: value for name, value in theirs.items() if name not in NOT_IN_OPENAPI | {"Problem"}}


def test_the_document_in_the_docs_is_current():
    frozen = (ROOT / "docs" / "openapi.json").read_text()
    assert frozen == openapi_text(), "run `python -m api.docs > docs/openapi.json`"


def test_every_path_scope_and_problem_is_in_the_guide(api):
    guide = (ROOT / "docs" / "api.md").read_text()
    for path in api.app.openapi()["paths"]:
        assert f"`{path.replace('/v2/users/{user_id}', '/v2/me')}`" in guide, path
    for scope in SCOPES["service"] | SCOPES["operator"]:
        assert f"`{scope}`" in guide
    for slug in KINDS:
        assert f"`{slug}`" in guide


def test_the_guides_permission_table_is_the_table_of_scopes():
    guide = (ROOT / "docs" / "api.md").read_text()
    for role, scopes in SCOPES.items():
        row = next(line for line in guide.splitlines() if line.startswith(f"| `{role}` |"))
        cells = [cell.strip() for cell in row.strip("|").split("|")][1:]
        header = next(line for line in guide.splitlines() if line.startswith("| role |"))
        named = [cell.strip().strip("`") for cell in header.strip("|").split("|")][1:]
        assert {scope for scope, cell in zip(named, cells, strict=True) if cell == "yes"} == scopes
