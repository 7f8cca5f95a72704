"""Who may speak to the controller: logins, sessions, CSRF, tenants, versions."""

import base64
import json
import os
import pathlib
import re

import pytest
import requests

from contract import Session, error, read_answer


def plain(controller, method, path, **more):
    """Without a session."""
    with requests.Session() as http:
        http.trust_env = False
        return http.request(method, controller.url + path, verify=False, timeout=30, **more)


def test_form_login_sets_three_cookies(controller):
    answer = plain(controller, "POST", "/login", data={"username": "admin", "password": controller.password})
    assert answer.status_code == 200
    cookies = answer.raw.headers.getlist("Set-Cookie")
    csrf = [c for c in cookies if c.startswith("csrftoken=")]
    sids = [c for c in cookies if c.startswith(("avi-sessionid=", "sessionid="))]
    assert len(csrf) == 1 and len(sids) == 2
    assert re.fullmatch(r"csrftoken=\w{32,}; Max-Age=31449600; Path=/; Secure", csrf[0])
    for cookie in sids:
        assert re.fullmatch(r"[a-z-]+=\w+; HttpOnly; Max-Age=86400; Path=/; Secure", cookie)
    assert len({cookie.split("=")[1] for cookie in sids}) == 1
    body = answer.json()
    assert body["version"]["Version"] == "30.2.1" and body["version"]["Product"] == "controller"
    assert body["session_cookie_name"] == "avi-sessionid"
    assert body["user"]["uuid"] == "user-1" and body["user"]["is_superuser"] is True
    assert [t["name"] for t in body["tenants"]] == ["admin"]
    assert body["controller"]["api_idle_timeout"] == 15
    assert body["system_config"]["uuid"] == "default"


def test_the_session_cookies_are_renewed_with_each_answer(controller):
    s = controller.session()
    for answer in (s.get("pool"), s.post("pool", {"name": "renewed"}), s.get("pool/nope")):
        cookies = answer.raw.headers.getlist("Set-Cookie")
        assert cookies == [f"{name}={s.sid}; HttpOnly; Max-Age=86400; Path=/; Secure" for name in ("avi-sessionid", "sessionid")]
    answer = s.http.post(controller.url + "/logout", headers=s.headers())
    assert "Set-Cookie" not in answer.headers
    for answer in (s.get("pool"), plain(controller, "GET", "/api/initial-data")):
        assert "Set-Cookie" not in answer.headers


def test_json_login_as_go_does_it(controller):
    answer = plain(controller, "POST", "/login", json={"username": "admin", "password": controller.password},
                   headers={"Referer": controller.url + "/", "X-Avi-Version": "18.2.6", "X-Avi-Tenant": "admin"})
    assert answer.status_code == 200
    assert {"csrftoken", "sessionid"} <= set(answer.cookies.keys())


