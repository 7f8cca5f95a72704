"""Configuration tools come to rest: a second run changes nothing, for every kind that there is."""

import subprocess

import pytest

from clients import Ansible, Structs, Terraform
from contract import error, server, vip


@pytest.fixture(scope="module")
def pems(tmp_path_factory):
    """A key and its certificate, of nobody's authority."""
    folder = tmp_path_factory.mktemp("pems")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "key", "-out", folder / "cert",
                    "-days", "90", "-subj", "/CN=shop.example.com", "-addext", "subjectAltName=DNS:shop.example.com",
                    "-addext", "basicConstraints=critical,CA:TRUE"], check=True, capture_output=True)
    return (folder / "key").read_text(), (folder / "cert").read_text()


def examples(pems):
    """What a task or resource of each kind would say; other kinds need a name and nothing else."""
    key, cert = pems
    ip = {"addr": "10.4.0.0", "type": "V4"}
    return {
        "user": {"username": "{name}", "password": "some password", "full_name": "Somebody", "access": [
            {"role_ref": "role:System-Admin", "tenant_ref": "tenant:admin"}]},
        "role": {"privileges": [{"resource": "PERMISSION_POOL", "type": "READ_ACCESS"}]},
        "cloud": {"vtype": "CLOUD_NONE"},
        "network": {"configured_subnets": [{"prefix": {"ip_addr": ip, "mask": 24}, "static_ip_ranges": [
            {"range": {"begin": {"addr": "10.4.0.5", "type": "V4"}, "end": {"addr": "10.4.0.9", "type": "V4"}}}]}]},
        "vsvip": {"vip": [vip("10.4.1.{n}", vip_id="1")]},
        "virtualservice": {"services": [{"port": 80}, {"port": 8080, "port_range_end": 8090}], "vsvip_ref": "vsvip:used",
                           "pool_ref": "pool:used", "application_profile_ref": "applicationprofile:System-HTTP"},
        "pool": {"servers": [server("10.4.2.2", port=81), server("10.4.2.1", port=81, ratio=3)], "default_server_port": 81,
                 "health_monitor_refs": ["healthmonitor:System-TCP", "healthmonitor:System-HTTP"]},
        "healthmonitor": {"type": "HEALTH_MONITOR_HTTP", "http_monitor": {
            "http_request": "GET / HTTP/1.0", "http_response_code": ["HTTP_3XX", "HTTP_2XX"]}},
        "networkprofile": {"profile": {"type": "PROTOCOL_TYPE_TCP_PROXY", "tcp_proxy_profile": {"automatic": False}}},
        "applicationprofile": {"type": "APPLICATION_PROFILE_TYPE_HTTP", "http_profile": {"client_max_body_size": 10},
                               "dos_rl_profile": {"dos_profile": {"thresh_period": 5}}},
        "trafficcloneprofile": {"clone_servers": [{"ip_address": {"addr": "10.4.3.1", "type": "V4"}}]},
        "applicationpersistenceprofile": {"persistence_type": "PERSISTENCE_TYPE_CLIENT_IP_ADDRESS",
                                          "ip_persistence_profile": {"ip_persistent_timeout": 10}},
        "sslprofile": {"accepted_versions": [{"type": "SSL_VERSION_TLS1"}, {"type": "SSL_VERSION_TLS1_2"}]},
        "sslkeyandcertificate": {"type": "SSL_CERTIFICATE_TYPE_VIRTUALSERVICE", "key": key, "certificate": {"certificate": cert}},
        "pkiprofile": {"ca_certs": [{"certificate": cert}], "crl_check": False},
        "ipaddrgroup": {"addrs": [{"addr": "10.4.4.2", "type": "V4"}, {"addr": "10.4.4.1", "type": "V4"}]},
        "stringgroup": {"type": "SG_TYPE_STRING", "kv": [{"key": "b"}, {"key": "a"}]},
        "poolgroup": {"members": [{"pool_ref": "pool:used", "ratio": 2}]},
        "prioritylabels": {"equivalent_labels": [{"labels": ["b", "a"]}]},
        "errorpagebody": {"error_page_body": "<h1>No.</h1>"},
    }


def made_of(value, name, number, ref):
    if isinstance(value, dict):
        return {k: made_of(v, name, number, ref) if not k.endswith(("_ref", "_refs")) else
                [ref(i) for i in v] if isinstance(v, list) else ref(v) for k, v in value.items()}
    if isinstance(value, list):
        return [made_of(v, name, number, ref) for v in value]
    return value.replace("{name}", name).replace("{n}", number) if isinstance(value, str) else value


