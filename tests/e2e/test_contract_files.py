"""Files as the clients send and fetch them, in every wrong way too."""

import hashlib
import json
import os
import threading

import pytest

from contract import error, read_answer


def form(parts, boundary="f00"):
    """Parts (name, file name or None, bytes), and what a multipart request says it is."""
    body = b""
    for name, file, data in parts:
        file = f'; filename="{file}"' if file is not None else ""
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def upload(s, path, parts, headers=None, tail=b""):
    body, head = form(parts)
    return s.send("POST", path, body + tail, headers={**head, **(headers or {})})


def names(s, uri):
    return [f["name"] for f in s.get(f"fileservice?uri=controller://{uri}").json()["results"]]


def test_two_steps_of_ansible(controller, admin):
    """The folder first, then the file with the folder again as `uri`, which says more than the path."""
    assert admin.send("POST", "fileservice?uri=controller://playbooks/certs").status_code <= 300
    assert names(admin, "playbooks") == ["certs"]
    data = bytes(range(256)) * 1000
    answer = upload(admin, "fileservice/uploads", [("file", "all.bin", data), ("uri", None, b"controller://playbooks/certs")])
    assert answer.status_code == 201, answer.text
    assert answer.json() == {"name": "all.bin", "uri": "controller://playbooks/certs/all.bin", "size": len(data)}
    got = admin.get("fileservice/playbooks/certs/all.bin?x=y")
    assert got.status_code == 200 and got.content == data
    assert got.headers["Content-Type"] == "application/octet-stream" and got.headers["Content-Disposition"] == "attachment"
    listed = admin.get("fileservice?uri=controller://playbooks/certs").json()
    assert listed["count"] == 1
    row = listed["results"][0]
    assert row.pop("modified").endswith("+00:00")
    assert row == {"name": "all.bin", "uri": "controller://playbooks/certs/all.bin", "size": len(data), "type": "FILE"}
    assert admin.get(f"fileservice?uri={row['uri']}").json()["results"][0]["size"] == len(data)
    # A file is replaced by one of the same name, whole or not at all.
    assert upload(admin, "fileservice/playbooks/certs", [("file", "all.bin", b"new")]).status_code == 201
    assert admin.get("fileservice/playbooks/certs/all.bin").content == b"new"
    assert admin.delete("fileservice?uri=controller://playbooks/certs/all.bin").status_code == 204
    error(admin.get("fileservice/playbooks/certs/all.bin"), 404)
    events = admin.get("analytics/logs?type=2&page_size=3").json()["results"]
    assert [e["event_id"] for e in events] == ["FILE_DELETE", "FILE_UPLOAD", "FILE_UPLOAD"]


def test_go_writes_a_part_behind_the_end(controller, admin):
    """Two slashes in front, a path in the file's name, and the `uri` part after the closing boundary: byte for byte."""
    late = b'--f00\r\nContent-Disposition: form-data; name="uri"\r\n\r\ncontroller://elsewhere\r\n--f00--\r\n'
    body, head = form([("file", "/tmp/go/hsm.tar", b"\x00\r\n--f0\r\n--\r\n\x01")])
    body += late
    status, answer_head, answer = controller.raw((
        f"POST //api/fileservice/hsmpackages?hsmtype=safenet HTTP/1.1\r\nHost: {controller.host}\r\nAccept-Encoding: gzip\r\n"
        f"Accept: application/json\r\nReferer: {controller.url}/\r\nX-Avi-Version: 18.2.6\r\nX-Avi-Tenant: admin\r\n"
        f"X-CSRFToken: {admin.csrf}\r\nCookie: csrftoken={admin.csrf}; avi-sessionid={admin.sid}\r\n"
        f"Content-Type: {head['Content-Type']}\r\nContent-Length: {len(body)}\r\nUser-Agent: Go-http-client/1.1\r\n\r\n").encode() + body)
    assert status == 201, answer
    assert json.loads(answer)["uri"] == "controller://hsmpackages/hsm.tar"
    assert admin.get("fileservice/hsmpackages/hsm.tar", headers={"Accept": "application/json"}).content == b"\x00\r\n--f0\r\n--\r\n\x01"
    assert names(admin, "elsewhere") == []