def test_json_login_as_curl_does_it(controller):
    """Without a word about the type of the body: -d calls it a form."""
    answer = plain(controller, "POST", "/login", data=json.dumps({"username": "admin", "password": controller.password}),
                   headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 200


@pytest.mark.parametrize("user,password", [("admin", "wrong"), ("nobody", "wrong"), ("admin", ""), ("", "")])
def test_wrong_credentials_are_told_in_these_words(controller, user, password):
    answer = plain(controller, "POST", "/login", data={"username": user, "password": password})
    assert "Invalid credentials" in error(answer, 401)
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("body,kind", [
    ("", "application/x-www-form-urlencoded"), ("username=admin", "application/x-www-form-urlencoded"),
    ("{", "application/json"), ("[]", "application/json"), ('{"username": "admin"}', "application/json"),
    ("username=%00&password=x", "application/x-www-form-urlencoded")])
def test_a_login_without_sense_is_refused(controller, body, kind):
    error(plain(controller, "POST", "/login", data=body, headers={"Content-Type": kind}), 400)


def test_cookies_twice_byte_for_byte(controller):
    s = controller.session()
    body = b'{"name": "twice", "cloud_ref": "/api/cloud?name=Default-Cloud"}'
    status, head, _ = controller.raw((
        f"POST /api/pool HTTP/1.1\r\nHost: {controller.host}\r\nAccept-Encoding: identity\r\n"
        f"Referer: {controller.url}\r\nContent-Type: application/json\r\ntimeout: None\r\n"
        f"X-Avi-Version: 22.1.3\r\nX-Avi-Tenant: admin\r\nX-CSRFToken: {s.csrf}\r\n"
        f"Cookie: csrftoken={s.csrf}; avi-sessionid={s.sid}; sessionid={s.sid}; csrftoken={s.csrf}; "
        f"sessionid={s.sid}; avi-sessionid={s.sid}\r\nContent-Length: {len(body)}\r\n"
        f"User-Agent: python-urllib3/1.26.12\r\n\r\n").encode() + body)
    assert status == 201
    assert b"#twice" in head


def test_of_two_sessions_in_one_line_the_living_one_counts(controller):
    s, dead = controller.session(), controller.session()
    assert dead.http.post(controller.url + "/logout", headers=dead.headers()).status_code == 200
    for line in (f"sessionid={dead.sid}; sessionid={s.sid}", f"sessionid={s.sid}; sessionid={dead.sid}",
                 f"csrftoken=other; avi-sessionid={s.sid}; csrftoken={s.csrf}"):
        assert s.get("pool", headers={"Cookie": line}).status_code == 200
        assert s.post("pool", {"name": f"p{hash(line)}"}, headers={"Cookie": line}).status_code == 201


@pytest.mark.parametrize("token", [None, "", "0" * 32])
def test_a_wrong_csrf_token_is_401_in_plain_text(controller, admin, token):
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = admin.send(method, "pool", {"name": "csrf"}, headers={"X-CSRFToken": token})
        assert answer.status_code == 401
        assert answer.text == "CSRF token missing or incorrect."
        assert answer.headers["Content-Type"] == "application/json"
    assert admin.get("pool", headers={"X-CSRFToken": token}).status_code == 200
    assert admin.find("pool", "csrf") is None


def test_without_a_session_nothing_is_said(controller):
    error(plain(controller, "GET", "/api/pool"), 401)
    error(plain(controller, "GET", "/api/pool", headers={"Cookie": "sessionid=" + "0" * 32}), 401)
    error(plain(controller, "GET", "/api/model"), 401)


def test_logout_ends_the_session(controller):
    s = controller.session()
    answer = s.http.post(controller.url + "/logout", headers={**s.headers(), "Content-Length": "0"})
    assert answer.status_code == 200
    error(s.get("pool"), 401)
    s.login()
    assert s.get("pool").status_code == 200


def cpu_ms(pid):
    """What a process has computed, all its threads: no clock tells that on a machine with other things to do."""
    ticks = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) * 1000 / os.sysconf("SC_CLK_TCK")


def test_hundreds_of_logins_are_cheap_and_all_live(controller, admin):
    def logins(names, password):
        before = cpu_ms(controller.process.pid)
        answers = [admin.http.post(controller.url + "/login", data={"username": name, "password": password}) for name in names]
        return answers, (cpu_ms(controller.process.pid) - before) / len(names)

    # Of a user that does not exist a hash is made all the same: that is what one by argon2id costs here and now.
    _, hashed = logins([f"nobody-{n}" for n in range(20)], "wrong")
    answers, known = logins(["admin"] * 300, controller.password)
    print(f"measured: a login: {known:.2f} ms of CPU, one that is hashed {hashed:.2f} ms")
    assert known < hashed / 4
    sessions = [(answer.cookies["csrftoken"], answer.cookies["sessionid"]) for answer in answers]
    assert len(set(sessions)) == 300
    for csrf, sid in sessions[::30]:
        assert admin.get("pool", headers={"Cookie": f"sessionid={sid}", "X-CSRFToken": csrf}).status_code == 200


def test_basic_authentication_only_when_allowed(controller, admin):
    word = base64.b64encode(f"admin:{controller.password}".encode()).decode()
    basic = {"Authorization": f"Basic {word}"}
    wrong = {"Authorization": "Basic " + base64.b64encode(b"admin:wrong").decode()}
    error(plain(controller, "GET", "/api/pool", headers=basic), 401)
    config = admin.get("systemconfiguration").json()
    config.setdefault("portal_configuration", {})["allow_basic_authentication"] = True
    assert admin.put("systemconfiguration", config).status_code == 200
    assert plain(controller, "GET", "/api/pool", headers=basic).status_code == 200
    # No cookies, so no CSRF check either.
    assert plain(controller, "POST", "/api/pool", json={"name": "basic"}, headers=basic).status_code == 201
    assert "Invalid credentials" in error(plain(controller, "GET", "/api/pool", headers=wrong), 401)
    error(plain(controller, "GET", "/api/pool", headers={"Authorization": "Basic !!"}), 401)
    assert admin.patch("systemconfiguration", {"replace": {"portal_configuration": {
        "allow_basic_authentication": False}}}).status_code == 200
    error(plain(controller, "GET", "/api/pool", headers=basic), 401)


