"""Whole conversations of the SDKs, in their order and with their headers: Go with its retries, Python, AKO."""

import json

import pytest

from contract import error, read_answer, server, vip


class Go:
    """The Go SDK: one kept connection, JSON login, two slashes where a path begins with one, cluster/status before a retry."""

    def __init__(self, controller, user="admin", password=None):
        self.controller, self.user, self.password = controller, user, password or controller.password
        self.line, self.cookies, self.asked = controller.tls(), {}, []

    def exchange(self, method, path, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.controller.host}", "User-Agent: Go-http-client/1.1",
                 "Content-Type: application/json", "Accept-Encoding: gzip", f"Referer: {self.controller.url}/",
                 "X-Avi-Version: 18.2.6", "X-Avi-Tenant: admin"]
        if self.cookies and path != "/login":
            lines += [f"X-Csrftoken: {self.cookies['csrftoken']}",
                      "Cookie: " + "; ".join(f"{k}={v}" for k, v in self.cookies.items())]
        if data:
            lines.append(f"Content-Length: {len(data)}")
        self.line.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        self.asked.append(f"{method} {path}")
        status, head, answer = read_answer(self.line)
        for line in head.decode().split("\r\n"):
            if line.lower().startswith("set-cookie:"):
                name, value = line.split(":", 1)[1].split(";")[0].strip().split("=", 1)
                self.cookies[name] = value
        return status, answer

    def login(self):
        self.cookies = {}
        status, answer = self.exchange("POST", "/login", {"username": self.user, "password": self.password})
        if status == 200:
            assert "csrftoken" in self.cookies and ("sessionid" in self.cookies or "avi-sessionid" in self.cookies)
        return status

    def call(self, method, path, body=None):
        """As the SDK repeats: 401 and 419 after a login, and nothing before cluster/status is below 500."""
        for attempt in range(4):
            if not self.cookies:
                assert self.login() == 200
            status, answer = self.exchange(method, path, body)
            if status not in (401, 419) or attempt == 3:
                return status, json.loads(answer) if answer else None
            if status == 401:
                assert self.login() == 200
            assert self.exchange("GET", "//api/cluster/status")[0] < 500
            assert self.login() == 200


def test_go_from_the_first_word_to_the_last(controller):
    go = Go(controller)
    assert go.login() == 200
    assert json.loads(go.exchange("GET", "//api/initial-data")[1])["version"]["Version"] == "30.2.1"
    status, pool = go.call("POST", "/api/pool", {"name": "go-1", "cloud_ref": "/api/cloud?name=Default-Cloud",
                                                 "servers": [server("10.5.0.1")]})
    assert status == 201
    path = "api/pool/" + pool["uuid"]
    assert go.call("POST", "//api/pool", {"name": "go-1"})[0] == 409
    for query in ("name=go-1", "name=go-1&cloud=Default-Cloud&skip_default=true&include_name=true",
                  "include_name&page_size=100&cloud_ref.name=Default-Cloud&name=go-1"):
        found = go.call("GET", f"//api/pool?{query}")[1]
        assert found["count"] == 1 and found["results"][0]["uuid"] == pool["uuid"]
    assert go.call("GET", "//" + path)[1]["name"] == "go-1"
    assert go.call("PUT", "//" + path, {**pool, "default_server_port": 81})[1]["default_server_port"] == 81
    assert len(go.call("PATCH", "//" + path, {"add": {"servers": [server("10.5.0.2")]}})[1]["servers"]) == 2
    assert go.call("GET", "//api/tenant/admin#admin")[1]["name"] == "admin"
    assert go.call("DELETE", "//" + path) == (204, None)
    assert go.call("DELETE", "//" + path)[0] == 404
    assert go.exchange("POST", "/logout")[0] == 200
    assert go.exchange("GET", "//api/pool")[0] == 401


def test_go_comes_back_after_its_session_is_gone(controller, admin):
    """A write is repeated once, and has its effect once."""
    go = Go(controller)
    assert go.login() == 200
    go.cookies["sessionid"] = go.cookies["avi-sessionid"] = "0" * 32
    go.asked.clear()
    assert go.call("POST", "//api/pool", {"name": "go-again"})[0] == 201
    assert go.asked == ["POST //api/pool", "POST /login", "GET //api/cluster/status", "POST /login", "POST //api/pool"]
    assert admin.get("pool?name=go-again").json()["count"] == 1
    go.password = "wrong"
    assert go.login() == 401