def test_packages_and_file_objects(admin):
    assert upload(admin, "fileservice/uploads", [("file", "controller.pkg", b"p"), ("uri", None, b"controller://upgrade_pkgs")]
                  ).json()["uri"] == "controller://upgrade_pkgs/controller.pkg"
    # The Go SDK names an object in the form, finds it by that name, and deletes it by its uuid.
    # Who looks before anybody has sent one finds none.
    assert admin.get("fileobject?include_refs=&include_name=&name=geo").json() == {"count": 0, "results": []}
    answer = upload(admin, "/fileobject/upload", [("file", "/tmp/geo.csv", b"g"), ("name", None, b"geo"), ("type", None, b"OTHER")])
    assert answer.status_code == 201 and answer.json()["name"] == "geo"
    assert upload(admin, "fileobject/upload", [("file", "plain.csv", b"p")]).json()["name"] == "plain.csv"
    assert admin.get("fileobject").json()["count"] == 2 and admin.get("fileobject?name=none").json() == {"count": 0, "results": []}
    found, = admin.get("fileobject?name=geo").json()["results"]
    assert found["uuid"] == answer.json()["uuid"] and found["url"].endswith(f"/api/fileobject/{found['uuid']}")
    assert admin.get(f"fileobject/{found['uuid']}").content == b"g"
    for uuid in (found["uuid"], "plain.csv"):
        assert admin.delete(f"fileobject/{uuid}").status_code == 204
    assert error(upload(admin, "fileobject/upload", [("file", "a", b"x"), ("name", None, b"../b")]), 400).startswith("name: No file")


