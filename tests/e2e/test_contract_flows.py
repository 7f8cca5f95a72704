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