def test_python_gives_up_after_four_logins(controller, admin):
    """401 and 419 are answered by a login and the same call, three times at most."""
    s = controller.session()
    logins = 0
    for _ in range(4):
        s.sid = "0" * 32
        if s.get("pool").status_code != 401:
            break
        assert s.login().status_code == 200
        logins += 1
    assert logins == 4 and s.get("pool").status_code == 200
    # put_by_name, delete_by_name, and what is not there.
    s.make("pool", name="py")
    found = s.get("pool?name=py").json()["results"][0]
    assert s.put(f"pool/{found['uuid']}", {**found, "description": "x"}).status_code == 200
    assert s.delete(f"pool/{s.get('pool?name=py').json()['results'][0]['uuid']}").status_code == 204
    assert s.get("pool?name=py").json()["count"] == 0
    body = s.put("systemconfiguration/", s.get("systemconfiguration/").json())
    assert body.status_code == 200 and body.json()["uuid"] == "default"


def test_go_asks_for_names_as_they_are(controller):
    """The SDK puts a name into the URL without a word of escape; a map of parameters leaves an `&` at the end."""
    go = Go(controller)
    for name in ("two words", "100%", "5 % off", "gr\u00f6\u00dfer", "a[b]{c}|d^e", "quo\"ted"):
        assert go.call("POST", "//api/pool", {"name": name})[0] == 201
        found = go.call("GET", f"//api/pool?name={name}&skip_default=true&fields=name&")[1]
        assert [o["name"] for o in found["results"]] == [name]


def test_terraform_looks_for_the_name_of_a_tenant(controller, admin):
    """The provider has the uuid of a tenant_ref and needs the name for its header; users may not read tenants."""
    tenant = admin.make("tenant", name="tf")
    role = admin.make("role", name="pools only", privileges=[{"resource": "PERMISSION_POOL", "type": "WRITE_ACCESS"}])
    admin.make("user", name="tf-user", password="some password", default_tenant_ref=tenant["url"],
               access=[{"role_ref": role["url"], "tenant_ref": tenant["url"]}])
    go = Go(controller, "tf-user", "some password")
    (mine,) = go.call("GET", "//api/user-tenant-list")[1]["tenants"]
    assert (mine["name"], mine["uuid"], mine["url"]) == ("tf", tenant["uuid"], tenant["url"].split("#")[0])
    s = controller.session("tf-user", "some password", tenant=mine["name"], version="30.2.1")
    assert s.make("pool", name="tf-pool", tenant_ref=mine["url"])["tenant_ref"].endswith("#tf")
    assert {t["name"] for t in admin.get("/user-tenant-list").json()["tenants"]} >= {"admin", "tf"}


def test_python_scripts_as_they_are_written(controller, admin):
    """What the SDK's own samples and tests do without looking."""
    # None where there is nothing.
    pool = admin.post("pool", {"name": "py-null", "servers": [], "health_monitor_refs": None, "fail_action": None, "pki_profile_ref": None,
                               "description": None, "default_server_port": None, "lb_algorithm": None})
    assert pool.status_code == 201 and not {"fail_action", "description"} & set(pool.json())
    assert pool.json()["default_server_port"] == 80 and pool.json()["lb_algorithm"] == "LB_ALGORITHM_LEAST_CONNECTIONS"
    # Numbers that YAML made of labels.
    group = admin.make("poolgroup", name="py-labels", members=[{"pool_ref": pool.json()["url"], "priority_label": 10}])
    assert group["members"][0]["priority_label"] == "10"
    # A member of an object that nobody has set yet; who leaves defaults out does not see it.
    for _ in range(2):
        config = admin.get("systemconfiguration").json()
        assert config["portal_configuration"]["allow_basic_authentication"] is False
        assert not admin.get("systemconfiguration?skip_default=true").json().get("portal_configuration")
        config.pop("portal_configuration")
        assert admin.put("systemconfiguration", config).status_code == 200
    assert admin.get("licenseusage").json()["licensed_cores"]
    assert admin.get("sslkeyandcertificate", params={"export_key": "true"}).status_code == 200


