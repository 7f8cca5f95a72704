"""What the profile changes in answers, over TLS and without, for clients of HTTP/1 and HTTP/2."""

import hashlib
import json
import os

import pytest

from headless import Headless
from lab.host import until
from origin import Origin
from pki import Identity

PORTS = [{"port": 443, "enable_ssl": True, "enable_http2": True}, {"port": 80}]
versions = pytest.mark.parametrize("version", ["--http1.1", "--http2"])


class Shop:
    def __init__(self, lab, vs: dict = {}, **http):
        self.lab, self.client, self.origin = lab, lab.client(), Origin(lab.server())
        shop = Identity("shop", names=("shop.example",))
        self.engine = Headless(lab).serve([self.origin.address], app="HTTP", http=http, vs={
            "services": PORTS, "ssl_profile_ref": "/api/sslprofile/tls-1",
            "ssl_key_and_certificate_refs": ["/api/sslkeyandcertificate/shop"], **vs}, others={
                "sslprofile/tls-1": {"accepted_versions": [{"type": "SSL_VERSION_TLS1_3"}]},
                "sslkeyandcertificate/shop": {"certificate": {"certificate": shop.certificate}, "key": shop.key,
                                              "type": "SSL_CERTIFICATE_TYPE_VIRTUALSERVICE"}})
        until(lambda: self.head("http://shop.example/", check=False), "the service answers")

    def curl(self, *words, check: bool = True) -> str:
        return self.client.run("curl", "-s", "-k", "--max-time", "60", "--resolve", f"*:80:{self.engine.vip}", "--resolve",
                               f"*:443:{self.engine.vip}", *words, check=check).stdout

    def head(self, url: str, *words, check: bool = True) -> dict:
        """The fields of the answer, their names in lower case; lists where there are several."""
        fields: dict = {}
        lines = self.curl("-o", "/dev/null", "-D", "-", *words, url, check=check).splitlines()
        for name, _, value in (line.partition(": ") for line in lines[1:] if line):
            fields.setdefault(name.lower(), []).append(value)
        if lines:
            fields["status"] = lines[0]
        return fields

    def says(self, *lines: str) -> str:
        """The path that makes the server answer so."""
        return "raw/" + ("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n" + "".join(f"{x}\r\n" for x in lines) + "\r\n").encode().hex()


@versions
def test_tls_is_asked_for(lab, version):
    shop = Shop(lab, http_to_https=True, hsts_enabled=True, hsts_max_age=2, server_side_redirect_to_https=True)
    sent = shop.head("http://shop.example/a?b=c")
    assert sent["status"].startswith("HTTP/1.1 302") and sent["location"] == ["https://shop.example/a?b=c"]
    assert "strict-transport-security" not in sent
    there = shop.head("https://shop.example/", version)
    assert there["status"].startswith("HTTP/2 200" if version == "--http2" else "HTTP/1.1 200")
    assert there["strict-transport-security"] == ["max-age=172800; includeSubDomains"]
    own = shop.head("https://shop.example/" + shop.says("Strict-Transport-Security: max-age=1"), version)
    assert own["strict-transport-security"] == ["max-age=172800; includeSubDomains"]
    # Redirects to us stay with us.
    for said, told in {"http://shop.example/x": "https://shop.example/x", "http://SHOP.example:80/x": "https://shop.example/x",
                       "http://other.example/x": "http://other.example/x", "/x": "/x",
                       "http://shop.example:8080/": "http://shop.example:8080/"}.items():
        assert shop.head("https://shop.example/" + shop.says(f"Location: {said}"), version)["location"] == [told]
    assert b"GET /a?b=c" not in shop.origin.heard


@versions
def test_cookies_get_their_flags(lab, version):
    shop = Shop(lab, secure_cookie_enabled=True, httponly_enabled=True, hsts_enabled=True, hsts_subdomains_enabled=False)
    path = shop.says("Set-Cookie: a=1; Path=/", "set-cookie: b=secure", "Set-Cookie: c=3; secure; HttpOnly")
    there = shop.head("https://shop.example/" + path, version)
    assert there["set-cookie"] == ["a=1; Path=/; Secure; HttpOnly", "b=secure; Secure; HttpOnly", "c=3; secure; HttpOnly"]
    assert there["strict-transport-security"] == ["max-age=31536000"]
    plain = shop.head("http://shop.example/" + path)
    assert plain["set-cookie"] == ["a=1; Path=/; HttpOnly", "b=secure; HttpOnly", "c=3; secure; HttpOnly"]


def test_bulk_over_tls_both_ways(lab):
    shop = Shop(lab)
    body = os.urandom(3_000_001)
    (lab.dir / "body").write_bytes(body)
    for path in ("", "chunked"):
        said = json.loads(shop.curl("--http2", "--data-binary", f"@{lab.dir / 'body'}", f"https://shop.example/{path}"))
        assert said["length"] == len(body) and said["md5"] == hashlib.md5(body).hexdigest()
    load = shop.client.run("h2load", "-n", "1000", "-c", "3", "-m", "30", f"https://{shop.engine.vip}/").stdout
    assert "1000 succeeded, 0 failed" in load and "Application protocol: h2" in load, load


def test_servers_know_another_name(lab):
    shop = Shop(lab, vs={"host_name_xlate": "inner.example"})
    shop.curl("https://shop.example/named")
    assert b"Host: inner.example\r\n" in shop.origin.heard and b"Host: shop.example\r\n" not in shop.origin.heard
    told = shop.head("https://shop.example/" + shop.says("Location: https://inner.example/y"))
    assert told["location"] == ["https://shop.example/y"]


def test_websockets_may_be_switched_off(lab):
    shop = Shop(lab, websockets_enabled=False)
    shop.origin.heard.clear()
    shop.curl("-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "http://shop.example/chat")
    assert b"GET /chat" in shop.origin.heard and b"pgrade" not in shop.origin.heard
