"""Objects over REST as the Avi clients make, find, change and delete them."""

import json

import pytest

from contract import error, server, vip


def pages(session, path):
    """As PowerShell and AKO page: follow `next`."""
    found, url = [], path
    while url:
        body = session.get(url).json()
        found += [o["name"] for o in body["results"]]
        url = body.get("next")
    return found


# ---- POST ------------------------------------------------------------------------------


def test_post_answers_the_whole_object_with_names(controller, admin):
    answer = admin.post("pool", {"name": "p1", "cloud_ref": "/api/cloud?name=Default-Cloud",
                                 "servers": [server("10.0.0.1")]})
    assert answer.status_code == 201
    pool = answer.json()
    assert pool["uuid"].startswith("pool-") and len(pool["uuid"]) == len("pool-") + 36
    assert pool["url"] == f"{controller.url}/api/pool/{pool['uuid']}#p1"
    assert pool["tenant_ref"] == f"{controller.url}/api/tenant/admin#admin"
    assert pool["cloud_ref"].startswith(f"{controller.url}/api/cloud/cloud-")
    assert pool["cloud_ref"].endswith("#Default-Cloud")
    assert pool["default_server_port"] == 80 and pool["servers"][0]["ratio"] == 1
    assert isinstance(pool["_last_modified"], str) and len(pool["_last_modified"]) == 16
    assert list(pool)[:5] == ["url", "uuid", "name", "tenant_ref", "cloud_ref"]
    assert answer.headers["Location"] == pool["url"]
    assert answer.headers["Cache-Control"] == "private, no-cache, must-revalidate"


def test_a_name_is_taken_once(admin):
    admin.make("pool", name="taken")
    assert "already exists" in error(admin.post("pool", {"name": "taken"}), 409)
    admin.make("healthmonitor", name="taken", type="HEALTH_MONITOR_TCP")


def test_slug_is_the_uuid(admin):
    answer = admin.post("pool", {"name": "pf"}, headers={"Slug": "pool-force-42"})
    assert answer.json()["uuid"] == "pool-force-42"
    assert "already exists" in error(admin.post("pool", {"name": "pf2"}, headers={"Slug": "pool-force-42"}), 409)
    assert admin.delete("pool/pool-force-42").status_code == 204
    assert "uuid" in error(admin.post("pool", {"name": "pf"}, headers={"Slug": "a/../b"}), 400)


def test_strings_for_numbers_and_booleans_are_understood(admin):
    pool = admin.make("pool", name="lenient", default_server_port="8080", enabled="true",
                      servers=[server("10.0.0.1", port="81", ratio="2")])
    assert pool["default_server_port"] == 8080 and pool["enabled"] is True
    assert pool["servers"][0]["port"] == 81 and pool["servers"][0]["ratio"] == 2


def test_what_is_unknown_or_without_effect_is_named(admin):
    answer = admin.post("pool", {"name": "noted", "ignore_servers": True, "servers": [server("10.0.0.1", oops=1)],
                                 "markers": [], "capacity_estimation": True, "lb_algo_rr_per_se": False})
    assert answer.status_code == 201
    assert answer.headers["X-Spanwire-Ignored"].split(",") == ["ignore_servers", "servers[0].oops"]
    assert answer.headers["X-Spanwire-Inert"] == "capacity_estimation"
    assert "ignore_servers" not in answer.json() and answer.json()["capacity_estimation"] is True
    text = error(admin.post("pool", {"name": "strict", "default_server_prt": 1},
                            headers={"X-Spanwire-Strict": "1"}), 400)
    assert "default_server_prt" in text and "default_server_port" in text
    assert admin.find("pool", "strict") is None


# ---- GET -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def thirty(admin):
    admin.make("tenant", name="pages")
    for i in range(30):
        admin.make("trafficcloneprofile", name=f"c{i:02d}", clone_servers=[
            {"ip_address": {"addr": f"10.9.0.{i + 1}", "type": "V4"}}], preserve_client_ip=bool(i % 2))
    return "trafficcloneprofile"


def test_a_plain_get_has_no_names_in_refs(controller, admin):
    uuid = admin.find("pool", "p1")["uuid"]
    for path in (f"pool/{uuid}", "pool?name=p1"):
        answer = admin.get(path)
        assert "#" not in answer.text
        assert f"{controller.url}/api/tenant/admin" in answer.text
    for flag in ("include_name", "include_name=", "include_name=true", "include_refs=&include_name="):
        pool = admin.get(f"pool/{uuid}?{flag}").json()
        assert pool["tenant_ref"].endswith("#admin") and pool["cloud_ref"].endswith("#Default-Cloud")
        assert "#" not in pool["url"]
    assert "#" not in admin.get(f"pool/{uuid}?include_name=false").text


def test_refs_carry_the_host_that_was_asked(controller, admin):
    status, _, body = controller.raw((
        f"GET /api/pool?name=p1 HTTP/1.1\r\nHost: adc.example.com:9443\r\n"
        f"Cookie: sessionid={admin.sid}\r\n\r\n").encode())
    assert status == 200
    assert json.loads(body)["results"][0]["tenant_ref"] == "https://adc.example.com:9443/api/tenant/admin"