def test_clone_vs_copies_a_service(admin):
    """The sample reads what a service refers to, gives it names and posts it: beside the old one, in another cloud, in another tenant."""
    def made(kind, body, **more):
        answer = admin.post(kind, body, **more)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def read(ref, name):
        """The object as it is answered; only what is its own goes."""
        body = admin.get(ref.split("/api/")[1]).json()
        for field in ("uuid", "url", "_last_modified"):
            body.pop(field)
        return {**body, "name": name}

    admin.make("tenant", name="copies")
    cloud = admin.make("cloud", name="Other", vtype="CLOUD_NONE")
    group = admin.make("ipaddrgroup", name="cv-group", addrs=[{"addr": "10.6.0.1", "type": "V4"}])
    policy = admin.make("networksecuritypolicy", name="cv-policy", rules=[
        {"name": "r", "index": 1, "enable": True, "action": "NETWORK_SECURITY_POLICY_ACTION_TYPE_DENY",
         "match": {"client_ip": {"match_criteria": "IS_IN", "group_refs": [group["url"]]}}}])
    monitor = admin.make("healthmonitor", name="cv-hm", type="HEALTH_MONITOR_HTTPS", https_monitor={
        "http_request": "GET / HTTP/1.0", "http_response_code": ["HTTP_2XX"],
        "ssl_attributes": {"ssl_profile_ref": "/api/sslprofile?name=System-Standard"}})
    pool = admin.make("pool", name="cv-pool", servers=[server("10.6.0.2")], health_monitor_refs=[monitor["url"]])
    admin.make("vsvip", name="cv-vip", vip=[vip("10.6.0.3")], dns_info=[{"fqdn": "shop.example.com", "type": "DNS_RECORD_A"}])
    admin.make("virtualservice", name="cv", services=[{"port": 80}], pool_ref=pool["url"], vsvip_ref="/api/vsvip?name=cv-vip",
               network_security_policy_ref=policy["url"])
    old = admin.get("virtualservice?name=cv").json()["results"][0]
    for number, (where, own) in enumerate((({}, {}), ({}, {"cloud_ref": cloud["url"]}), ({"X-Avi-Tenant": "copies"}, {}))):
        def copy(ref, name, **more):
            """Also of the tenant: the body says where it was."""
            return made(ref.split("/api/")[1].split("/")[0], {**read(ref, name), **more}, headers=where)["url"]
        hm = copy(monitor["url"], f"hm-{number}")
        p = read(pool["url"], f"pool-{number}")
        p.pop("vrf_ref", None)
        p = made("pool", {**p, "health_monitor_refs": [hm], **own}, headers=where)
        n = read(policy["url"], f"policy-{number}")
        n["rules"][0]["match"]["client_ip"]["group_refs"] = [copy(group["url"], f"group-{number}")]
        n = made("networksecuritypolicy", n, headers=where)
        v = read(old["vsvip_ref"], f"vip-{number}")
        assert v["vip"][0]["auto_allocate_ip"] is False and v["vip"][0]["auto_allocate_floating_ip"] is False
        v["vip"] = [{"vip_id": "1", "enabled": True, "auto_allocate_ip": False, "auto_allocate_floating_ip": False,
                     "ip_address": {"addr": f"10.6.1.{number}", "type": "V4"}}]
        v.pop("vrf_context_ref")
        v = made("vsvip", {**v, **own}, headers=where)
        s = read(old["url"], f"cv-{number}")
        assert s["type"] == "VS_TYPE_NORMAL" and s["vh_type"]
        if own:
            # Its routing domain stays that of the old cloud's name: it is the one of its addresses that counts.
            s["se_group_ref"] = next(g["url"] for g in admin.get("serviceenginegroup?name=Default-Group").json()["results"]
                                     if g["cloud_ref"] == cloud["url"].split("#")[0])
        s = made("virtualservice", {**s, "enabled": False, "pool_ref": p["url"], "vsvip_ref": v["url"],
                                    "network_security_policy_ref": n["url"], **own}, headers=where)
        assert s["tenant_ref"].endswith("#copies" if where else "#admin")
        assert s["cloud_ref"].endswith("#Other" if own else "#Default-Cloud")
        for ref in (s["url"], n["url"], v["url"], p["url"], hm):
            assert admin.delete(ref.split("/api/")[1].split("#")[0], headers=where).status_code == 204


