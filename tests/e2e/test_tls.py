"""TLS at an engine: what clients are shown, what servers must show, and what happens when it does not fit."""

import pathlib
import re
import select
import socket
import ssl
import threading
import time

import pytest

from headless import Headless
from lab.api import ApiError
from lab.host import until
from origin import Origin
from pki import Identity

HTTPS = [{"port": 443, "enable_ssl": True}, {"port": 80}, {"port": 8443, "enable_ssl": True, "enable_http2": True}]


def refs(kind: str, *uuids: str) -> list[str]:
    return [f"/api/{kind}/{uuid}" for uuid in uuids]


def certificate(identity: Identity, *chain: str) -> dict:
    return {"certificate": {"certificate": identity.certificate}, "key": identity.key,
            "type": "SSL_CERTIFICATE_TYPE_VIRTUALSERVICE",
            "ca_certs": [{"ca_ref": ref} for ref in refs("sslkeyandcertificate", *chain)]}


def versions(*names: str) -> list[dict]:
    return [{"type": f"SSL_VERSION_{name}"} for name in names]


class World:
    """An engine with one service, certificates for two names, and those who use it."""

    def __init__(self, lab, app: str = "HTTP", profile: dict = {}, pool: dict = {}, others: dict = {},
                 servers=None, workers=None, http: dict = {}):
        self.lab, self.client = lab, lab.client()
        self.root, self.middle = Identity("root"), None
        self.middle = Identity("middle", by=None)
        self.shop = Identity("shop", by=self.root, names=("www.shop.example", "*.shop.example"))
        self.shop_rsa = Identity("shop-rsa", by=self.root, names=("www.shop.example",), bits=2048)
        self.bank = Identity("bank", by=self.root, names=("bank.example",))
        self.root.save(lab.dir)
        self.origin = None
        if servers is None:
            self.origin = Origin(lab.server())
            servers = [self.origin.address]
        self.engine = Headless(lab, workers)
        self.engine.serve(servers, app=app, pool=pool, http=http, vs={
            "services": HTTPS, "ssl_profile_ref": "/api/sslprofile/tls-1",
            "ssl_key_and_certificate_refs": refs("sslkeyandcertificate", "shop", "shop-rsa", "bank")},
            others={"sslprofile/tls-1": {"accepted_versions": versions("TLS1_2", "TLS1_3"), **profile},
                    "sslkeyandcertificate/shop": certificate(self.shop),
                    "sslkeyandcertificate/shop-rsa": certificate(self.shop_rsa),
                    "sslkeyandcertificate/bank": certificate(self.bank), **others})
        self.vip = self.engine.vip
        until(self.answers, "the service answers")

    def answers(self) -> bool:
        with self.client.entered():
            try:
                with socket.create_connection((self.vip, 443), 1):
                    return True
            except OSError:
                return False

    def curl(self, *words: str, name: str = "www.shop.example", path: str = "/", check: bool = True) -> str:
        done = self.client.run("curl", "-sS", "-m", "10", "--cacert", self.lab.dir / "root.pem", "--resolve",
                               f"{name}:443:{self.vip}", *words, f"https://{name}{path}", check=check)
        return done.stdout if check else done.stderr

    def s_client(self, *words: str, name: str = "www.shop.example") -> str:
        done = self.client.run("openssl", "s_client", "-connect", f"{self.vip}:443", "-servername", name, "-CAfile",
                               self.lab.dir / "root.pem", *words, check=False)
        return done.stdout + done.stderr

    def subject(self, *words: str, name: str) -> str:
        lines = [line for line in self.s_client(*words, name=name).splitlines() if line.startswith("subject=")]
        return lines[0].rsplit("CN = ", 1)[1] if lines else ""

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.lab.dir / "root.pem"))

    def connect(self, name: str = "www.shop.example", context=None, session=None) -> ssl.SSLSocket:
        with self.client.entered():
            plain = socket.create_connection((self.vip, 443), 5)
        return (context or self.context()).wrap_socket(plain, server_hostname=name, session=session)