@pytest.mark.parametrize("target", ["//api/pool?name=p1", "/api/pool/?name=p1", "//api//pool/?name=p1", "/api/pool?name=p1",
                                    "//api/pool?include_name&page_size=100&cloud_ref.name=Default-Cloud&name=p1"])
def test_slashes_may_be_too_many(controller, admin, target):
    status, _, body = controller.raw((
        f"GET {target} HTTP/1.1\r\nHost: {controller.host}\r\nCookie: sessionid={admin.sid}\r\n\r\n").encode())
    assert status == 200
    assert json.loads(body)["count"] == 1


def test_missing_by_name_is_empty_and_by_uuid_is_404(admin):
    assert admin.get("pool?name=nope").json() == {"count": 0, "results": []}
    assert error(admin.get("pool/pool-x"), 404) == "Pool object not found!"
    error(admin.get("nosuchkind"), 404)
    error(admin.get("nosuchkind/x"), 404)
    error(admin.get("assignment"), 404)
    error(admin.send("GET", admin.controller.url + "/nothing"), 404)


def test_pages(controller, admin, thirty):
    names = [f"c{i:02d}" for i in range(30)]
    first = admin.get(thirty).json()
    assert first["count"] == 30 and len(first["results"]) == 25
    assert first["next"].startswith(f"{controller.url}/api/{thirty}?page=2")
    assert pages(admin, thirty) == names
    assert pages(admin, f"{thirty}?page_size=7&sort=-name&include_name") == names[::-1]
    # As the Python SDK: it looks for `next` and counts pages itself.
    third = admin.get(f"{thirty}?page_size=10&page=3").json()
    assert "next" not in third and [o["name"] for o in third["results"]] == names[20:]
    assert len(admin.get(f"{thirty}?page_size=1000").json()["results"]) == 30
    assert "page" in error(admin.get(f"{thirty}?page=4&page_size=10"), 404)
    # As scripts ask for all of them.
    assert len(admin.get(f"{thirty}?page_size=-1").json()["results"]) == 30
    for bad in ("page=0", "page=x", "page_size=0", "page_size=-2", "page_size=x"):
        assert "page" in error(admin.get(f"{thirty}?{bad}"), 400)


@pytest.mark.parametrize("query,count", [
    ("name=c07", 1), ("name.contains=c1", 10), ("name.icontains=C1", 10), ("name.in=c01,c02,nope", 2),
    ("preserve_client_ip=true", 15), ("preserve_client_ip=true&name.contains=c0", 5), ("cloud=Default-Cloud", 30),
    ("cloud_ref.name=Default-Cloud", 30), ("cloud_ref.name=Other", 0), ("cloud=Other", 0),
    ("clone_servers.ip_address.addr=10.9.0.3", 1), ("search=10.9.0.30", 1), ("isearch=(name,C29)", 1),
    ("search=(name,c0)|(name,c1)", 20), ("search=(addr,10.9.0.30)", 1), ("isearch=(addr,nowhere)", 0), ("limit_by=4", 4), ("created_by=nobody", 0), ("tenant_ref.name=admin", 30),
    ("name.startswith=c2", 10), ("name.endswith=9", 3), ("name.gt=c27", 2), ("name.lte=c01", 2), ("name.ne=c07", 29),
    ("name=c07&exclude=name", 29), ("name.in=c01,c02&exclude=name.in,uuid.in", 28), ("clone_servers.ip_address.addr.contains=.2", 11),
    ("preserve_client_ip.in=true", 15), ("preserve_client_ip=1&name.contains=1&exclude=name.contains", 8),
    ("cloud_ref.uuid.contains=cloud-", 30), ("cloud_ref.name.in=Default-Cloud,x", 30), ("_last_modified.gt=0", 30),
    ("_last_modified.lt=1", 0), ("isearch=DEFAULT-CLOUD", 0), ("search=", 30), ("timeout=60", 30), ("export_key=true", 30)])
def test_filters(admin, thirty, query, count):
    assert admin.get(f"{thirty}?{query}").json()["count"] == count


def test_what_a_client_marked_is_found_again(admin):
    for name, values in (("m-red", ["red", "old"]), ("m-blue", ["blue"]), ("m-none", None)):
        markers = [{"key": "cluster", "values": values}, {"key": "space", "values": ["red"]}] if values else []
        admin.make("healthmonitor", name=name, type="HEALTH_MONITOR_TCP", markers=markers)
    ask = "healthmonitor?fields=name,_last_modified&page_size=1&sort=name&"
    assert pages(admin, ask + "label_key=cluster&label_value=old") == ["m-red"]
    assert pages(admin, ask + "label_key=cluster") == pages(admin, ask + "label_value=red") == ["m-blue", "m-red"]
    assert pages(admin, ask + "label_key=space&label_value=blue") == pages(admin, ask + "label_key=clus") == []
    # What cannot be marked is nobody's.
    assert admin.get("tenant?label_key=cluster&label_value=red").json()["count"] == 0


