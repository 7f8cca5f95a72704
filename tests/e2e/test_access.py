"""Who may do what: every kind, verb, role and tenant, against tests/data/permissions.tsv and roles.tsv.

The two tables say what was promised, in other words than the code's: permissions.tsv which resource of a role opens a kind, and
what a tenant sees of admin's objects of it; roles.tsv what each built-in role grants. A new kind needs its line there.
"""

import contextlib
import csv
import json
import pathlib
import sqlite3

import pytest

from contract import Controller, error, read_answer, server

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
ROLES = ["Tenant-Admin", "Application-Admin", "Application-Operator", "Security-Admin", "System-Admin"]
BATCH = 40  # requests on their way at once: their answers fit into the sockets


def table(name):
    with open(DATA / name) as f:
        return list(csv.DictReader(f, delimiter="\t"))


PERMISSIONS = {row["kind"]: row for row in table("permissions.tsv")}
GRANTS = {row["resource"]: row for row in table("roles.tsv")}
RESOURCES = list(GRANTS)

# What an object needs besides its name.
BODIES = {
    "healthmonitor": {"type": "HEALTH_MONITOR_TCP"},
    "networkprofile": {"profile": {"type": "PROTOCOL_TYPE_TCP_PROXY", "tcp_proxy_profile": {}}},
    "applicationprofile": {"type": "APPLICATION_PROFILE_TYPE_L4"},
    "sslprofile": {"accepted_versions": [{"type": "SSL_VERSION_TLS1_2"}]},
    "errorpagebody": {"error_page_body": "<p>sorry</p>"},
    "cloud": {"vtype": "CLOUD_NONE"},
    "pool": {"servers": [server("10.9.0.1")]},
    "role": {"privileges": [{"resource": "PERMISSION_POOL", "type": "READ_ACCESS"}]},
}
# Made by something else, or with a story of its own that is told elsewhere.
NOT_MADE = {"sslkeyandcertificate", "backup", "scheduler", "backupconfiguration", "ipamdnsproviderprofile"}