def test_user_tokens_log_in(controller, admin):
    for wrong in ([], {"hours": 0}, {"hours": "soon"}):
        error(admin.post("user-token", wrong), 400)
    answer = admin.post("user-token", {"hours": "24"})
    assert answer.status_code == 201
    token = answer.json()["token"]
    assert [t["token"] for t in admin.get("user-token").json()["results"]] == [token]
    s = Session(controller, "admin", "", login=False)
    assert s.login(username="admin", token=token).status_code == 200
    assert s.get("pool").status_code == 200
    assert "Invalid credentials" in error(s.login(username="admin", token="0" * 64), 401)
    assert admin.delete("user-token/" + answer.json()["uuid"]).status_code == 204
    assert "Invalid credentials" in error(s.login(username="admin", token=token), 401)
    error(admin.delete("user-token/" + answer.json()["uuid"]), 404)


def test_tokens_go_with_their_user(controller, admin):
    """Another one may come to have his uuid, and more rights."""
    him = admin.make("user", name="goes", password="first password", is_superuser=True)
    token = controller.session("goes", "first password").post("user-token", {"hours": 1}).json()["token"]
    assert admin.delete(f"user/{him['uuid']}").status_code == 204
    again = admin.post("user", {"name": "goes", "password": "other password"}, headers={"Slug": him["uuid"]})
    assert again.status_code == 201
    assert controller.session(login=False).login(username="goes", token=token).status_code == 401
    assert admin.delete(f"user/{him['uuid']}").status_code == 204


def test_a_new_password_ends_the_other_sessions(controller, admin):
    anna = admin.make("user", name="anna", password="first password", is_superuser=True)
    one, two = controller.session("anna", "first password"), controller.session("anna", "first password")
    token = two.post("user-token", {"hours": 24}).json()["token"]
    assert controller.session(login=False).login(username="anna", token=token).status_code == 200
    kept = admin.post("user-token", {"hours": 24}).json()
    assert "old_password" in error(one.put("useraccount", {"username": "anna", "password": "second password",
                                                           "old_password": "wrong"}), 400)
    assert "old_password" in error(one.put("useraccount", {"password": "second password"}), 400)
    assert "8 characters" in error(one.put("useraccount", {"password": "short", "old_password": "first password"}), 400)
    answer = one.put("useraccount", {"username": "anna", "password": "second password",
                                     "old_password": "first password"})
    assert answer.status_code == 200 and answer.text == ""
    assert one.get("pool").status_code == 200
    error(two.get("pool"), 401)
    # Also the cheap repeated login must have forgotten the old one.
    error(two.login(), 401)
    assert controller.session("anna", "second password").get("pool").status_code == 200
    # So is what was made with it to last: tokens, of her alone.
    error(controller.session(login=False).login(username="anna", token=token), 401)
    assert one.get("user-token").json()["count"] == 0
    assert controller.session(login=False).login(username="admin", token=kept["token"]).status_code == 200
    assert admin.delete("user-token/" + kept["uuid"]).status_code == 204
    # The same when somebody else sets it; not when it stays.
    token = one.post("user-token", {"hours": 24}).json()["token"]
    assert admin.patch(f"user/{anna['uuid']}", {"replace": {"email": "anna@example.com"}}).status_code == 200
    assert controller.session(login=False).login(username="anna", token=token).status_code == 200
    assert admin.patch(f"user/{anna['uuid']}", {"replace": {"password": "third password"}}).status_code == 200
    error(controller.session(login=False).login(username="anna", token=token), 401)
    error(one.get("pool"), 401)


def test_a_user_who_is_gone_is_out(controller, admin):
    user = admin.make("user", name="bert", password="some password", is_superuser=True)
    s = controller.session("bert", "some password")
    assert admin.patch("user/" + user["uuid"], {"replace": {"is_active": False}}).status_code == 200
    error(s.get("pool"), 401)
    error(s.login(), 401)
    assert admin.delete("user/" + user["uuid"]).status_code == 204
    error(s.login(), 401)