@pytest.mark.parametrize("query,text", [
    ("nope=1", "nope: TrafficCloneProfile has no field 'nope'"), ("name.like=c", "name.like: There is no operator 'like'"),
    ("clone_servers=1", "clone_servers: It holds a CloneServer"), ("clone_servers.nope.in=1", "clone_servers.nope.in"),
    ("preserve_client_ip=perhaps", "preserve_client_ip: 'perhaps' is neither true nor false."), ("sort=nope", "sort:"),
    ("search=(name", "search: It is a text, or (field,text)|(field,text)."), ("isearch=(nope,x)", "isearch:"),
    ("search=(name,x)(name,y)", "search:"), ("refers_to=pool", "refers_to: It names an object: kind:uuid."),
    ("referred_by=nope:x", "referred_by: There are no objects of the kind 'nope'."), ("limit_by=0", "limit_by"),
    ("join=name", "join: 'name' is no reference"), ("join=nope_ref", "join:"), ("join_subresources=nope", "join_subresources:")])
def test_wrong_filters_are_told(admin, thirty, query, text):
    assert text in error(admin.get(f"{thirty}?{query}"), 400)


def test_join_puts_the_object_beside_its_reference(admin):
    admin.make("healthmonitor", name="hm-join", type="HEALTH_MONITOR_TCP")
    pool = admin.make("pool", name="p-join", health_monitor_refs=["/api/healthmonitor?name=hm-join"])
    one = admin.get(f"pool/{pool['uuid']}?join=health_monitor_refs,cloud_ref&join_subresources=runtime,runtime/server").json()
    assert [o["name"] for o in one["health_monitor_refs_data"]] == ["hm-join"]
    assert one["cloud_ref_data"]["name"] == "Default-Cloud" and one["cloud_ref_data"]["url"] == one["cloud_ref"]
    assert one["runtime"]["num_servers"] == 0 and one["runtime/server"]["results"] == []
    listed = admin.get("pool?name=p-join&join=health_monitor_refs&fields=enabled&include_name").json()["results"][0]
    assert listed["health_monitor_refs_data"][0]["tenant_ref"].endswith("#admin") and "servers" not in listed
    # By the kind: all its references.
    whole = admin.get("pool?name=p-join&join=cloud,healthmonitor,vrf_ref").json()["results"][0]
    assert whole["cloud_ref_data"]["name"] == "Default-Cloud" and [o["name"] for o in whole["health_monitor_refs_data"]] == ["hm-join"]
    # A write is not undone by how its answer was wanted.
    assert admin.put(f"pool/{pool['uuid']}?join=nope", {"name": "p-join"}).status_code == 200


def test_uuid_filters(admin, thirty):
    uuids = [o["uuid"] for o in admin.get(f"{thirty}?page_size=3").json()["results"]]
    assert admin.get(f"{thirty}?uuid.in={','.join(uuids)}").json()["count"] == 3
    assert admin.get(f"{thirty}?uuid={uuids[0]}").json()["count"] == 1
    assert admin.get(f"{thirty}?uuid.in={','.join(uuids)}&exclude=uuid.in").json()["count"] == 27
    for typo in ("uid.in", "name.inn", "uuid.in,uid"):
        assert error(admin.get(f"{thirty}?uuid.in={','.join(uuids)}&exclude={typo}"), 400).startswith("exclude")
    absent = "name.in,refers_to,referred_by,cloud_uuid,search,created_by,preserve_client_ip"
    assert admin.get(f"{thirty}?uuid.in={','.join(uuids)}&exclude={absent}").json()["count"] == 3


def test_kinds_without_a_cloud_ignore_the_filter(admin):
    assert admin.get("healthmonitor?name=System-TCP&cloud_ref.name=Default-Cloud").json()["count"] == 1
    assert admin.get("healthmonitor?name=System-TCP&cloud=Default-Cloud").json()["count"] == 1


def test_fields_and_defaults_can_be_left_out(admin):
    pool = admin.get("pool?name=p1&fields=servers,enabled").json()["results"][0]
    assert set(pool) == {"url", "uuid", "name", "tenant_ref", "servers", "enabled"}
    short = admin.get("pool?name=p1&skip_default=true").json()["results"][0]
    assert "enabled" not in short and "default_server_port" not in short
    assert short["servers"][0]["ip"] == {"addr": "10.0.0.1", "type": "V4"}


def test_who_refers_to_whom(admin):
    hm = admin.make("healthmonitor", name="hm-ref", type="HEALTH_MONITOR_TCP")
    pool = admin.make("pool", name="p-ref", health_monitor_refs=["/api/healthmonitor?name=hm-ref"])
    assert [o["name"] for o in admin.get(f"pool?refers_to=healthmonitor:{hm['uuid']}").json()["results"]] == ["p-ref"]
    back = admin.get(f"healthmonitor?referred_by=pool:{pool['uuid']}").json()
    assert [o["name"] for o in back["results"]] == ["hm-ref"]


# ---- references --------------------------------------------------------------------------


def test_references_in_every_form(controller, admin):
    hm = admin.make("healthmonitor", name="hm form", type="HEALTH_MONITOR_TCP")
    url = f"{controller.url}/api/healthmonitor/{hm['uuid']}"
    for number, form in enumerate((
            "/api/healthmonitor?name=hm%20form", "/api/healthmonitor/?name=hm form",
            "/api/healthmonitor/?tenant=admin&name=hm%20form&cloud=Default-Cloud", f"/api/healthmonitor/{hm['uuid']}",
            f"https://elsewhere/api/healthmonitor/{hm['uuid']}#hm form", hm["uuid"], hm["url"], url,
            f"//api/healthmonitor/{hm['uuid']}", f"api/healthmonitor/{hm['uuid']}")):
        pool = admin.make("pool", name=f"form{number}", health_monitor_refs=[form])
        assert pool["health_monitor_refs"] == [url + "#hm form"]