def test_large_files_pass_through_to_the_disk(controller, admin):
    """More than the memory that any other body may take, by many at once, with and without a length."""
    before = int(open(f"/proc/{controller.process.pid}/status").read().split("VmHWM:")[1].split()[0])
    piece, count = os.urandom(1 << 20), 24
    head = b'--f00\r\nContent-Disposition: form-data; name="file"; filename="%d"\r\n\r\n'

    def pieces(n):
        yield head % n
        for _ in range(count):
            yield piece
        yield b"\r\n--f00--\r\n"

    def one(n):
        s = controller.session()
        headers = {"Content-Type": "multipart/form-data; boundary=f00"}
        data = pieces(n) if n % 2 else b"".join(pieces(n))
        answers[n] = s.send("POST", "fileservice/large", data, headers=headers)

    answers = {}
    threads = [threading.Thread(target=one, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    while any(t.is_alive() for t in threads):
        assert admin.get("pool?page_size=1").status_code == 200
    assert [answers[n].json()["size"] for n in range(4)] == [count << 20] * 4
    want = hashlib.sha256(piece * count).hexdigest()
    for n in (0, 1):
        with admin.send("GET", f"fileservice/large/{n}", stream=True) as answer:
            got = hashlib.sha256()
            for part in answer.iter_content(1 << 20):
                got.update(part)
        assert got.hexdigest() == want
    after = int(open(f"/proc/{controller.process.pid}/status").read().split("VmHWM:")[1].split()[0])
    assert after - before < 20 << 10, f"it grew by {after - before} KiB"
    for n in range(4):
        admin.delete(f"fileservice/large/{n}")
    assert admin.delete("fileservice/large").status_code == 204


def test_expect_continue_as_curl_does_it(controller, admin):
    body, head = form([("file", "c", b"x" * 100)])
    with controller.tls() as line:
        line.sendall((f"POST /api/fileservice/curl HTTP/1.1\r\nHost: {controller.host}\r\nX-CSRFToken: {admin.csrf}\r\n"
                      f"Cookie: sessionid={admin.sid}\r\nContent-Type: {head['Content-Type']}\r\n"
                      f"Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n").encode())
        line.settimeout(10)
        assert line.recv(1000).startswith(b"HTTP/1.1 100 ")
        line.sendall(body)
        assert read_answer(line)[0] == 201


def test_who_may_not_upload_writes_nothing(controller, admin):
    """The head is enough to refuse: no body of a stranger comes near the disk."""
    held = sum(len(f) for _, _, f in os.walk(controller.data / "files"))
    body, head = form([("file", "x", b"x" * 3_000_000)])
    for headers, status in (({"Cookie": "sessionid=" + "0" * 32}, 401), ({"X-CSRFToken": "0" * 32}, 401),
                            ({"X-Avi-Tenant": "nowhere"}, 403), ({"X-Avi-Version": "99"}, 400), ({"X-Avi-Tenant": "*"}, 400)):
        answer = admin.send("POST", "fileservice/d", body, headers={**head, **headers})
        assert answer.status_code == status, answer.text
    admin.make("user", name="felix", password="some password", access=[
        {"role_ref": "/api/role?name=Application-Operator", "tenant_ref": "/api/tenant?name=admin"}])
    felix = controller.session("felix", "some password")
    assert felix.send("POST", "fileservice/d", body, headers=head).status_code == 403
    # A form for a route that takes none is refused as any other body that is no JSON, and too large as such.
    error(upload(admin, "pool", [("file", "x", b"x")]), 400)
    error(admin.send("POST", "pool", body, headers=head), 413)
    assert sum(len(f) for _, _, f in os.walk(controller.data / "files")) == held


@pytest.mark.parametrize("parts,text", [
    ([("file", "", b"x")], "file: It has no file name"), ([("file", None, b"x")], "file: It has no file name"),
    ([("file", "..", b"x")], "file:"), ([("file", ".hidden", b"x")], "file:"), ([("file", "a/..", b"x")], "file:"),
    ([("file", "n" * 256, b"x")], "file:"), ([("file", "a\x01b", b"x")], "file:"),
    ([("file", "a", b"x"), ("file", "b", b"y")], "One file"), ([("uri", None, b"controller://d")], "file:"),
    ([("file", "a", b"x"), ("uri", None, b"/etc")], "uri: It begins with controller://"),
    ([("file", "a", b"x"), ("uri", None, b"controller://../../etc")], "no path of a file"),
    ([("file", "a", b"x"), ("uri", None, b"controller://d/../../x")], "no path of a file"),
    ([("file", "a", b"x"), ("uri", None, b"controller://.ssh")], "no path of a file"),
    ([("file", "a", b"x"), ("uri", None, b"controller://a\\b")], "no path of a file"),
    ([("file", "a", b"x"), ("uri", None, b"controller://" + b"d/" * 17)], "no path of a file"),
    ([("file", "a", b"x"), ("uri", None, b"controller://d"), ("uri", None, b"controller://e")], "comes twice"),
    ([("file", "a", b"x"), ("uri", None, b"\xff")], "no text"), ([("file", "a", b"x"), ("uri", None, b"c" * 5000)], "at most"),
    ([("name", None, b"x")] * 1 + [(f"f{i}", None, b"x") for i in range(16)], "parts")])
def test_bad_uploads(admin, parts, text):
    assert text in error(upload(admin, "fileservice/bad", parts), 400)
    assert names(admin, "bad") == []


@pytest.mark.parametrize("body", [b"", b"--f00", b"--f00\r\n\r\n", b"x" * 100, b"--f00--", b"--f00\r\nContent-Disposition: x\r\n\r\n"])
def test_forms_that_are_none(admin, body):
    error(admin.send("POST", "fileservice/bad", body, headers={"Content-Type": "multipart/form-data; boundary=f00"}), 400)
    error(admin.send("POST", "fileservice/bad", body, headers={"Content-Type": "multipart/form-data"}), 400)
    if body:
        error(admin.send("POST", "fileservice/bad", body), 400)


def test_paths_stay_in_their_tenant(controller, admin):
    upload(admin, "fileservice/mine", [("file", "secret", b"s")])
    admin.make("tenant", name="files-other")
    other = controller.session(tenant="files-other")
    error(other.get("fileservice/mine/secret"), 404)
    assert names(other, "mine") == [] and names(other, "") == []
    for path in ("admin/mine/secret", "files/admin/mine/secret"):
        error(other.get(f"fileservice/{path}"), 404)
    error(other.get("fileservice?uri=controller://../admin/mine"), 400)
    error(other.delete("fileservice?uri=controller://../admin/mine/secret"), 400)
    error(other.delete("fileservice"), 400)
    error(other.get("fileservice", headers={"X-Avi-Tenant": "*"}), 400)
    # A link in the tree, which no client can make, leads nowhere.
    (controller.data / "files" / "admin" / "mine" / "link").symlink_to("/etc")
    error(admin.get("fileservice/mine/link/passwd"), 404)
    (controller.data / "files" / "admin" / "mine" / "passwd").symlink_to("/etc/passwd")
    error(admin.get("fileservice/mine/passwd"), 404)
    for path in controller.data.glob("files/**/*"):
        assert path.is_symlink() or path.stat().st_mode & 0o077 == 0
    # They go with their tenant.
    upload(other, "fileservice/d/e", [("file", "f", b"x")])
    tenant = admin.find("tenant", "files-other")["uuid"]
    assert (controller.data / "files" / tenant).exists()
    assert admin.delete(f"tenant/{tenant}").status_code == 204
    assert not (controller.data / "files" / tenant).exists()


def test_folders(admin):
    upload(admin, "fileservice/f/g", [("file", "one", b"1")])
    assert "not empty" in error(admin.delete("fileservice/f/g"), 412)
    assert [f["type"] for f in admin.get("fileservice/f").json()["results"]] == ["FOLDER"]
    assert "already exists" in error(upload(admin, "fileservice/f", [("file", "g", b"x")]), 409)
    assert "leads through a file" in error(upload(admin, "fileservice/f/g/one", [("file", "x", b"x")]), 400)
    error(admin.get("fileservice/f/nope"), 404)
    error(admin.delete("fileservice/f/nope"), 404)
    error(admin.send("PUT", "fileservice/f/g/one", "x"), 405)


def test_a_client_that_goes_away_leaves_nothing(controller, admin):
    _, head = form([])
    with controller.tls() as line:
        line.sendall((f"POST /api/fileservice/gone HTTP/1.1\r\nHost: {controller.host}\r\nX-CSRFToken: {admin.csrf}\r\n"
                      f"Cookie: sessionid={admin.sid}\r\nContent-Type: {head['Content-Type']}\r\nContent-Length: 100000\r\n\r\n"
                      f'--f00\r\nContent-Disposition: form-data; name="file"; filename="half"\r\n\r\nxxx').encode())
        assert admin.get("pool?page_size=1").status_code == 200
    assert names(admin, "gone") == []
    assert upload(admin, "fileservice/gone", [("file", "whole", b"x")]).status_code == 201