def test_no_password_ever_comes_back(controller, admin):
    user = admin.make("user", name="carl", password="some password")
    texts = [admin.get("user/" + user["uuid"]).text, admin.get("user?name=carl").text, str(user),
             admin.get("analytics/logs?type=2&page_size=1000").text,
             admin.get("user?search=some%20password").text]
    for text in texts:
        assert "some password" not in text and "argon2" not in text
    assert admin.get("user?password.contains=argon").json()["count"] == 0
    # A PUT of what was read keeps the password; so does one that leaves it out.
    assert admin.put("user/" + user["uuid"], admin.get("user/" + user["uuid"]).json()).status_code == 200
    assert controller.session("carl", "some password", login=False).login().status_code == 200
    assert admin.put("user/" + user["uuid"], {"name": "carl"}).status_code == 200
    assert controller.session("carl", "some password", login=False).login().status_code == 200
    assert admin.patch("user/" + user["uuid"], {"replace": {"password": "other password"}}).status_code == 200
    assert controller.session("carl", "other password", login=False).login().status_code == 200
    assert "Invalid" in error(controller.session("carl", "some password", login=False).login(), 401)


def test_the_last_superuser_stays(admin):
    for name in ("anna", "bert"):
        user = admin.find("user", name)
        if user:
            admin.delete("user/" + user["uuid"])
    assert "last superuser" in error(admin.patch("user/user-1", {"replace": {"is_superuser": False}}), 400)
    assert "system default" in error(admin.delete("user/user-1"), 403)


@pytest.mark.parametrize("version", ["18.2.6", "20.1.1", "22.1.3", "22.1.3-9001", "30.2.1-9999", "30.2.1", "30.2"])
def test_older_versions_are_spoken(admin, version):
    answer = admin.get("pool", headers={"X-Avi-Version": version})
    assert answer.status_code == 200
    assert answer.headers["AVI_API_VERSION"] == version


@pytest.mark.parametrize("version", ["31.1.1", "30.2.2", "30.2.2-1", "99", "x", "-1"])
def test_newer_versions_are_not(admin, version):
    assert "Invalid version" in error(admin.get("pool", headers={"X-Avi-Version": version}), 400)


def test_no_version_is_ours(admin):
    assert admin.get("pool", headers={"X-Avi-Version": None}).headers["AVI_API_VERSION"] == "30.2.1"


def test_unknown_tenants_are_told(admin):
    assert error(admin.get("pool", headers={"X-Avi-Tenant": "nowhere"}), 403) == "Tenant 'nowhere' does not exist!"
    error(admin.get("pool", headers={"X-Avi-Tenant": None, "X-Avi-Tenant-UUID": "nowhere"}), 403)
    assert admin.get("pool", headers={"X-Avi-Tenant": None, "X-Avi-Tenant-UUID": "admin"}).status_code == 200
    assert admin.get("pool", headers={"X-Avi-Tenant": None}).status_code == 200


@pytest.mark.parametrize("path", ["/api/initial-data", "/api/cluster/status", "/api/cluster/runtime"])
def test_the_state_is_told_before_a_login(controller, path):
    assert plain(controller, "GET", path).status_code == 200


def test_the_state_is_what_clients_wait_for(controller, admin):
    first = plain(controller, "GET", "/api/initial-data")
    assert first.json()["version"]["Version"] == "30.2.1" and '"min_version":15.2,' in first.text
    runtime = admin.get("cluster/runtime").json()
    assert runtime["cluster_state"]["state"] == "CLUSTER_UP_NO_HA"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", runtime["cluster_state"]["up_since"])
    assert runtime["node_states"][0]["role"] == "CLUSTER_LEADER"
    assert admin.get("cluster/version").json()["Version"] == "30.2.1"
    assert admin.get("cluster?name=x").json()["uuid"].startswith("cluster-")
    assert admin.get("licenseusage").json()["licensed_cores"] > 0
    assert any(kind["kind"] == "pool" for kind in admin.get("model").json()["kinds"])


def test_connections_are_kept(controller):
    s = controller.session()
    request = (f"GET /api/pool HTTP/1.1\r\nHost: {controller.host}\r\nCookie: sessionid={s.sid}\r\n\r\n").encode()
    with controller.tls() as line:
        for _ in range(20):
            line.sendall(request)
            assert read_answer(line)[0] == 200