def test_ako_syncs_its_services(controller, admin):
    """Full sync by pages, objects marked as its own, 409 to GET and PUT, 412 to a new look, deletes of what is gone."""
    s = controller.session(version="22.1.3")
    mark = {"created_by": "ako-cluster"}

    def ensure(kind, **body):
        answer = s.send("POST", controller.url + f"//api/{kind}", body)
        if answer.status_code == 409:
            assert "already exists" in answer.text
            own = "&created_by=ako-cluster" if "created_by" in body else ""
            old = s.get(f"/{kind}?name={body['name']}&include_name=true{own}").json()
            assert old["count"] == 1
            answer = s.put(f"{kind}/{old['results'][0]['uuid']}", body)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    for _ in range(2):
        ensure("vsvip", name="ako-vip", vip=[vip("10.5.1.1", vip_id="0")], cloud_ref="/api/cloud?name=Default-Cloud")
        ensure("pool", name="ako-pool", servers=[server("10.5.1.2")], **mark)
        vs = ensure("virtualservice", name="ako-vs", services=[{"port": 80}], pool_ref="/api/pool?name=ako-pool",
                    vsvip_ref="/api/vsvip?name=ako-vip", **mark)
    seen, url = [], controller.url + "//api/virtualservice?include_name=true&created_by=ako-cluster&page_size=1"
    ensure("virtualservice", name="ako-vs2", services=[{"port": 81}], vsvip_ref="/api/vsvip?name=ako-vip", **mark)
    while url:
        page = s.get(url).json()
        seen += [o["name"] for o in page["results"]]
        url = page.get("next")
    assert sorted(seen) == ["ako-vs", "ako-vs2"]
    stale = s.get("vsvip?name=ako-vip").json()["results"][0]
    assert admin.patch(f"vsvip/{stale['uuid']}", {"replace": {"bgp_local_preference": 7}}).status_code == 200
    assert "Need to reload object data VsVip" in error(s.put(f"vsvip/{stale['uuid']}", stale), 412)
    fresh = s.get(f"vsvip/{stale['uuid']}").json()
    assert s.put(f"vsvip/{stale['uuid']}", fresh).status_code == 200
    changed = {**fresh, "vip": [{**fresh["vip"][0], "vip_id": "9"}]}
    changed.pop("_last_modified")
    assert "Changing an existing VIP's vip_id is not supported" in error(s.put(f"vsvip/{stale['uuid']}", changed), 400)
    # By macro, as older releases do; the answer is searched by the type in each url.
    made = s.post("macro", {"model_name": "Pool", "data": {"name": "ako-macro", **mark}}).json()
    assert [o["url"].split("/api/")[1].split("/")[0] for o in made] == ["pool"]
    for kind, name in (("virtualservice", "ako-vs"), ("virtualservice", "ako-vs2"), ("pool", "ako-pool"), ("pool", "ako-macro"),
                       ("vsvip", "ako-vip")):
        uuid = s.find(kind, name)["uuid"]
        assert s.send("DELETE", controller.url + f"//api/{kind}/{uuid}").status_code == 204
        error(s.delete(f"{kind}/{uuid}"), 404)
    runtime = s.get("cluster/runtime").json()
    assert runtime["cluster_state"]["state"] == "CLUSTER_UP_NO_HA"
    assert runtime["node_states"][0]["role"] == "CLUSTER_LEADER" and runtime["node_states"][0]["up_since"]


def test_every_page_and_pagination_shape(controller, admin):
    """The iterator of the Python SDK counts pages itself as long as there is a `next`."""
    for i in range(5):
        admin.make("stringgroup", name=f"sg{i}", type="SG_TYPE_STRING")
    page, names = 1, []
    while True:
        body = admin.get(f"stringgroup?page_size=2&name.startswith=sg&page={page}").json()
        names += [o["name"] for o in body["results"]]
        if "next" not in body:
            break
        assert body["next"].startswith(f"{controller.url}/api/stringgroup?page={page + 1}&")
        page += 1
    assert names == [f"sg{i}" for i in range(5)] and page == 3


@pytest.mark.parametrize("path", ["/api/pool", "//api/pool/", "/api/pool?x", "/api/tenant/?name=admin"])
def test_answers_tell_what_the_recorded_ones_do(controller, admin, path):
    answer = admin.send("GET", controller.url + path.replace("?x", "?include_name"))
    assert answer.status_code == 200
    assert answer.headers["Vary"] == "Accept, Cookie, Origin"
    assert answer.headers["Cache-Control"] == "private, no-cache, must-revalidate"
    assert answer.headers["AVI_API_VERSION"] == "22.1.3"
    assert answer.headers["Content-Type"] == "application/json"
    assert "Strict-Transport-Security" in answer.headers
