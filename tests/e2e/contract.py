"""A real controller on loopback, and clients that speak to it as the Avi clients do on the wire."""

import json
import os
import pathlib
import select
import socket
import ssl
import subprocess

import requests
import urllib3

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAM = pathlib.Path(os.environ.get("SPANWIRE_BIN", ROOT / "build" / "controller")) / "spanwire-controller"

urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)


class Controller:
    """One process; `kill()` and `start()` again keep the data folder and the port."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.data = self.folder / "data"
        self.listen = "127.0.0.1:0"
        self.process = None

    def start(self):
        self.log = open(self.folder / "controller.log", "ab")
        self.process = subprocess.Popen(
            [PROGRAM, "--data", self.data, "--listen", self.listen, "--engine-listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        ready, _, _ = select.select([self.process.stdout], [], [], 120)
        line = self.process.stdout.readline() if ready else ""
        assert "ready" in line, f"no ready line: {line!r} {(self.folder / 'controller.log').read_text()}"
        self.url = line.split("REST ")[1].split()[0]
        self.host = self.url.split("//")[1]
        self.listen = self.host
        self.password = (self.data / "initial-admin-password").read_text().strip()
        return self

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def stop(self):
        self.process.terminate()
        status = self.process.wait(60)
        self.process.stdout.close()
        self.log.close()
        return status

    def session(self, user="admin", password=None, **more):
        return Session(self, user, password or self.password, **more)

    def tls(self):
        port = int(self.host.rsplit(":", 1)[1])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(socket.create_connection(("127.0.0.1", port), 30))

    def raw(self, request: bytes):
        """Bytes as they are, and (status, head, body) of the answer; for what a library would tidy up."""
        with self.tls() as s:
            s.sendall(request)
            return read_answer(s)


def read_answer(s):
    s.settimeout(60)
    data = b""
    while b"\r\n\r\n" not in data:
        piece = s.recv(65536)
        if not piece:
            return 0, data, b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    while length and len(body) < length[0]:
        piece = s.recv(65536)
        if not piece:
            break
        body += piece
    return int(head.split()[1]), head, body


class Session:
    """As the Python SDK: a form login, then these headers, and every cookie twice in one line."""

    def __init__(self, controller, user, password, tenant="admin", version="22.1.3", login=True):
        self.controller, self.user, self.password = controller, user, password
        self.tenant, self.version = tenant, version
        self.http = requests.Session()
        self.http.verify = False
        self.http.trust_env = False
        if login:
            answer = self.login()
            assert answer.status_code == 200, answer.text

    def login(self, **form):
        answer = self.http.post(self.controller.url + "/login",
                                data=form or {"username": self.user, "password": self.password})
        if answer.status_code == 200:
            self.csrf = answer.cookies["csrftoken"]
            self.sid = answer.cookies[answer.json()["session_cookie_name"]]
        return answer

    def headers(self):
        c = f"csrftoken={self.csrf}; avi-sessionid={self.sid}; sessionid={self.sid}"
        back = f"csrftoken={self.csrf}; sessionid={self.sid}; avi-sessionid={self.sid}"
        out = {"Referer": self.controller.url, "Content-Type": "application/json", "timeout": "None",
               "X-Avi-Tenant": self.tenant, "X-CSRFToken": self.csrf, "Cookie": f"{c}; {back}"}
        if self.version:
            out["X-Avi-Version"] = self.version
        return out

    def send(self, method, path, body=None, headers=None, **more):
        """`path` without /api/; a header of None is left away."""
        all_headers = {**self.headers(), **(headers or {})}
        if body is not None and isinstance(body, (dict, list)):
            body = json.dumps(body)
        url = path if path.startswith("https:") else f"{self.controller.url}/api/{path}"
        return self.http.request(method, url, data=body, timeout=30,
                                 headers={k: v for k, v in all_headers.items() if v is not None}, **more)

    def get(self, path, **more):
        return self.send("GET", path, **more)

    def post(self, path, body, **more):
        return self.send("POST", path, body, **more)

    def put(self, path, body, **more):
        return self.send("PUT", path, body, **more)

    def patch(self, path, body, **more):
        return self.send("PATCH", path, body, **more)

    def delete(self, path, **more):
        return self.send("DELETE", path, **more)

    def make(self, kind, **body):
        answer = self.post(kind, body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def find(self, kind, name):
        found = self.get(f"{kind}?name={name}").json()["results"]
        return found[0] if found else None


def cpu_ms(pid):
    """Of the first thread, and of all others, also those that have ended."""
    def of(folder):
        return sum(int(ticks) for ticks in (folder / "stat").read_text().rsplit(")", 1)[1].split()[11:13]) * 1000 / os.sysconf("SC_CLK_TCK")
    process = pathlib.Path(f"/proc/{pid}")
    first = of(process / "task" / str(pid))
    return first, of(process) - first


def error(answer, status):
    """The sentence of a refusal: always JSON with one member."""
    assert answer.status_code == status, f"{answer.status_code}, not {status}: {answer.text[:300]}"
    body = answer.json()
    assert list(body) == ["error"], body
    assert "\n" not in body["error"]
    return body["error"]


def server(ip, **more):
    return {"ip": {"addr": ip, "type": "V4"}, **more}


def vip(ip, **more):
    family = "V6" if ":" in ip else "V4"
    return {"ip6_address" if family == "V6" else "ip_address": {"addr": ip, "type": family}, **more}