def kinds(model):
    return [k for k in model["kinds"]
            if not any(k.get(x) for x in ("runtime", "singleton", "no_create", "read_only"))]


@pytest.fixture(scope="module")
def model(admin):
    admin.make("pool", name="used")
    admin.make("vsvip", name="used", vip=[vip("10.4.9.1")])
    return admin.get("model").json()


def test_ansible_is_ok_the_second_time(controller, admin, model, pems):
    """Each task twice, then with a change, then twice without the object."""
    secrets = {"user": ("password",), "sslkeyandcertificate": ("key",)}
    for k in kinds(model):
        kind, ansible = k["kind"], Ansible(controller)
        fields = [f["name"] for f in model["messages"][k["message"]]["fields"]]
        if "name" not in fields:
            continue
        body = made_of(examples(pems).get(kind, {}), "task", "1", lambda r: "/api/{}?name={}".format(*r.split(":")))
        body["name"] = "task"
        if k.get("tenant"):
            body["tenant_ref"] = "/api/tenant?name=admin"
        if k.get("cloud"):
            body["cloud_ref"] = "/api/cloud?name=Default-Cloud"
        assert ansible.task(kind, **body)[0] == "changed", kind
        # Secrets do not come back, and a task that names one is always "changed".
        quiet = {f: v for f, v in body.items() if f not in secrets.get(kind, ())}
        result, have = ansible.task(kind, **quiet)
        assert result == "ok", f"{kind}: {[f for f in quiet if quiet[f] != have.get(f)]}"
        if "description" in fields:
            assert ansible.task(kind, **{**quiet, "description": "other"})[0] == "changed", kind
            assert ansible.task(kind, **{**quiet, "description": "other"})[0] == "ok", kind
        assert ansible.task(kind, state="absent", name="task")[0] == "changed", kind
        assert ansible.task(kind, state="absent", name="task")[0] == "ok", kind


def test_avi_pool_as_playbooks_have_it(controller, admin):
    """The module of the collection that everybody begins with, with put and with patch."""
    ansible = Ansible(controller)
    pool = {"name": "testpool1", "description": "test pool", "tenant_ref": "/api/tenant?name=admin",
            "cloud_ref": "/api/cloud?name=Default-Cloud", "health_monitor_refs": ["/api/healthmonitor?name=System-HTTP"],
            "lb_algorithm": "LB_ALGORITHM_ROUND_ROBIN", "servers": [server("10.90.130.8"), server("10.90.130.7")]}
    assert [ansible.task("pool", **pool)[0] for _ in range(3)] == ["changed", "ok", "ok"]
    for result in ("changed", "ok"):
        assert ansible.task("pool", method="add", name="testpool1", servers=[server("10.90.130.9")])[0] == result
    found = admin.find("pool", "testpool1")
    assert [s["ip"]["addr"] for s in found["servers"]] == ["10.90.130.8", "10.90.130.7", "10.90.130.9"]
    assert ansible.task("pool", **pool)[0] == "changed"
    assert ansible.task("pool", **pool)[0] == "ok"


def test_patches_say_what_modules_require(controller, admin):
    """A module demands the type of a group or monitor, and sends it with the items that are to go."""
    ansible, kind = Ansible(controller), {"type": "SG_TYPE_STRING"}
    admin.make("stringgroup", name="words", kv=[{"key": "a"}, {"key": "b"}], **kind)
    for result in ("changed", "ok"):
        assert ansible.task("stringgroup", method="delete", name="words", kv=[{"key": "a"}], **kind)[0] == result
    assert [p["key"] for p in admin.find("stringgroup", "words")["kv"]] == ["b"]
    monitor = admin.make("healthmonitor", name="words", type="HEALTH_MONITOR_TCP", description="x", tcp_monitor={"tcp_half_open": True})
    path = f"healthmonitor/{monitor['uuid']}"
    left = admin.patch(path, {"delete": {"type": "HEALTH_MONITOR_TCP", "description": "x"}})
    assert left.status_code == 200 and "description" not in left.json() and left.json()["tcp_monitor"]["tcp_half_open"]
    assert "delete.type" in error(admin.patch(path, {"delete": {"type": "HEALTH_MONITOR_HTTP"}}), 400)