@pytest.mark.parametrize("body,text", [
    ({"health_monitor_refs": ["/api/healthmonitor?name=nope"]}, "HealthMonitor object not found"),
    ({"health_monitor_refs": ["/api/pool?name=p1"]}, "health_monitor_refs[0]"),
    ({"cloud_ref": "/api/cloud?name=nope"}, "Cloud object not found"),
    ({"vrf_ref": "/api/vrfcontext?name=nope"}, "VrfContext object not found"),
    ({"autoscale_policy_ref": "/api/serverautoscalepolicy?name=x"}, "ServerAutoScalePolicy object not found"),
    ({"tenant_ref": "/api/tenant?name=nope"}, "Tenant object not found"),
    ({"health_monitor_refs": ["https://"]}, "health_monitor_refs[0]"),
    ({"health_monitor_refs": ["/api/healthmonitor?name=%zz"]}, "health_monitor_refs[0]")])
def test_references_that_lead_nowhere(admin, body, text):
    assert text in error(admin.post("pool", {"name": "nowhere", **body}), 400)
    assert admin.find("pool", "nowhere") is None


def test_vsvip_and_script_are_named_as_ako_wants(admin):
    vs = {"name": "v", "services": [{"port": 80}]}
    assert "VsVip object not found" in error(admin.post("virtualservice", {**vs, "vsvip_ref": "/api/vsvip?name=x"}), 400)
    text = error(admin.post("virtualservice", {**vs, "vs_datascripts": [
        {"index": 1, "vs_datascript_set_ref": "/api/vsdatascriptset?name=x"}]}), 400)
    assert "VSDataScriptSet object not found" in text


# ---- PUT, PATCH, DELETE ------------------------------------------------------------------


def test_put_replaces_everything(admin):
    pool = admin.make("pool", name="put", default_server_port=8080, description="x", servers=[server("10.0.0.1")])
    answer = admin.put(f"pool/{pool['uuid']}", {"name": "put", "servers": [server("10.0.0.2")]})
    assert answer.status_code == 200
    new = answer.json()
    assert new["default_server_port"] == 80 and "description" not in new
    assert [s["ip"]["addr"] for s in new["servers"]] == ["10.0.0.2"]
    assert new["tenant_ref"].endswith("#admin") and int(new["_last_modified"]) > int(pool["_last_modified"])


def test_put_of_what_was_read_changes_nothing(admin):
    pool = admin.make("pool", name="same", servers=[server("10.0.0.1", port=81), server("10.0.0.2")])
    for query in ("", "?include_name", "?skip_default=true"):
        read = admin.get(f"pool/{pool['uuid']}{query}").json()
        answer = admin.put(f"pool/{pool['uuid']}", read)
        assert answer.status_code == 200, answer.text
    after = admin.get(f"pool/{pool['uuid']}?include_name").json()
    for side in (pool, after):
        side.pop("_last_modified"), side.pop("url")
    assert after == pool


def test_put_of_every_object_as_it_was_read(admin):
    """Also of the system's, some of which hold what is not built yet."""
    for kind in [k["kind"] for k in admin.get("model").json()["kinds"]]:
        listed = admin.get(f"{kind}?page_size=200")
        if kind == "role" or listed.status_code == 404:
            continue
        for one in listed.json().get("results", [listed.json()]):
            path = one["url"].split("/api/")[1]
            for query in ("", "?include_name", "?skip_default=true"):
                before = admin.get(path + query).json()
                answer = admin.put(path + query, before)
                assert answer.status_code == 200, f"{path}{query}: {answer.text}"
                after = admin.get(path + query).json()
                assert {**after, "_last_modified": ""} == {**before, "_last_modified": ""}


def test_a_reference_to_nothing_is_none(admin):
    pool = admin.make("pool", name="nothing", tenant_ref="", cloud_ref="", vrf_ref="")
    assert pool["tenant_ref"].endswith("#admin") and pool["cloud_ref"].endswith("#Default-Cloud")


def test_a_stale_put_is_412(admin):
    pool = admin.make("vsvip", name="stale", vip=[vip("10.7.0.1")])
    assert admin.patch(f"vsvip/{pool['uuid']}", {"replace": {"bgp_local_preference": 1}}).status_code == 200
    text = error(admin.put(f"vsvip/{pool['uuid']}", pool), 412)
    assert "Need to reload object data VsVip" in text and "Concurrent" in text
    # As a number, and as nothing that was ever stored: it is looked at all the same.
    for seen in (int(pool["_last_modified"]), "yesterday", 5):
        error(admin.put(f"vsvip/{pool['uuid']}", {**pool, "_last_modified": seen}), 412)
    pool["_last_modified"] = int(admin.get(f"vsvip/{pool['uuid']}").json()["_last_modified"])
    assert admin.put(f"vsvip/{pool['uuid']}", pool).status_code == 200
    pool.pop("_last_modified")
    assert admin.put(f"vsvip/{pool['uuid']}", pool).status_code == 200