def both_ways(peer: ssl.SSLSocket, said: bytes, wanted: int) -> bytes:
    """Says SAID while it listens, until WANTED bytes came. By one thread: two may not use one TLS connection at once."""
    peer.setblocking(False)
    heard, rest, deadline = bytearray(), memoryview(said), time.monotonic() + 20
    while len(heard) < wanted:
        moved = 0
        try:
            while piece := peer.recv(65536):
                heard += piece
                moved += len(piece)
            break
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        try:
            while rest:
                n = peer.send(rest[:65536])
                rest, moved = rest[n:], moved + n
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        if not moved:
            assert time.monotonic() < deadline, f"{len(said) - len(rest)} bytes said, {len(heard)} heard"
            select.select([peer], [peer] if rest else [], [], 1)
    peer.settimeout(5)
    return bytes(heard)


def test_clients_are_shown_the_certificate_that_they_ask_for(lab):
    world = World(lab)
    assert '"head": ["GET / HTTP/1.1"' in world.curl()
    for name, cn in (("www.shop.example", "shop"), ("WWW.Shop.Example", "shop"), ("a.shop.example", "shop"),
                     ("bank.example", "bank"), ("a.b.shop.example", "shop"), ("unknown.example", "shop")):
        assert world.subject(name=name) == cn, name
    # Both types of key under one name: the client's abilities choose.
    rsa = ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]
    assert world.subject(*rsa, name="www.shop.example") == "shop-rsa"
    assert world.subject("-sigalgs", "RSA-PSS+SHA256", name="www.shop.example") == "shop-rsa"
    assert "Verify return code: 0" in world.s_client()
    # The protocol that is spoken, and that the server learns how the client came.
    assert "ALPN protocol: http/1.1" in world.s_client("-alpn", "spdy/1,http/1.1")
    assert "No ALPN negotiated" in world.s_client("-alpn", "spdy/1")
    said = world.client.run("curl", "-sS", "-m", "10", "--http2", "--cacert", lab.dir / "root.pem", "--resolve",
                            f"www.shop.example:8443:{world.vip}", "-w", " %{http_version}", "https://www.shop.example:8443/")
    assert '"head": ["GET / HTTP/1.1"' in said.stdout and said.stdout.endswith(" 2")


def test_versions_and_ciphers_are_the_profile_s(lab):
    world = World(lab, profile={"accepted_versions": versions("TLS1_2"), "ec_named_curve": "secp384r1",
                                "accepted_ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256"})
    said = world.s_client("-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384")
    assert "Protocol  : TLSv1.2" in said and "Cipher    : ECDHE-ECDSA-AES256-GCM-SHA384" in said
    assert "Server Temp Key: ECDH, secp384r1" in said
    assert "Secure Renegotiation IS supported" in said
    assert "no peer certificate available" in world.s_client("-tls1_3")
    assert "no peer certificate available" in world.s_client("-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305")


def test_sessions_are_resumed_by_all_workers_and_not_after_an_edit(lab):
    world = World(lab, workers=3)
    context = world.context()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context.minimum_version = context.maximum_version = version
        with world.connect(context=context) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert peer.recv(100).startswith(b"HTTP/1.1 200")
            session, fresh = peer.session, peer.session_reused
        assert not fresh
        for _ in range(8):
            with world.connect(context=context, session=session) as peer:
                assert peer.session_reused, version


def test_bulk_and_uploads_pass_whole(lab):
    web, size = lab.server(), 1 << 20
    world = World(lab, servers=lab.pool_body([web]))
    out = lab.dir / "file"
    for words in ([], ["--tls-max", "1.2"]):
        world.curl(*words, "-o", str(out), path=f"/files/{size}")
        assert out.read_bytes() == (web.dir / "www" / "files" / str(size)).read_bytes()