def test_what_is_posted_to_is_looked_at_first(admin):
    """avi_api_session asks what is there before each POST, and posts when it is told: nothing."""
    group = admin.find("serviceenginegroup", "Default-Group")["uuid"]
    service = admin.make("virtualservice", name="acted-on", services=[{"port": 80}])["uuid"]
    for path, body in ((f"virtualservice/{service}/retryplacement", {}), (f"serviceenginegroup/{group}/redistribute", {}),
                       (f"serviceenginegroup/{group}/token", {"hours": 1}), ("analytics/metrics/collection", {"metric_requests": [
                           {"entity_uuid": "*", "metric_id": "l4_client.avg_bandwidth"}]})):
        before = admin.get(f"{path}?include_refs=&include_name=")
        assert before.status_code == 200 and before.json() == {"count": 0, "results": []}, path
        assert admin.post(path, body).status_code == 200, path
    error(admin.get("virtualservice/nobody/retryplacement"), 404)
    error(admin.get(f"virtualservice/{service}/nonsense"), 404)
    assert admin.get("cluster/upgrade/status").json()["result"] == "SUCCESS"


def test_addresses_inside_come_to_rest(controller, admin, model):
    """A task and a resource of before 20.1, with the VIPs in the virtual service."""
    ansible, terraform = Ansible(controller), Terraform(admin, model)
    task = {"name": "inside", "services": [{"port": 80}], "pool_ref": "/api/pool?name=used",
            "vip": [{"vip_id": "1", "ip_address": {"addr": "10.4.7.1", "type": "V4"}}]}
    assert [ansible.task("virtualservice", **task)[0] for _ in range(3)] == ["changed", "ok", "ok"]
    task["vip"][0]["ip_address"]["addr"] = "10.4.7.2"
    assert [ansible.task("virtualservice", **task)[0] for _ in range(2)] == ["changed", "ok"]
    one = terraform.create("virtualservice", name="tf-inside", services=[{"port": 80}], vip=[vip("10.4.7.3", vip_id="1")])
    assert one.differences() == []
    one.update(description="The provider sends the addresses that it read.")
    assert one.differences() == []
    one.delete()
    # Both, as the provider's own examples have it: shown as long as they say the same.
    address = terraform.create("vsvip", name="tf-both", vip=[vip("10.4.7.6", vip_id="0")])
    both = terraform.create("virtualservice", name="tf-both", services=[{"port": 80}], vsvip_ref=address.url,
                            vip=[vip("10.4.7.6", vip_id="0")])
    quiet = terraform.create("virtualservice", name="tf-quiet", services=[{"port": 81}], vsvip_ref=address.url)
    assert both.differences() == [] and quiet.differences() == []
    both.update(description="The provider sends the addresses that it read.")
    assert both.differences() == []
    answer = admin.put(both.path, {**both.plan, "vip": [vip("10.4.7.9", vip_id="0")], "vsvip_ref": "/api/vsvip?name=used"})
    assert answer.status_code == 200 and "vip" not in answer.json()
    for resource in (both, quiet, address):
        resource.delete()
    assert ansible.task("virtualservice", state="absent", name="inside")[0] == "changed"
    assert admin.get("vsvip?name.contains=inside").json()["count"] == 0


@pytest.mark.parametrize("text", [False, True], ids=["typed", "as texts"])
def test_terraform_plans_nothing_after_apply(admin, model, pems, text):
    """Create, read, plan again, update, plan again, delete: with typed values, and with numbers and booleans as texts."""
    terraform, structs = Terraform(admin, model), Structs()

    def ref(r):
        kind, name = r.split(":")
        return admin.find(kind, name)["url"]

    for k in kinds(model):
        kind = k["kind"]
        fields = {f["name"]: f for f in model["messages"][k["message"]]["fields"]}
        body = made_of(examples(pems).get(kind, {}), "resource", "2", ref)
        if "name" in fields:
            body["name"] = "resource"
        if text:
            body = terraform.with_defaults(k["message"], body)
            body = {f: texts(v) if fields[f]["type"] != "string" else v for f, v in body.items()}
        one = terraform.create(kind, **body)
        assert one.differences() == [], kind
        assert structs.misfits(kind, admin.get(one.path).json()) == []
        if "name" in fields:
            one.update(name="renamed")
        if "description" in fields:
            one.update(description="Managed elsewhere.")
        one.update()
        assert one.differences() == [], kind
        one.delete()


def test_blocks_without_anything_in_them(admin, model, pems):
    """As short resources have them: every default of a block is sent, and the next plan is empty."""
    terraform, tried = Terraform(admin, model), 0

    def short(message):
        return not any(f.get("required") and "default" not in f for f in model["messages"][message]["fields"])

    for k in kinds(model):
        body = made_of(examples(pems).get(k["kind"], {}), "blocks", "3", lambda r: admin.find(*r.split(":"))["url"])
        blocks = {f["name"]: {} for f in model["messages"][k["message"]]["fields"] if f["type"] == "message" and short(f["message"])
                  and f["name"] not in body and not any(f.get(x) for x in ("list", "read_only", "extension"))}
        if not blocks:
            continue
        one = terraform.create(k["kind"], **{"name": "blocks", **body, **blocks})
        one.update()
        assert one.differences() == [], k["kind"]
        one.delete()
        tried += len(blocks)
    assert tried > 60


