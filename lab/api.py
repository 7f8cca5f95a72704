"""The controller's REST API, spoken as the Avi clients speak it."""

from __future__ import annotations

from typing import Any, Iterator, Optional

import requests
import urllib3

urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)


class ApiError(AssertionError):
    def __init__(self, answer: requests.Response):
        self.status, self.text = answer.status_code, answer.text
        super().__init__(f"{answer.request.method} {answer.request.path_url}: "
                         f"{answer.status_code} {answer.text.strip()}")


class Api:
    """`host` is where the requests are sent from: a Host of the lab, or None for this machine."""

    def __init__(self, url: str, username: str, password: str, host=None):
        self.url, self.username, self.password, self.host = url, username, password, host
        self.session = requests.Session()
        self.session.verify = False
        self.session.trust_env = False
        self.session.headers["Referer"] = url

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        """One request, nothing checked."""
        options.setdefault("timeout", 30)
        path = path if path.startswith("/") else f"/api/{path}"
        if self.host is None:
            return self.session.request(method, self.url + path, **options)
        with self.host.entered():
            return self.session.request(method, self.url + path, **options)

    def login(self) -> dict:
        # As the SDK does: form-encoded, and the CSRF token from the cookie goes back as a header.
        answer = self.send("POST", "/login",
                           data={"username": self.username, "password": self.password})
        if answer.status_code != 200:
            raise ApiError(answer)
        self.session.headers["X-CSRFToken"] = self.session.cookies["csrftoken"]
        return answer.json()

    def call(self, method: str, path: str, **options: Any) -> Any:
        """A request that must succeed; logs in where the session is gone."""
        if "csrftoken" not in self.session.cookies:
            self.login()
        answer = self.send(method, path, **options)
        if answer.status_code in (401, 419):
            self.login()
            answer = self.send(method, path, **options)
        if answer.status_code >= 300:
            raise ApiError(answer)
        return answer.json() if answer.content else None

    def get(self, path: str, **params: Any) -> Any:
        return self.call("GET", path, params=params)

    def get_bytes(self, path: str, **options: Any) -> bytes:
        """What is no JSON: a file."""
        self.get("cluster/version")         # logs in
        answer = self.send("GET", path, **options)
        if answer.status_code >= 300:
            raise ApiError(answer)
        return answer.content

    def post(self, path: str, body: Optional[dict] = None) -> Any:
        return self.call("POST", path, json=body if body is not None else {})

    def put(self, path: str, body: dict) -> Any:
        return self.call("PUT", path, json=body)

    def patch(self, path: str, **operations: dict) -> Any:
        """patch("pool/UUID", replace={...}, add={...}, delete={...})"""
        return self.call("PATCH", path, json=operations)

    def delete(self, path: str) -> None:
        self.call("DELETE", path)

    def find(self, kind: str, name: str) -> Optional[dict]:
        results = self.get(kind, name=name)["results"]
        return results[0] if results else None

    def all(self, kind: str, **params: Any) -> Iterator[dict]:
        page = 1
        while True:
            answer = self.get(kind, page=page, page_size=100, **params)
            yield from answer["results"]
            if not answer.get("next"):
                return
            page += 1