def test_put_of_nothing_known_is_404(admin):
    assert error(admin.put("pool/pool-x", {"name": "x"}), 404) == "Pool object not found!"
    assert error(admin.patch("pool/pool-x", {"add": {}}), 404) == "Pool object not found!"
    assert error(admin.delete("pool/pool-x"), 404) == "Pool object not found!"


def test_patch(admin):
    pool = admin.make("pool", name="patched", servers=[server("10.0.0.1", port=80)])
    path = f"pool/{pool['uuid']}"

    def addresses(answer):
        assert answer.status_code == 200, answer.text
        return [(s["ip"]["addr"], s["port"], s["ratio"]) for s in answer.json()["servers"]]

    # As Terraform's avi_server: identical scalars beside the one server.
    one = addresses(admin.patch(path, {"add": {
        "name": "patched", "tenant_ref": pool["tenant_ref"], "cloud_ref": pool["cloud_ref"],
        "servers": [server("10.0.0.2", port=80)]}}))
    assert one == [("10.0.0.1", 80, 1), ("10.0.0.2", 80, 1)]
    # The same key replaces.
    assert addresses(admin.patch(path, {"add": {"servers": [server("10.0.0.2", port=80, ratio=5)]}})) == [
        ("10.0.0.1", 80, 1), ("10.0.0.2", 80, 5)]
    assert addresses(admin.patch(path, {"delete": {"servers": [server("10.0.0.1", port=80)]}})) == [("10.0.0.2", 80, 5)]
    assert addresses(admin.patch(path, {"replace": {"servers": [server("10.0.0.9", port=9)]}})) == [("10.0.0.9", 9, 1)]
    assert admin.patch(path, {"add": {"description": "d"}}).json()["description"] == "d"
    assert "description" not in admin.patch(path, {"delete": {"description": "d"}}).json()
    # What is ours to say stays, whatever a patch says of it.
    answer = admin.patch(path, {"replace": {"uuid": "other", "url": "other", "_last_modified": "1"}})
    assert answer.json()["uuid"] == pool["uuid"] and answer.json()["url"] == pool["url"]
    answer = admin.patch(path, {"json_patch": [
        {"op": "replace", "path": "/default_server_port", "value": 81},
        {"op": "add", "path": "/servers/-", "value": server("10.0.0.10", port=10)},
        {"op": "remove", "path": "/servers/0"}]})
    assert answer.json()["default_server_port"] == 81
    assert addresses(answer) == [("10.0.0.10", 10, 1)]
    assert answer.json()["url"].endswith("#patched")


def test_patch_knows_a_subnet_by_its_prefix(admin):
    prefix = {"ip_addr": {"addr": "10.60.0.0", "type": "V4"}, "mask": 24}
    net = admin.make("network", name="subnets", configured_subnets=[{"prefix": prefix}])
    ranges = [{"range": {"begin": {"addr": "10.60.0.5", "type": "V4"}, "end": {"addr": "10.60.0.9", "type": "V4"}}}]
    answer = admin.patch(f"network/{net['uuid']}", {"add": {"configured_subnets": [
        {"prefix": prefix, "static_ip_ranges": ranges}]}})
    assert answer.status_code == 200 and len(answer.json()["configured_subnets"]) == 1
    answer = admin.patch(f"network/{net['uuid']}", {"delete": {"configured_subnets": [{"prefix": prefix}]}})
    assert "configured_subnets" not in answer.json()


@pytest.mark.parametrize("patch,text", [
    ([], "JSON object"), ({"append": {}}, "append"), ({"add": 1}, "add"), ({"json_patch": {}}, "json_patch"),
    ({"json_patch": [{"op": "remove", "path": "/nothing"}]}, "json_patch[0]"),
    ({"json_patch": [{"op": "replace", "path": "/default_server_port", "value": "x"}]}, "default_server_port"),
    ({"add": {"servers": [{"port": 80}]}}, "servers[0].ip"),
    ({"replace": {"default_server_port": 0}}, "default_server_port"),
    ({"replace": {"cloud_ref": "/api/cloud?name=nope"}}, "cloud_ref")])
def test_bad_patches_change_nothing(admin, patch, text):
    pool = admin.find("pool", "p1")
    assert text in error(admin.patch(f"pool/{pool['uuid']}", patch), 400)
    assert admin.find("pool", "p1") == pool


def test_a_patch_neither_copies_nor_tests_secrets(admin):
    """What is sealed is for engines: no operation carries it to where it is shown."""
    cert = admin.find("sslkeyandcertificate", "System-Default-Cert")
    user = admin.make("user", name="copied", password="Some password 1")
    for kind, uuid, secret, shown in (("sslkeyandcertificate", cert["uuid"], "/key", "/created_by"),
                                      ("user", user["uuid"], "/password", "/full_name")):
        for op in ("copy", "move"):
            answer = admin.patch(f"{kind}/{uuid}", {"json_patch": [{"op": op, "from": secret, "path": shown}]})
            assert "PRIVATE KEY" not in answer.text and "argon2" not in answer.text
        have = admin.get(f"{kind}/{uuid}").text
        assert "PRIVATE KEY" not in have and "argon2" not in have
        # Moved or not, it is still there.
        assert admin.get(f"{kind}/{uuid}").json()[secret[1:]] == "<sensitive>"
    events = admin.get("analytics/logs?type=2&page_size=200").text
    assert "PRIVATE KEY" not in events and "argon2" not in events
    # A secret stays through an operation on something else.
    answer = admin.patch(f"user/{user['uuid']}", {"json_patch": [{"op": "add", "path": "/full_name", "value": "x"}]})
    assert answer.status_code == 200
    assert admin.controller.session("copied", "Some password 1", login=False).login().status_code == 200


