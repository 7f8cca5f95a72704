"""What /openapi.json says is what the controller answers."""

import re

import jsonschema
import pytest

from contract import server


@pytest.fixture(scope="module")
def document(controller, admin):
    answer = admin.get(controller.url + "/openapi.json")
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("application/json")
    assert admin.get("openapi.json").json() == answer.json()
    return answer.json()


def inside(value):
    """Every object in a document."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from inside(item)


def test_the_document_is_whole(document, admin):
    assert document["openapi"].startswith("3.1")
    for one in inside(document):
        if "$ref" in one and isinstance(one["$ref"], str):
            at = document
            assert one["$ref"].startswith("#/"), one
            for part in one["$ref"][2:].split("/"):
                at = at[part]
    names = [op["operationId"] for path in document["paths"].values() for op in path.values()
             if isinstance(op, dict) and "operationId" in op]
    assert len(names) == len(set(names)) > 150
    words = {"operationId", "summary", "description", "tags", "parameters", "requestBody", "responses", "security", "deprecated"}
    for path, item in document["paths"].items():
        assert item.keys() <= {"summary", "parameters", "get", "put", "post", "patch", "delete"}, path
        for method in item.keys() - {"summary", "parameters"}:
            op = item[method]
            assert {k for k in op if not k.startswith("x-")} <= words and op["responses"] and not (method == "get" and "requestBody" in op), path
            assert all(re.fullmatch(r"[1-5](\d\d|XX)|default", status) and ("$ref" in answer or "description" in answer) for status, answer in op["responses"].items()), path
            assert all(p["in"] in ("query", "header") and p["schema"] for p in op.get("parameters", [])), path
        assert re.findall(r"{(\w+)}", path) == [p["name"] for p in item.get("parameters", [])], path
    model = admin.get("model").json()
    for kind in model["kinds"]:
        assert (f"/api/{kind['kind']}" in document["paths"]) == (not kind.get("runtime")), kind["kind"]
    for name, schema in document["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        if name in model["messages"]:
            assert list(schema["properties"]) == [f["name"] for f in model["messages"][name]["fields"]]


def test_answers_are_as_described(document, admin):
    admin.make("pool", name="described", servers=[server("10.0.0.1", port=80)])
    kinds = [k for k in admin.get("model").json()["kinds"] if not k.get("runtime")]
    seen = 0
    for kind in kinds:
        answer = admin.get(kind["kind"]).json()
        schema = {"$ref": f"#/components/schemas/{kind['message']}", "components": document["components"]}
        check = jsonschema.Draft202012Validator(schema)
        for one in answer.get("results", [answer]):
            check.validate(one)
            seen += 1
    assert seen > 40
    check = jsonschema.Draft202012Validator({"$ref": "#/components/schemas/Pool", "components": document["components"]})
    for wrong in ({}, {"name": 1}, {"name": "x", "default_server_port": 70000}, {"name": "x", "lb_algorithm": "NO"},
                  {"name": "x", "servers": [{"port": 80}]}):
        assert not check.is_valid(wrong), wrong


def test_what_is_no_kind_is_in_it_too(document, admin):
    paths = document["paths"]
    assert paths["/login"]["post"]["security"] == [] and "security" not in paths["/logout"]["post"]
    assert "multipart/form-data" in paths["/api/fileservice/{path}"]["post"]["requestBody"]["content"]
    assert {"post", "put", "delete"} <= set(paths["/api/macro"])
    for path in ("/api/virtualservice/{uuid}/runtime", "/api/pool-inventory", "/api/cluster", "/api/cluster/runtime", "/api/virtualservice/{uuid}/why"):
        assert "get" in paths[path], path
    migrate = paths["/api/virtualservice/{uuid}/migrate"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert "to_se_ref" in migrate["properties"]
    # An action that is answered later is one all the same, here and for the shell.
    actions = {a["name"] for k in admin.get("model").json()["kinds"] for a in k["actions"] if k["kind"] == "virtualservice"}
    assert {"save-packets", "clone-test", "migrate"} <= actions
    for path, item in paths.items():
        if "get" in item and "{" not in path:
            assert admin.get(admin.controller.url + path).status_code in (200, 400), path