def test_uploads_and_pipelines_are_read_to_their_end(lab):
    world = World(lab)
    body = pathlib.Path(lab.dir / "body")
    body.write_bytes(bytes(range(256)) * 40_000)
    assert '"length": 10240000' in world.curl("--data-binary", f"@{body}")
    with world.connect() as peer:
        # Several requests in one record: what was decrypted and not read must not be forgotten.
        peer.sendall(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
        said = b""
        while said.count(b"HTTP/1.1 200") < 20:
            piece = peer.recv(65536)
            assert piece
            said += piece


@pytest.mark.parametrize("workers", [1, 3])
def test_a_service_of_ssl_passes_bytes_as_they_are(lab, workers):
    host = lab.server()
    with host.entered():
        listener = socket.create_server(("", 9000), backlog=64)

    def echo():
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                while piece := peer.recv(65536):
                    peer.sendall(piece)

    threading.Thread(target=echo, daemon=True).start()
    world = World(lab, app="SSL", workers=workers, servers=[{"ip": {"addr": host.ip4, "type": "V4"}, "port": 9000}])
    sent = bytes(range(256)) * 8_000
    with world.connect() as peer:
        assert both_ways(peer, sent, len(sent)) == sent
        # Our end is passed on, and the other end comes back as an end, not as a loss.
        plain = peer.unwrap()
        plain.close()
    listener.close()


def test_who_speaks_something_else_is_told_apart(lab):
    world = World(lab)
    with world.client.entered():
        for words in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\0" * 64, b""):
            with socket.create_connection((world.vip, 443), 5) as peer:
                peer.sendall(words)
                peer.shutdown(socket.SHUT_WR)
                heard = b""
                try:
                    while piece := peer.recv(1000):
                        heard += piece
                except ConnectionResetError:
                    pass
                if words[:4] == b"GET ":    # as a browser does that was sent to http://...:443
                    head, _, said = heard.partition(b"\r\n\r\n")
                    assert head.startswith(b"HTTP/1.1 400 ") and b"https" in said
                    assert f"Content-Length: {len(said)}".encode() in head
    # Half handshakes by the dozen hold nobody up.
    with world.client.entered():
        halves = [socket.create_connection((world.vip, 443), 5) for _ in range(300)]
    for half in halves:
        half.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert '"head"' in world.curl()
    for half in halves:
        half.close()


class SecureServer:
    """nginx with TLS in a host of its own."""

    def __init__(self, lab, identity: Identity, ask: bool = False, root=None):
        self.host = lab.server()
        cert, key = identity.save(self.host.dir)
        text = self.host.config.read_text()
        more = f"ssl_verify_client on; ssl_client_certificate {root};" if ask else ""
        text = text.replace("    server {", f"""    server {{
        listen 8443 ssl reuseport backlog=4096;
        ssl_certificate {cert}; ssl_certificate_key {key}; {more}
        location = /tls {{ return 200 "$ssl_session_reused $ssl_server_name $ssl_client_s_dn $connection_requests\\n"; }}""", 1)
        self.host.config.write_text(text)
        self.host.process.stop()
        self.host.serve()
        self.address = {"ip": {"addr": self.host.ip4, "type": "V4"}, "port": 8443}


def answer(world: World, path: str = "/tls") -> str:
    return world.client.run("curl", "-sS", "-m", "10", f"http://{world.vip}{path}", "-w", " %{http_code}").stdout


def secured(lab, identity, root, pki=True, ask=False, **pool):
    server = SecureServer(lab, identity, ask, root)
    others = {"pkiprofile/pki-1": {"ca_certs": [{"certificate": pathlib.Path(root).read_text()}]}}
    if ask:
        others["sslkeyandcertificate/me"] = certificate(ask)
        pool["ssl_key_and_certificate_ref"] = "/api/sslkeyandcertificate/me"
    if pki:
        pool["pki_profile_ref"] = "/api/pkiprofile/pki-1"
    return World(lab, workers=1, servers=[server.address], pool={"ssl_profile_ref": "/api/sslprofile/tls-1", **pool},
                 others=others)


def test_servers_are_reached_by_tls_and_verified(lab):
    ca = Identity("servers-ca")
    root, _ = ca.save(lab.dir)
    server = Identity("server", by=ca, names=("internal.example",))
    world = secured(lab, server, root, ask=Identity("engine", by=ca), host_check_enabled=True,
                    domain_name=["internal.example"], server_name="internal.example")
    first, second = answer(world), answer(world)
    assert first.startswith(". internal.example CN=engine,O=Lab 1") and first.endswith(" 200")
    assert second.startswith(". internal.example CN=engine,O=Lab 2"), "the connection is kept like a plain one"
    assert "files" not in world.curl(path="/tls")
    # Bulk comes whole, from TLS to TLS.
    out = lab.dir / "file"
    world.curl("-o", str(out), path=f"/files/{1 << 20}")
    assert len(out.read_bytes()) == 1 << 20


def test_servers_are_spoken_to_as_clients_speak(lab):
    """use_service_ssl_mode: who comes in plain text goes on in plain text, by connections of his own."""
    ca = Identity("servers-ca")
    root, _ = ca.save(lab.dir)
    world = secured(lab, Identity("server", by=ca), root, use_service_ssl_mode=True, sni_enabled=False, server_name="internal.example")
    for _ in range(2):
        assert answer(world).endswith(" 400"), "plain text at a port of TLS"
        assert re.match(r"[.r]   \d+\s+200$", world.curl("-w", " %{http_code}", path="/tls")), "by TLS, and without a name"


@pytest.mark.parametrize("trouble", ["authority", "expired", "name"])
def test_a_server_that_cannot_be_believed_gets_nothing(lab, trouble):
    ca, stranger = Identity("servers-ca"), Identity("stranger")
    root, _ = ca.save(lab.dir)
    server = {"authority": Identity("server", by=stranger, names=("internal.example",)),
              "expired": Identity("server", by=ca, names=("internal.example",), since=-9, days=-1),
              "name": Identity("server", by=ca, names=("other.example",))}[trouble]
    world = secured(lab, server, root, host_check_enabled=True, domain_name=["internal.example"])
    said = answer(world)
    assert said.endswith(" 503"), said


def test_a_server_on_a_list_of_revoked_ones_gets_nothing(lab):
    """By the controller: the list comes while connections are kept, and goes again."""
    ca = Identity("servers-ca")
    root, _ = ca.save(lab.dir)
    server, other = (Identity(name, by=ca) for name in ("server", "other"))
    origin = SecureServer(lab, server, None, root)
    client = lab.client()
    lab.engine()
    pki = lab.api.post("pkiprofile", {"name": "pki", "ca_certs": [{"certificate": ca.certificate}],
                                      "crls": [{"body": ca.revokes(other)}]})
    assert pki["crls"][0]["common_name"] == "servers-ca" and pki["crls"][0]["next_update"] > pki["crls"][0]["last_update"]
    vs = lab.virtual_service(pool=[origin.address], monitor=None, pool_more={
        "ssl_profile_ref": "/api/sslprofile?name=System-Standard", "pki_profile_ref": pki["url"]})

    def status() -> int:
        return client.get(vs.url).status_code

    def replace(*lists: str, **more) -> None:
        lab.api.put(f"pkiprofile/{pki['uuid']}", {**lab.api.get(f"pkiprofile/{pki['uuid']}"), **more,
                                                  "crls": [{"body": text} for text in lists]})
    until(lambda: status() == 200, "the server is believed")
    replace(ca.revokes(other, server))
    until(lambda: status() == 503, "the server is on the list")
    replace(ca.revokes(other, server), crl_check=False)
    until(lambda: status() == 200, "nobody looks at the list")
    replace(ca.revokes(other, days=-1), crl_check=True)
    until(lambda: status() == 503, "a list of yesterday is good for nothing")
    replace()
    until(lambda: status() == 200, "there is no list")
    for text, words in (("nonsense", "crls[0].body: It is no list of revoked certificates in PEM."),
                        (ca.certificate, "crls[0].body: It is no list of revoked certificates in PEM."),
                        (ca.revokes() * 2, "crls[0].body: There is more than one list in it")):
        with pytest.raises(ApiError, match=re.escape(words)):
            replace(text)
    assert status() == 200


def test_a_certificate_is_replaced_under_load(lab):
    """By the controller: no request fails, kept connections live on, new ones are shown the new one."""
    web, client = lab.server(), lab.client()
    engine = lab.engine()
    root = Identity("root")
    path, _ = root.save(lab.dir)
    names = ("shop.example",)

    def body(identity):
        return {"name": "shop", "type": "SSL_CERTIFICATE_TYPE_VIRTUALSERVICE", "key": identity.key,
                "certificate": {"certificate": identity.certificate}}

    made = lab.api.post("sslkeyandcertificate", body(Identity("first", by=root, names=names)))
    # However long the machine takes, a connection that is kept is not at its last request (100) before the end.
    patient = lab.api.post("applicationprofile", {"name": "patient", "type": "APPLICATION_PROFILE_TYPE_HTTP",
                                                  "http_profile": {"max_keepalive_requests": 0}})
    shop = lab.virtual_service(pool=[web], port=443, services=[{"port": 443, "enable_ssl": True}],
                               application_profile_ref=patient["url"],
                               ssl_key_and_certificate_refs=[f"/api/sslkeyandcertificate/{made['uuid']}"])
    context = ssl.create_default_context(cafile=str(path))
    seen, failed, ending = [], [], threading.Event()

    def connect():
        with client.entered():
            plain = socket.create_connection((shop.vip, 443), 5)
        return context.wrap_socket(plain, server_hostname="shop.example")

    def ask(peer):
        peer.sendall(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        said = b""
        while not said.endswith(b"web1\n"):
            piece = peer.recv(1000)
            assert piece, said
            said += piece
        assert b"200 OK" in said, said

    def load(keeps):
        peer = connect() if keeps else None
        while not ending.wait(0.05 if keeps else 0):
            try:
                one = peer or connect()
                ask(one)
                if not keeps:
                    seen.append(dict(part[0] for part in one.getpeercert()["subject"])["commonName"])
                    one.close()
            except (OSError, AssertionError) as trouble:
                failed.append(f"{'kept' if keeps else 'new'}: {trouble!r}")
                return

    threads = [threading.Thread(target=load, args=(keeps,), daemon=True) for keeps in (True, True, False, False)]
    until(lambda: client.run("curl", "-sk", shop.url.replace("http", "https"), check=False).stdout, "it answers")
    for thread in threads:
        thread.start()
    for cn in ("second", "third"):
        until(lambda: len(seen) > 20, "requests pass")
        lab.api.put(f"sslkeyandcertificate/{made['uuid']}", body(Identity(cn, by=root, names=names)))
        until(lambda: seen and seen[-1] == cn, f"{cn} is shown")
        seen.clear()
    ending.set()
    for thread in threads:
        thread.join(5)
    assert not failed
    seen = until(lambda: lab.api.get("/api/analytics/logs", virtualservice=shop.uuid, type=1, filter="eq(sni_hostname,shop.example)")["results"], "it is in the log")[0]
    assert (seen["ssl_version"], seen["ssl_cipher"]) == ("TLSv1.3", "TLS_AES_256_GCM_SHA384")
    # The engine's file has no key that could be read, and the engine starts from it all the same.
    state = (engine.state / "desired.json").read_text()
    assert "BEGIN PRIVATE KEY" not in state and "sealed:1:" in state
    engine.kill()
    kek = engine.state / "kek"
    was = kek.read_text()
    kek.write_text("0" * 64 + "\n")
    refused = engine.run(*engine.process.argv[engine.process.argv.index(str(lab.program("spanwire-engine"))):], check=False)
    assert refused.returncode != 0 and "does not open with the key-encryption key" in refused.stderr
    kek.write_text(was)
    engine.begin()
    until(lambda: "web1" in client.run("curl", "-sk", "-m", "2", shop.url.replace("http", "https"), check=False).stdout,
          "it serves again")
    until(lambda: re.search(r"'tls_new': [1-9]", str(lab.api.get(f"virtualservice/{shop.uuid}/runtime/detail"))),
          "handshakes are counted")