def test_a_copy_of_an_object_has_no_secrets(admin):
    """What was read and is sent as a new object: the mask is no password."""
    body = {"type": "HEALTH_MONITOR_HTTP", "http_monitor": {}, "authentication": {"username": "u", "password": "<sensitive>"}}
    assert "password" not in admin.make("healthmonitor", name="copied", **body)["authentication"]
    cert = admin.find("sslkeyandcertificate", "System-Default-Cert")
    cert = {k: cert[k] for k in ("type", "certificate", "key")} | {"name": "copied"}
    assert "needs its private key" in error(admin.post("sslkeyandcertificate", cert), 400)


def test_secrets_put_nothing_in_order(admin):
    for kind, field in (("user", "password"), ("sslkeyandcertificate", "key"), ("backupconfiguration", "backup_passphrase")):
        assert "no field" in error(admin.get(f"{kind}?sort=-{field}"), 400)


def test_delete(admin):
    pool = admin.make("pool", name="gone")
    assert admin.send("GET", f"pool/{pool['uuid']}", "{no body at all").status_code == 200
    answer = admin.send("DELETE", f"pool/{pool['uuid']}", "{no body at all")
    assert answer.status_code == 204 and answer.content == b""
    error(admin.get(f"pool/{pool['uuid']}"), 404)


def test_what_is_in_use_stays(admin):
    hm = admin.make("healthmonitor", name="busy", type="HEALTH_MONITOR_TCP")
    pool = admin.make("pool", name="user of busy", health_monitor_refs=[hm["uuid"]])
    text = error(admin.delete(f"healthmonitor/{hm['uuid']}"), 412)
    assert "user of busy" in text and "Pool" in text
    assert admin.delete(f"pool/{pool['uuid']}").status_code == 204
    assert admin.delete(f"healthmonitor/{hm['uuid']}").status_code == 204


def test_a_tenant_that_is_not_empty_stays_and_where_to_look_is_said(admin):
    tenant = admin.make("tenant", name="full")
    assert admin.post("pool", {"name": "in-full"}, headers={"X-Avi-Tenant": "full"}).status_code == 201
    said = error(admin.delete(f"tenant/{tenant['uuid']}"), 412)
    assert "in-full" not in said and "X-Avi-Tenant: *" in said
    assert "in-full" in error(admin.delete(f"tenant/{tenant['uuid']}", headers={"X-Avi-Tenant": "*"}), 412)


@pytest.mark.parametrize("kind,name", [
    ("cloud", "Default-Cloud"), ("serviceenginegroup", "Default-Group"), ("vrfcontext", "global"),
    ("applicationprofile", "System-HTTP"), ("networkprofile", "System-TCP-Proxy"), ("healthmonitor", "System-Ping"),
    ("analyticsprofile", "System-Analytics-Profile"), ("tenant", "admin")])
def test_system_objects_cannot_be_deleted(admin, kind, name):
    path = f"{kind}/{admin.find(kind, name)['uuid']}"
    assert "Cannot delete system default object" in error(admin.delete(path), 403)
    # Clients find it by its name.
    assert "Cannot rename system default object" in error(admin.patch(path, {"replace": {"name": "other"}}), 400)
    assert admin.find(kind, name) is not None


def test_a_fresh_controller_holds_the_system_objects(admin):
    wanted = {
        "vrfcontext": {"global", "management"},
        "applicationprofile": {"System-HTTP", "System-Secure-HTTP", "System-Secure-HTTP-VDI", "System-L4-Application",
                               "System-SSL-Application", "System-DNS", "System-Syslog"},
        "networkprofile": {"System-TCP-Proxy", "System-TCP-Fast-Path", "System-UDP-Fast-Path", "System-UDP-Per-Pkt",
                           "System-UDP-No-SNAT", "System-UDP-Fast-Path-VDI", "System-SCTP-Proxy"},
        "healthmonitor": {"System-HTTP", "System-HTTPS", "System-TCP", "System-UDP", "System-Ping", "System-DNS",
                          "System-SCTP", "System-Xternal-Shell", "System-Xternal-Perl", "System-Xternal-Python"},
        "role": {"System-Admin", "Tenant-Admin", "Application-Admin", "Application-Operator", "Security-Admin"}}
    for kind, names in wanted.items():
        have = {o["name"] for o in admin.get(f"{kind}?page_size=200").json()["results"]}
        assert names <= have, kind
    assert admin.get("tenant/admin").json()["name"] == "admin"
    assert admin.get("user/user-1").json()["username"] == "admin"


# ---- methods and singletons --------------------------------------------------------------