def texts(v):
    if isinstance(v, dict):
        return {k: texts(i) for k, i in v.items()}
    if isinstance(v, list):
        return [texts(i) for i in v]
    return str(v).lower() if isinstance(v, bool) else str(v) if isinstance(v, (int, float)) else v


def test_a_role_is_written_below_its_tenant(controller, admin, model):
    """As the provider's examples of avi_user have it: a url made of the tenant's, and compared as text."""
    terraform = Terraform(admin, model)
    tenant, role = admin.get("tenant?name=admin").json()["results"][0]["url"], admin.find("role", "Tenant-Admin")
    below = f"{tenant}/role/{role['uuid']}"
    for name, ref in (("tf-below", below), ("tf-plain", role["url"])):
        one = terraform.create("user", name=name, username=name, password="some password", access=[
            {"role_ref": ref, "tenant_ref": tenant, "all_tenants": False}])
        assert one.differences() == [] and one.read()["access"][0]["role_ref"] == ref
        assert admin.get(one.path + "?include_name").json()["access"][0]["role_ref"] == f"{ref}#Tenant-Admin"
        one.update(full_name="Somebody else")
        assert one.differences() == []
        assert controller.session(name, "some password").get("pool").status_code == 200
        one.delete()
    assert "not found" in error(admin.post("user", {"name": "x", "password": "some password", "access": [
        {"role_ref": f"{tenant}/role/role-none", "tenant_ref": tenant}]}), 400)


def test_terraform_resources_that_refer_to_each_other(admin, model):
    """Ids are urls without a name, and what refers to them compares equal as text."""
    t = Terraform(admin, model)
    monitor = t.create("healthmonitor", name="tf-hm", type="HEALTH_MONITOR_TCP", tcp_monitor={})
    pool = t.create("pool", name="tf-pool", health_monitor_refs=[monitor.url], servers=[server("10.4.5.1", port=80)])
    address = t.create("vsvip", name="tf-vip", vip=[vip("10.4.5.9", vip_id="1")])
    vs = t.create("virtualservice", name="tf-vs", pool_ref=pool.url, vsvip_ref=address.url, services=[{"port": 80}])
    # avi_server adds one server to the pool, beside what the pool's resource says of itself.
    answer = admin.patch(pool.path, {"add": {"name": "tf-pool", "tenant_ref": pool.plan["tenant_ref"], "cloud_ref": pool.plan["cloud_ref"],
                                             "servers": [server("10.4.5.2", port=80)]}})
    assert answer.status_code == 200 and len(answer.json()["servers"]) == 2
    # With ignore_servers a pool is updated by one `replace` of the whole object.
    whole = {**pool.read(), "description": "x", "ignore_servers": True}
    answer = admin.patch(pool.path, {"replace": whole})
    assert answer.status_code == 200 and answer.json()["description"] == "x" and len(answer.json()["servers"]) == 2
    assert [r.differences() for r in (monitor, address, vs)] == [[], [], []]
    # An address that the controller gives: nothing of it is taken for what is to go.
    network = t.create("network", name="tf-net", configured_subnets=[{"prefix": {"ip_addr": {"addr": "10.4.6.0", "type": "V4"}, "mask": 24},
        "static_ip_ranges": [{"range": {"begin": {"addr": "10.4.6.5", "type": "V4"}, "end": {"addr": "10.4.6.9", "type": "V4"}}}]}])
    given = t.create("vsvip", name="tf-given", vip=[{"vip_id": "1", "auto_allocate_ip": True, "avi_allocated_vip": True,
                                                     "ipam_network_subnet": {"network_ref": network.url}}])
    for _ in range(2):
        assert given.differences() == [] and given.read()["vip"][0]["ip_address"]["addr"] == "10.4.6.5"
        given.update(name="tf-given-again")
    assert admin.get(given.path).json()["vip"][0]["discovered_networks"][0]["network_ref"] == network.url
    inside = t.create("virtualservice", name="tf-inside-given", services=[{"port": 80}], vip=given.plan["vip"])
    assert inside.differences() == []
    assert vs.read()["pool_ref"] == pool.url
    # Destroyed in the wrong order it is refused, in the right one not.
    assert "tf-vs" in error(admin.delete(pool.path), 412)
    for one in (vs, inside, address, given, network, pool, monitor):
        one.delete()