class Wire:
    """One connection that is kept, with many requests on their way: thousands of cells in seconds."""

    def __init__(self, session):
        self.session, self.tls = session, session.controller.tls()
        self.stream = self.tls.makefile("rb")

    def ask(self, requests):
        """(tenant, method, path, body) each; yields (status, text)."""
        for i in range(0, len(requests), BATCH):
            part = requests[i:i + BATCH]
            self.tls.sendall(b"".join(self.request(*r) for r in part))
            for _ in part:
                yield self.answer()

    def request(self, tenant, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else b""
        return (f"{method} /api/{path} HTTP/1.1\r\nHost: c\r\nCookie: sessionid={self.session.sid}\r\n"
                f"X-CSRFToken: {self.session.csrf}\r\nX-Avi-Tenant: {tenant}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(data)}\r\n\r\n").encode() + data

    def answer(self):
        status, length = int(self.stream.readline().split()[1]), 0
        while (line := self.stream.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return status, self.stream.read(length).decode()


class World:
    def __init__(self, controller):
        self.controller = controller
        self.admin = controller.session()
        self.every = controller.session(tenant="*")
        self.kinds = {k["kind"]: k for k in self.admin.get("model").json()["kinds"] if not k.get("runtime")}
        self.messages = self.admin.get("model").json()["messages"]
        for name in ("red", "blue"):
            self.admin.make("tenant", name=name)
        self.tenants = {name: controller.session(tenant=name) for name in ("red", "blue")} | {"admin": self.admin}
        self.user = self.admin.make("user", name="one", password="some password")
        self.one = controller.session("one", "some password", tenant="red")
        self.wire, self.root = Wire(self.one), Wire(self.admin)

    def grant(self, *access):
        """(role, tenant): all that `one` has from now on; the session that he has goes on."""
        rows = [{"role_ref": f"/api/role?name={role}", "tenant_ref": f"/api/tenant?name={tenant}"}
                for role, tenant in access]
        assert self.admin.patch(f"user/{self.user['uuid']}", {"replace": {"access": rows}}).status_code == 200


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    controller = Controller(tmp_path_factory.mktemp("access")).start()
    try:
        yield World(controller)
    finally:
        assert controller.stop() == 0


# ---- the permissions -------------------------------------------------------------------------


def verbs(kind, desc):
    """(verb, method, path, body, status when it is allowed): what is asked about neither object nor body."""
    nobody = f"{kind}/{kind}-nobody"
    if desc.get("singleton"):
        return [("read", "GET", kind, None, 200), ("write", "PUT", kind, [], 400), ("write", "PATCH", kind, [], 400)]
    out = [("read", "GET", kind, None, 200), ("read", "GET", nobody, None, 404)]
    if not desc.get("read_only"):
        out += [("write", "DELETE", nobody, None, 404)]
        # Operators may ask for these two where they may switch things on and off.
        out += [("act", "PUT", nobody, [], 404), ("act", "PATCH", nobody, [], 404)]
    if not desc.get("read_only") and not desc.get("no_create"):
        out += [("write", "POST", kind, [], 400)]
    return out


def cells(world):
    return [(kind, *verb) for kind, desc in world.kinds.items() for verb in verbs(kind, desc)]


def allowed(row, verb, grant):
    """GRANT: letter of a resource."""
    if verb == "read":
        return grant(row["resource"]) in "rw"
    return grant(row["resource"]) == "w" or (verb == "act" and grant(row["act"]) == "w")


def test_every_kind_has_its_line(world):
    assert set(PERMISSIONS) == set(world.kinds)
    words = next(f["values"] for f in world.messages["Permission"]["fields"] if f["name"] == "resource")
    assert {"PERMISSION_" + r for r in RESOURCES} == set(words)


def test_built_in_roles_are_what_was_promised(world):
    for role in ROLES:
        have = {p["resource"].removeprefix("PERMISSION_"): p["type"] for p in
                world.admin.find("role", role)["privileges"]}
        letter = {"NO_ACCESS": "-", "READ_ACCESS": "r", "WRITE_ACCESS": "w"}
        assert {r: letter[t] for r, t in have.items()} == {r: GRANTS[r][role] for r in RESOURCES}, role


@pytest.mark.parametrize("role", ROLES)
def test_the_matrix(world, role):
    """A role in red: all verbs on all kinds, from all tenants."""
    world.grant((role, "red"))
    todo = cells(world)
    wrong = []
    for tenant in ("red", "blue", "admin", "nowhere"):
        asked = world.wire.ask([(tenant, m, p, b) for _, _, m, p, b, _ in todo])
        for (kind, verb, method, path, _, good), (status, text) in zip(todo, asked):
            row = PERMISSIONS[kind]
            may = tenant == "red" and allowed(row, verb, lambda r: GRANTS[r][role])
            # What belongs to no tenant is written with a role in admin.
            if row["of admin"] == "whole" and kind != "user" and verb != "read":
                may = False
            want = (good,) if may else (403,)
            if status not in want or (tenant != "red" and "does not exist!" not in text):
                wrong.append(f"{tenant}: {method} {path}: {status}, not {want[0]}: {text[:80]}")
    assert not wrong, wrong[:10]


def test_the_matrix_in_admin(world):
    """A role in admin opens what belongs to no tenant as well."""
    for role in ("System-Admin", "Tenant-Admin"):
        world.grant((role, "admin"))
        todo = cells(world)
        asked = world.wire.ask([("admin", m, p, b) for _, _, m, p, b, _ in todo])
        for (kind, verb, method, path, _, good), (status, _) in zip(todo, asked):
            may = allowed(PERMISSIONS[kind], verb, lambda r: GRANTS[r][role])
            assert status == (good if may else 403), (role, method, path)


def test_each_kind_is_opened_by_its_own_resource(world):
    """Seven roles, each with the resources that have one bit in their number: who may spells the number."""
    todo = cells(world)
    for verb, access in (("read", "READ_ACCESS"), ("write", "WRITE_ACCESS"), ("act", "WRITE_ACCESS")):
        mine = [c for c in todo if c[1] == verb]
        seen = {c[:4]: 0 for c in mine}
        for bit in range(len(RESOURCES).bit_length()):
            name = f"{verb} bit {bit}"
            world.admin.make("role", name=name, privileges=[
                {"resource": "PERMISSION_" + r, "type": access} for n, r in enumerate(RESOURCES, 1) if n >> bit & 1])
            world.grant((name, "admin"))
            asked = world.wire.ask([("admin", m, p, b) for _, _, m, p, b, _ in mine])
            for cell, (status, text) in zip(mine, asked):
                assert status in (403, cell[5]), (cell, status, text)
                seen[cell[:4]] |= (status != 403) << bit
        for (kind, _, method, path), number in seen.items():
            row = PERMISSIONS[kind]
            want = RESOURCES.index(row["resource"]) + 1
            if verb == "act":
                want |= RESOURCES.index(row["act"]) + 1
            assert number == want, f"{method} {path} is opened by {RESOURCES[number - 1]}"


def test_routes_that_are_no_kinds(world):
    """Tokens, files, macros, inventories, what stands below an object, logs: each by its own resource."""
    red, admin = world.tenants["red"], world.admin
    vs = red.make("virtualservice", name="routes")["uuid"]
    group = admin.find("serviceenginegroup", "Default-Group")["uuid"]
    bandwidth = "metric_id=l4_client.avg_bandwidth"
    routes = [  # tenant, resource, its act, letters that open it, the request, and what it says then
        ("admin", "SE_TOKEN", "", "w", "POST", f"serviceenginegroup/{group}/token", {"uses": 0}, 400),
        ("red", "SE_TOKEN", "", "", "POST", f"serviceenginegroup/{group}/token", {"uses": 0}, 400),
        ("red", "FILE_OBJECT", "", "rw", "GET", "fileservice/nothing", None, 404),
        ("red", "FILE_OBJECT", "", "w", "POST", "fileservice/?uri=controller://folder", None, 201),
        ("red", "FILE_OBJECT", "", "w", "DELETE", "fileservice/nothing", None, 404),
        ("red", "IMAGE", "", "rw", "GET", "image/nothing", None, 404),
        ("red", "IMAGE", "", "", "POST", "image/nothing", None, 404),
        ("red", "POOL", "", "w", "POST", "macro", {"model_name": "Pool", "data": {}}, 400),
        ("red", "VIRTUALSERVICE", "", "rw", "GET", "virtualservice-inventory", None, 200),
        ("red", "VIRTUALSERVICE", "", "rw", "GET", f"virtualservice-inventory/{vs}", None, 200),
        ("red", "SERVICEENGINE", "", "rw", "GET", "serviceengine-inventory", None, 200),
        ("red", "VIRTUALSERVICE", "", "rw", "GET", f"virtualservice/{vs}/runtime", None, 200),
        ("red", "VIRTUALSERVICE", "", "rw", "GET", f"virtualservice/{vs}/metrics", None, 200),
        ("red", "VIRTUALSERVICE", "", "rw", "GET", f"analytics/metrics/virtualservice/{vs}?{bandwidth}", None, 200),
        ("red", "VIRTUALSERVICE", "", "rw", "GET", f"analytics/metrics/virtualservice?{bandwidth}", None, 200),
        ("red", "VIRTUALSERVICE", "", "rw", "POST", "analytics/metrics/collection", {"metric_requests": [
            {"entity_uuid": "*", "metric_id": "l4_client.avg_bandwidth"}]}, 200),
        ("admin", "CONTROLLER", "", "rw", "GET", "analytics/metrics/controller/controller?metric_id=controller_stats.avg_cpu_usage", None, 200),
        ("red", "VIRTUALSERVICE", "", "rw", "GET", f"virtualservice/{vs}/why", None, 200),
        ("red", "VIRTUALSERVICE", "VIRTUALSERVICE_MAINTENANCE", "w", "POST", f"virtualservice/{vs}/nothing", {}, 404),
    ]
    for role in ROLES:
        for tenant, resource, act, letters, method, path, body, good in routes:
            world.grant((role, tenant))
            (status, text), = world.wire.ask([(tenant, method, path, body)])
            may = GRANTS[resource][role] in letters and letters or (act and GRANTS[act][role] == "w")
            assert status == (good if may else 403), (role, method, path, text)


def test_nobody_is_asked_about_services_of_others(world):
    """Records of requests, files, and what stands below an object: of red they are nothing to blue, nor to red those of admin."""
    uuid = {t: s.make("virtualservice", name="asked about")["uuid"] for t, s in world.tenants.items()}
    world.grant(("System-Admin", "blue"))
    for t in ("red", "admin"):
        for status, text in world.wire.ask([("blue", "GET", f"analytics/logs?type=1&virtualservice={uuid[t]}"),
                                            ("*", "GET", f"analytics/logs?type=1&virtualservice={uuid[t]}")]):
            assert status == 400 and "no such virtual service" in text, text
        for status, text in world.wire.ask([("blue", "GET", f"virtualservice/{uuid[t]}/why"),
                                            ("blue", "GET", f"virtualservice/{uuid[t]}/metrics"),
                                            ("blue", "GET", f"analytics/metrics/virtualservice/{uuid[t]}?metric_id=l4_client.avg_bandwidth"),
                                            ("blue", "GET", f"virtualservice-inventory/{uuid[t]}"),
                                            ("*", "POST", f"virtualservice/{uuid[t]}/scaleout", {})]):
            assert status == 404, text
    red = world.tenants["red"]
    assert red.post("fileservice/?uri=controller://of%20red", None).status_code == 201
    (_, text), = world.wire.ask([("blue", "GET", "fileservice?uri=controller://")])
    assert "of red" not in text


def test_operators_switch_on_and_off(world):
    red = world.tenants["red"]
    pool = red.make("pool", name="switched", servers=[server("10.0.0.1"), server("10.0.0.2")])
    vs = red.make("virtualservice", name="switched")
    world.grant(("Application-Operator", "red"))
    one = world.one
    for kind, o in (("pool", pool), ("virtualservice", vs)):
        assert one.patch(f"{kind}/{o['uuid']}", {"replace": {"enabled": False}}).json()["enabled"] is False
        assert "no permission" in error(one.patch(f"{kind}/{o['uuid']}", {"replace": {"name": "x"}}), 403)
        error(one.patch(f"{kind}/{o['uuid']}", {"replace": {"enabled": True, "description": "x"}}), 403)
        error(one.delete(f"{kind}/{o['uuid']}"), 403)
    whole = one.get(f"pool/{pool['uuid']}").json()
    del whole["_last_modified"]
    whole["servers"][1]["enabled"] = False
    assert one.put(f"pool/{pool['uuid']}", whole).json()["servers"][1]["enabled"] is False
    whole["servers"][1]["ratio"] = 7
    error(one.put(f"pool/{pool['uuid']}", whole), 403)
    whole["servers"].pop()
    error(one.put(f"pool/{pool['uuid']}", whole), 403)


# ---- tenants ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def things(world):
    """{kind: {tenant: object}}: one of each kind that has a tenant."""
    out = {}
    for kind, desc in world.kinds.items():
        if not desc.get("tenant") or desc.get("no_create") or desc.get("read_only") or kind in NOT_MADE:
            continue
        out[kind] = {t: s.make(kind, name=f"{kind} of {t}", **BODIES.get(kind, {})) for t, s in world.tenants.items()}
    assert len(out) > 20
    return out


@pytest.mark.parametrize("who", ["one", "root"])
@pytest.mark.parametrize("tenant", ["red", "*"])
def test_a_tenant_sees_its_own_and_what_admin_provides(world, things, who, tenant):
    """All rights in red, and none anywhere else; who may do everything sees from red as much."""
    if (who, tenant) == ("root", "*"):
        return
    world.grant(("System-Admin", "red"))
    wire = world.wire if who == "one" else world.root
    for kind, of in things.items():
        shared = PERMISSIONS[kind]["of admin"] == "shared"
        path = {t: f"{kind}/{o['uuid']}" for t, o in of.items()}
        got = {t: s for t, (s, _) in zip(path, wire.ask([(tenant, "GET", p) for p in path.values()]))}
        assert got == {"red": 200, "blue": 404, "admin": 200 if shared else 404}, kind
        hidden = ["blue"] if shared else ["blue", "admin"]
        for t in hidden:
            for status, text in wire.ask([(tenant, "PUT", path[t], {"name": "mine"}), (tenant, "DELETE", path[t]),
                                          (tenant, "PATCH", path[t], {"replace": {"name": "mine"}}),
                                          (tenant, "GET", path[t] + "/runtime"), (tenant, "POST", path[t] + "/x", {})]):
                assert status == 404 and f"of {t}" not in text, (kind, t, status, text)
        if shared and who == "one":
            for status, _ in wire.ask([(tenant, "PUT", path["admin"], {"name": "mine"}), (tenant, "DELETE", path["admin"]),
                                       (tenant, "PATCH", path["admin"], {"replace": {"name": "mine"}})]):
                assert status == 403, kind
        (_, page), = wire.ask([(tenant, "GET", f"{kind}?page_size=200")])
        names = {o.get("name") for o in json.loads(page)["results"]}
        assert f"{kind} of red" in names and not names & {f"{kind} of {t}" for t in hidden}, kind
        assert (f"{kind} of admin" in names) == shared, kind


def test_nothing_of_another_tenant_is_found(world, things):
    """Filters, searches, relations, joins and inventories by one who has all rights in red."""
    world.grant(("System-Admin", "red"))
    blue = things["pool"]["blue"]["uuid"]
    service = things["virtualservice"]["blue"]["uuid"]
    questions = ["pool?name.contains=blue", "pool?search=blue", "pool?isearch=(name,blue)", f"pool?uuid.in={blue}",
                 f"pool?uuid={blue}", f"pool?referred_by=virtualservice:{service}", "tenant?name=blue", "user?name=admin",
                 "pool?tenant_ref.name=blue", f"virtualservice?refers_to=pool:{blue}", "tenant?search=blue",
                 "role?name=role%20of%20blue"]
    questions += [f"{kind}-inventory?search=blue" for kind in ("virtualservice", "pool", "serviceengine", "network")]
    for tenant in ("red", "*"):
        for q, (status, text) in zip(questions, world.wire.ask([(tenant, "GET", q) for q in questions])):
            assert status == 200 and json.loads(text)["count"] == 0, (tenant, q, text[:200])
    # The same questions do find something for whom it is.
    found = [json.loads(t)["count"] for _, t in world.root.ask([("blue", "GET", q) for q in questions[:5]])]
    assert all(found), found


def references(world, things):
    """(kind, field, kind referred to) of all references at the top of an object."""
    for kind in things:
        for f in world.messages[world.kinds[kind]["message"]]["fields"]:
            if f["type"] == "ref" and f["ref"] in things and not f.get("refused") and not f.get("read_only") and \
                    f["name"] != "cloud_ref":
                yield kind, f["name"], f["ref"], f.get("list", False)


def test_references_stay_in_the_tenant(world, things):
    """Every reference of every kind: by uuid, by URL, by name; to blue's object, and to one that there is not."""
    world.grant(("System-Admin", "red"))
    todo = []
    for kind, field, to, many in references(world, things):
        shared = PERMISSIONS[to]["of admin"] == "shared"
        for tenant in ["blue"] + ([] if shared else ["admin"]):
            o = things[to][tenant]
            for ref in (o["uuid"], f"/api/{to}/{o['uuid']}", f"/api/{to}?name={o['name']}".replace(" ", "%20"),
                        f"/api/{to}?tenant={tenant}&name={o['name']}".replace(" ", "%20")):
                body = {"name": "crossing", **BODIES.get(kind, {}), field: [ref] if many else ref}
                todo.append(("red", "POST", kind, body))
    assert len(todo) > 80
    for who in (world.wire, world.root):
        for (_, _, kind, body), (status, text) in zip(todo, who.ask(todo)):
            assert status == 400 and "object not found" in text, (kind, body, text)


def test_what_admin_keeps_from_its_tenants(world):
    """Settings of a tenant: engines and a routing domain of its own."""
    admin = world.admin
    alone = admin.make("tenant", name="alone", config_settings={"se_in_provider_context": False, "tenant_vrf": True})
    here = world.controller.session(tenant="alone")
    tenant = lambda o: o["tenant_ref"].split("/api/tenant/")[1].split("#")[0]  # noqa: E731
    assert {tenant(g) for g in here.get("serviceenginegroup").json()["results"]} == {alone["uuid"]}
    vs = here.make("virtualservice", name="alone", vip=[{"vip_id": "0", "ip_address": {"addr": "10.77.0.1", "type": "V4"}}])
    for field in ("se_group_ref", "vrf_context_ref"):
        kind = vs[field].split("/api/")[1].split("/")[0]
        assert tenant(here.get(f"{kind}/{vs[field].split('/')[-1].split('#')[0]}").json()) == alone["uuid"]
    error(here.post("virtualservice", {"name": "far", "se_group_ref":
                    admin.find("serviceenginegroup", "Default-Group")["uuid"]}), 400)
    # The same address in another routing domain is another address.
    world.tenants["red"].make("vsvip", name="same", vip=[{"vip_id": "0", "ip_address": {"addr": "10.77.0.1", "type": "V4"}}])
    text = error(world.tenants["blue"].post("vsvip", {"name": "taken", "vip": [
        {"vip_id": "0", "ip_address": {"addr": "10.77.0.1", "type": "V4"}}]}), 400)
    assert "another tenant" in text and "same" not in text.split("in the same")[0]
    assert "fixed" in error(admin.patch(f"tenant/{alone['uuid']}", {"replace": {"config_settings": {}}}), 400)
    assert here.delete(f"virtualservice/{vs['uuid']}").status_code == 204
    assert admin.delete(f"tenant/{alone['uuid']}").status_code == 204


def test_certificates_of_admin_are_shared_when_it_says_so(world):
    admin, red = world.admin, world.tenants["red"]
    made = admin.post("sslkeyandcertificate", {"name": "of the provider", "type": "SSL_CERTIFICATE_TYPE_VIRTUALSERVICE",
                                               "certificate": {"self_signed": True, "subject": {"common_name": "x"}}}).json()
    for shared in (False, True, False):
        assert admin.patch("controllerproperties", {"replace": {"shared_ssl_certificates": shared}}).status_code == 200
        assert red.get(f"sslkeyandcertificate/{made['uuid']}").status_code == (200 if shared else 404)
        assert (red.find("sslkeyandcertificate", "of the provider") is not None) == shared
        answer = red.post("virtualservice", {"name": f"uses it {shared}", "ssl_key_and_certificate_refs": [made["uuid"]]})
        assert ("object not found" in answer.text) != shared, answer.text
        if shared:
            assert red.delete(f"virtualservice/{answer.json()['uuid']}").status_code == 204


# ---- rights that are given -------------------------------------------------------------------


def test_nobody_gives_what_he_does_not_hold(world):
    admin, one = world.admin, world.one
    mine = {"PERMISSION_USER": "WRITE_ACCESS", "PERMISSION_ROLE": "WRITE_ACCESS", "PERMISSION_POOL": "WRITE_ACCESS",
            "PERMISSION_TENANT": "READ_ACCESS"}
    privileges = [{"resource": r, "type": t} for r, t in mine.items()]
    admin.make("role", name="people", privileges=privileges)
    world.grant(("people", "red"))
    pools = one.make("role", name="pools", privileges=[{"resource": "PERMISSION_POOL", "type": "READ_ACCESS"}])
    assert "PERMISSION_NETWORK" in error(one.post("role", {"name": "more", "privileges": [
        {"resource": "PERMISSION_NETWORK", "type": "READ_ACCESS"}]}), 403)
    error(one.patch(f"role/{pools['uuid']}", {"add": {"privileges": [
        {"resource": "PERMISSION_TENANT", "type": "WRITE_ACCESS"}]}}), 403)

    def user(name, role, tenant="red", **more):
        return {"name": name, "password": "some password", "access": [
            {"role_ref": f"/api/role?name={role}", "tenant_ref": f"/api/tenant?name={tenant}"}], **more}
    two = one.make("user", **user("two", "pools"))
    assert world.controller.session("two", "some password", tenant="red").get("pool").status_code == 200
    for body in (user("x", "Application-Admin"), user("x", "pools", is_superuser=True)):
        error(one.post("user", body), 403)
    for tenant in ("blue", "nowhere"):
        assert f"Tenant object not found: '/api/tenant?name={tenant}'" in error(one.post("user", user("x", "pools", tenant)), 400)
    everywhere = user("x", "people")
    everywhere["access"][0]["all_tenants"] = True
    error(one.post("user", everywhere), 403)
    # Nor does he take over somebody who holds more, or sees who he is.
    boss = admin.make("user", **user("boss", "Tenant-Admin"))
    assert one.get(f"user/{boss['uuid']}").status_code == 200
    for change in ({"password": "mine from now on"}, {"is_active": False}, {"full_name": "x"}, {"access": []}):
        error(one.patch(f"user/{boss['uuid']}", {"replace": change}), 403)
    error(one.delete(f"user/{boss['uuid']}"), 403)
    assert error(one.get("user/user-1"), 404) == error(one.get("user/user-nobody"), 404)
    far = admin.make("user", **user("far", "Application-Admin", "blue"))
    error(one.patch(f"user/{far['uuid']}", {"replace": {"full_name": "x"}}), 404)
    # His own he may write back, and no more.
    me = one.get(f"user/{world.user['uuid']}").json()
    assert one.put(f"user/{me['uuid']}", me).status_code == 200
    me = one.get(f"user/{me['uuid']}").json()
    me["access"].append({"role_ref": "/api/role?name=Tenant-Admin", "tenant_ref": "/api/tenant?name=red"})
    error(one.put(f"user/{me['uuid']}", me), 403)
    assert one.delete(f"user/{two['uuid']}").status_code == 204
    # A role of red holds in red.
    assert "another tenant" in error(admin.post("user", {"name": "x", "access": [
        {"role_ref": pools["uuid"], "tenant_ref": "/api/tenant?name=blue"}]}), 400)
    assert "already exists" in error(admin.post("user", {"name": "x", "username": "boss"}), 409)
    for field in ({"filters": [{"match_label": {"key": "a"}}]}, {"allow_unlabelled_access": False}):
        assert "yet" in error(admin.post("role", {"name": "narrow", **field}), 400)


def test_rights_follow_at_once(world):
    """On a session that is open: another role, no role, no user any more, no tenant any more."""
    admin = world.admin
    gone = admin.make("tenant", name="gone")
    admin.make("user", name="three", password="some password")
    three = world.controller.session("three", "some password", tenant="gone")
    uuid = admin.find("user", "three")["uuid"]

    def access(*roles):
        rows = [{"role_ref": f"/api/role?name={r}", "tenant_ref": gone["url"]} for r in roles]
        assert admin.patch(f"user/{uuid}", {"replace": {"access": rows}}).status_code == 200
    assert "does not exist!" in error(three.get("pool"), 403)
    access("Application-Operator")
    assert three.get("pool").status_code == 200
    error(three.post("pool", {"name": "x"}), 403)
    access("Application-Operator", "Application-Admin")
    pool = three.make("pool", name="x")
    role = admin.make("role", name="shrinking", privileges=[{"resource": "PERMISSION_POOL", "type": "WRITE_ACCESS"}])
    access("shrinking")
    assert three.delete(f"pool/{pool['uuid']}").status_code == 204
    assert admin.put(f"role/{role['uuid']}", {"name": "shrinking"}).status_code == 200
    error(three.get("pool"), 403)
    access()
    assert admin.delete(f"tenant/{gone['uuid']}").status_code == 204
    assert "Tenant 'gone' does not exist!" in error(three.get("pool"), 403)
    assert three.get("useraccount").status_code == 200
    assert admin.patch(f"user/{uuid}", {"replace": {"is_active": False}}).status_code == 200
    assert three.get("useraccount").status_code == 401


def test_a_uuid_gives_no_name_of_a_tenant(world):
    """By its uuid a tenant is no more there than by its name, for who has no role in it."""
    world.grant(("Application-Admin", "red"))
    uuid = world.admin.find("tenant", "blue")["uuid"]
    texts = [error(world.one.get("pool", headers={"X-Avi-Tenant": None, "X-Avi-Tenant-UUID": u}), 403)
             for u in (uuid, "tenant-nobody")]
    assert "blue" not in texts[0] and texts[0].replace(uuid, "tenant-nobody") == texts[1]


def test_a_login_tells_of_own_tenants_only(world):
    world.grant(("Tenant-Admin", "red"))
    body = world.one.login().json()
    assert [t["name"] for t in body["tenants"]] == ["red"] and "system_config" not in body
    names = {t["name"] for t in world.one.get("tenant").json()["results"]}
    assert names == {"admin", "red"}  # admin owns what everybody uses


def test_events_follow_the_roles(world):
    """Of red, and of red's kinds that one may read."""
    for t in ("red", "blue"):
        world.tenants[t].make("pool", name=f"told of {t}")
        world.tenants[t].make("stringgroup", name=f"told of {t}")
    world.admin.make("role", name="pools only", privileges=[{"resource": "PERMISSION_POOL", "type": "READ_ACCESS"}])
    world.grant(("pools only", "red"))
    for tenant in ("red", "*"):
        (status, text), = world.wire.ask([(tenant, "GET", "analytics/logs?type=2&page_size=1000")])
        assert status == 200, text
        events = json.loads(text)["results"]
        assert {(e["tenant_name"], e["obj_type"]) for e in events} == {("red", "POOL")}
        assert any("told of red" in e["event_description"] for e in events)


def test_roles_of_an_older_controller_become_those_of_this_one(world):
    """What the table of roles has gained since the store was made is there after a start."""
    admin = world.admin
    whole = {r: admin.find("role", r)["privileges"] for r in ROLES}
    world.controller.kill()
    with contextlib.closing(sqlite3.connect(world.controller.data / "store.db")) as db, db:
        for uuid, text in db.execute("SELECT uuid, body FROM object WHERE kind = 'role' AND system = 1").fetchall():
            body = json.loads(text)
            body["privileges"] = body["privileges"][:-5]
            db.execute("UPDATE object SET body = ? WHERE kind = 'role' AND uuid = ?",
                       (json.dumps(body, sort_keys=True, separators=(",", ":")), uuid))
    world.controller.start()
    again = world.controller.session()
    assert {r: again.find("role", r)["privileges"] for r in ROLES} == whole