@pytest.mark.parametrize("kind", ["systemconfiguration", "controllerproperties", "seproperties", "cluster"])
def test_singletons(admin, kind):
    one = admin.get(kind).json()
    assert one["uuid"] and one["url"].endswith(f"/api/{kind}")
    for path in (kind, kind + "/"):
        answer = admin.put(path, admin.get(path).json())
        assert answer.status_code == 200 and answer.json()["uuid"] == one["uuid"]
    assert "Method 'DELETE' not allowed" in error(admin.delete(kind), 405)
    assert "Method 'POST' not allowed" in error(admin.post(kind, {}), 405)
    # Terraform destroys it by its uuid, and takes this for done.
    assert "Cannot delete system default object" in error(admin.delete(f"{kind}/{one['uuid']}"), 403)
    assert admin.get(kind).json()["uuid"] == one["uuid"]


def test_methods_that_are_not(admin):
    answer = admin.delete("pool")
    assert "Method 'DELETE' not allowed" in error(answer, 405)
    assert answer.headers["Allow"] == "GET, POST"
    role = admin.find("role", "System-Admin")
    assert "Cannot change system default object" in error(admin.put(f"role/{role['uuid']}", {"name": role["name"]}), 403)
    assert "Cannot delete system default object" in error(admin.delete(f"role/{role['uuid']}"), 403)
    error(admin.post("serviceengine", {"name": "se"}), 405)
    error(admin.send("PUT", "initial-data", {}), 405)
    assert admin.send("HEAD", "pool").status_code == 200
    role = f"role/{role['uuid']}"
    for path, methods in (("pool", "GET, POST"), (role, "GET, PUT, PATCH, DELETE"), ("cluster", "GET, PUT, PATCH"), ("serviceengine", "GET")):
        assert admin.send("OPTIONS", path).headers["Allow"] == methods
    error(admin.send("TRACE", "pool"), 405)
    # What there are no objects of is not there by any method: Ansible takes a 405 of DELETE for done.
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        for path in ("wafpolicy", "wafpolicy/x", "wafpolicy/x/y"):
            if (method, path.count("/")) in {(m, 2) for m in ("PUT", "PATCH", "DELETE")}:
                continue
            error(admin.send(method, path, {"name": "x"}), 404)
    for path in ("model", "useraccount", "pool-inventory"):
        error(admin.delete(path), 405)


@pytest.mark.parametrize("method,path,words", [
    ("POST", "image", "keeps no images"), ("GET", "image", "keeps no images"),
    ("GET", "analytics/healthscore", "healthscore/KIND/UUID"), ("GET", "analytics/anomaly/pool/x", "anomalies"),
    ("POST", "systemconfiguration/systestemail", "no mail"), ("POST", "pool/clear", "runtime/stats/clear"),
    ("POST", "virtualservice/clear", "runtime/stats/clear"), ("POST", "serviceengine/clear", "runtime/stats/clear"), ("POST", "poolgroup/clear", "none of them stays out")])
def test_what_is_not_here_is_told_in_words(admin, method, path, words):
    assert words in error(admin.send(method, path, None if method == "GET" else {}), 404)


def test_the_present_health_score_in_the_contract_s_form(admin):
    pool = admin.make("pool", name="scored", servers=[server("10.0.0.1")])
    vs = admin.make("virtualservice", name="scored", pool_ref=pool["uuid"])
    for kind, made in (("pool", pool), ("virtualservice", vs)):
        answer = admin.get(f"analytics/healthscore/{kind}/{made['uuid']}").json()
        (series,), shown = answer["series"], admin.get(f"{kind}-inventory/{made['uuid']}").json()["health_score"]
        assert answer["entity_uuid"] == series["header"]["entity_uuid"] == made["uuid"]
        (now,) = series["data"]
        assert now["value"] == shown["health_score"] and now["performance_value"] == shown["performance_score"]
        assert now["is_null"] == shown["is_null_data"]
        assert {now[f"{word}_penalty"] for word in ("anomaly", "resources", "security")} == {0}
    assert "not found" in error(admin.get("analytics/healthscore/pool/nobody"), 404)
    assert "have no score" in error(admin.get("analytics/healthscore/tenant/admin"), 404)
    assert "have no score" in error(admin.get("analytics/healthscore/nonsense/x"), 404)
    admin.delete(f"virtualservice/{vs['uuid']}"), admin.delete(f"pool/{pool['uuid']}")


def test_actions_that_nobody_does_here_say_so(admin):
    pool = admin.make("pool", name="acts")
    vs = admin.make("virtualservice", name="acts", pool_ref=pool["uuid"])
    for path, words in ((f"virtualservice/{vs['uuid']}/scaleout", "one service engine at a time"),
                        (f"virtualservice/{vs['uuid']}/scalein", "one service engine at a time"),
                        (f"virtualservice/{vs['uuid']}/rotatekeys", "change by themselves"),
                        (f"pool/{pool['uuid']}/scaleout", "makes no servers"),
                        (f"pool/{pool['uuid']}/scalein", "makes no servers")):
        assert words in error(admin.post(path, {"vip_id": "0"}), 400)
    assert admin.post(f"virtualservice/{vs['uuid']}/resync", {}).json() == {"status": "ok"}
    assert [u["name"] for u in admin.get(f"pool/{pool['uuid']}/vs").json()] == ["acts"]
    for view in ("placement", "placement/status", "scaleoutstatus", "httpconnections", "dosstat"):
        assert admin.get(f"virtualservice/{vs['uuid']}/{view}").json() == []
    for kind, uuid, view, words in (("virtualservice", vs["uuid"], "clientsummary", "analytics/logs"), ("virtualservice", vs["uuid"], "keyval", "no script"),
                                    ("pool", pool["uuid"], "persistence", "runtime/detail")):
        assert words in error(admin.get(f"{kind}/{uuid}/{view}"), 404)


def test_a_service_without_an_address_is_told_once(admin):
    admin.make("virtualservice", name="nowhere")
    for n in range(3):      # each is looked at, and placement with it
        admin.make("pool", name=f"beside {n}")
    told = admin.get("analytics/logs?type=2&filter=eq(event_id,VS_FSM_AWAITING_SE_ASSIGNMENT)&page_size=1000").json()["results"]
    assert [event["obj_name"] for event in told].count("nowhere") == 1


def test_file_routes(controller, admin):
    error(admin.get("fileservice/uploads/x"), 404)
    for target in ("/api/fileservice/../../etc/passwd", "/api/fileservice/%2e%2e/%2e%2e/etc/passwd",
                   "/api/fileservice/..%2f..%2fetc/passwd", "/api/fileservice/..\\x", "/api/fileservice/%00"):
        status, _, body = controller.raw((
            f"GET {target} HTTP/1.1\r\nHost: {controller.host}\r\nCookie: sessionid={admin.sid}\r\n\r\n").encode())
        assert status == 400 and list(json.loads(body)) == ["error"]


# ---- events -------------------------------------------------------------------------------


def test_every_change_makes_an_event(admin):
    pool = admin.make("pool", name="told")
    admin.patch(f"pool/{pool['uuid']}", {"replace": {"default_server_port": 8443}})
    admin.delete(f"pool/{pool['uuid']}")
    log = admin.get(f"analytics/logs?type=2&page_size=100&filter=eq(obj_uuid,{pool['uuid']})").json()
    assert [e["event_id"] for e in log["results"]] == ["CONFIG_DELETE", "CONFIG_UPDATE", "CONFIG_CREATE"]
    assert log["count"] == 3 and log["percent_remaining"] == 0
    update = log["results"][1]
    assert update["module"] == "CONFIG" and update["obj_type"] == "POOL" and update["obj_name"] == "told"
    assert update["tenant"] == "admin" and update["tenant_name"] == "admin"
    details = update["event_details"]["config_update_details"]
    assert details["user"] == "admin" and details["client_ip"] == "127.0.0.1"
    assert details["diff"] == [{"path": "default_server_port", "new": 8443}]
    assert json.loads(details["new_resource_data"])["default_server_port"] == 8443
    oldest = admin.get(f"analytics/logs?type=2&orderby=report_timestamp&filter=eq(obj_uuid,{pool['uuid']})"
                       f"&filter=ne(event_id,CONFIG_DELETE)").json()["results"]
    assert [e["event_id"] for e in oldest] == ["CONFIG_CREATE", "CONFIG_UPDATE"]


def test_events_by_time_and_page(admin):
    page = admin.get("analytics/logs?type=2&page_size=2&page=1").json()
    assert len(page["results"]) == 2 and page["count"] > 20
    newest = page["results"][0]["report_timestamp"]
    assert admin.get(f"analytics/logs?type=2&start={newest.replace('+00:00', 'Z')}").json()["count"] == 1
    assert admin.get("analytics/logs?type=2&end=2020-01-01T00:00:00").json()["count"] == 0
    assert admin.get("analytics/logs?type=2&duration=3600").json()["count"] == page["count"]
    for bad in ("filter=nonsense", "filter=xx(a,b)", "start=yesterday", "page_size=x", "type=7"):
        error(admin.get(f"analytics/logs?{bad}"), 400)


def test_a_refused_change_makes_no_event(admin):
    before = admin.get("analytics/logs?type=2").json()["count"]
    error(admin.post("pool", {"name": "p1"}), 409)
    error(admin.post("pool", {"name": "bad", "default_server_port": -1}), 400)
    assert admin.get("analytics/logs?type=2").json()["count"] == before


# ---- enrolment ------------------------------------------------------------------------------


def test_enrolment_tokens(controller, admin):
    group = admin.find("serviceenginegroup", "Default-Group")["uuid"]
    answer = admin.post(f"serviceenginegroup/{group}/token", {"hours": 2, "uses": 3})
    assert answer.status_code == 200
    version, secret, fingerprint = answer.json()["token"].split(".")
    assert version == "swt1" and len(secret) == 32
    ca = (controller.data / "ca.pem").read_text()
    import hashlib
    import ssl
    assert hashlib.sha256(ssl.PEM_cert_to_DER_cert(ca)).hexdigest() == fingerprint
    assert answer.json()["expires_at"].endswith("+00:00")
    assert admin.send("POST", f"serviceenginegroup/{group}/token").status_code == 200
    for body in ({"hours": 0}, {"uses": 0}, {"hours": "x"}, {"hours": 1.5}, [], {"uses": 10 ** 9}):
        error(admin.post(f"serviceenginegroup/{group}/token", body), 400)
    error(admin.post("serviceenginegroup/nope/token", {}), 404)
    assert secret not in admin.get("analytics/logs?type=2&page_size=1000").text
