"""What is said inside TLS, as interfaces of the capture's own; which request a packet belongs to, on both legs."""

import collections
import os
import re

from lab import until
from pki import Identity
from test_capture import Capture, TlsOrigin, taker, tshark


ASK = """
import http.client, ssl
c = http.client.HTTPSConnection(vip, context=ssl._create_unverified_context(), timeout=20)

def ask(what):
    c.request("GET", "/?id=" + what)
    return c.getresponse().read()
"""

# What it says the second time refers to the first (0x40: from now on 0xbe), as heads of HTTP/2 do.
ASK_H2 = """
import socket, ssl, struct
context = ssl._create_unverified_context()
context.set_alpn_protocols(["h2"])
c = context.wrap_socket(socket.create_connection((vip, 443), timeout=20))

def word(text):
    return bytes([len(text)]) + text.encode()

def send(kind, flags, stream, payload=b""):
    c.sendall(struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload)

c.sendall(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n")
send(4, 0, 0)

def ask(what):
    first, read = what == "before", b""
    agent = bytes([0x40]) + word("user-agent") + word("of-before") if first else bytes([0xbe])
    send(1, 5, 1 if first else 3, bytes([0x82, 0x87, 0x01]) + word("shop") + bytes([4]) + word("/?id=" + what) + agent)
    while b"ok" not in read:
        read += c.recv(65536)
    return read
"""


def keep_alive(client, vip, name, how=ASK):
    """A client that asks twice over one TLS connection, the second time when a byte is in the pipe that is returned, and
    tells in its log what it was answered."""
    script, pipe = client.lab.dir / f"{name}.py", client.lab.dir / f"{name}.pipe"
    os.mkfifo(pipe)
    script.write_text(f"""
vip = {vip!r}
{how}
for what in ("before", {name!r}):
    print(ask(what), flush=True)
    if what == "before":
        open({str(pipe)!r}).read(1)
""")
    client.start("python3", script, log=name)
    return open(pipe, "r+b", buffering=0)       # a reader as well: it need not wait for the other one


def said(file, interface):
    """{id: comment} of the requests that can be read on the interfaces of that name."""
    found = {}
    for one, two, comment, name in tshark(file, "http.request or http2.headers.path", "http.request.uri", "http2.headers.path",
                                          "frame.comment", "frame.interface_name"):
        if interface in name:
            found[(one or two).split("id=")[1]] = comment
    return found


def request_of(comment):
    return re.search(r"request ([^,]+)", comment).group(1)


def test_plaintext_of_each_leg_whatever_its_age(lab):
    client = lab.client()
    lab.engine()
    shown = Identity("shop")
    lab.api.post("sslkeyandcertificate", {
        "name": "shop", "key": shown.key, "certificate": {"certificate": shown.certificate}, "type": "SSL_CERTIFICATE_TYPE_VIRTUALSERVICE"})
    origin = TlsOrigin(lab.server(), Identity("origin"))
    dead = {"ip": {"addr": lab.server().ip4, "type": "V4"}, "port": 9}
    vs = lab.virtual_service(
        pool=[origin.address], port=443, monitor="tcp", pool_more={"ssl_profile_ref": "/api/sslprofile?name=System-Standard"},
        services=[{"port": 443, "enable_ssl": True, "enable_http2": True}],
        ssl_key_and_certificate_refs=["/api/sslkeyandcertificate?name=shop"]).wait_servers_up(1)

    def get(name, *words):
        assert client.run("curl", "-sk", "-m", 10, *words, f"https://{vs.vip}/?id={name}").stdout == "ok\n"

    olds = {"old": keep_alive(client, vs.vip, "old"), "old2": keep_alive(client, vs.vip, "old2", ASK_H2)}

    def answers(count):
        until(lambda: all((lab.dir / f"{name}.log").read_bytes().count(b"ok") == count for name in olds), f"each has {count} answers")

    answers(1)          # connections are there already
    # Cut packets and no secrets: nobody could decrypt any of it.
    capture = Capture(lab, vs, {"plaintext": True, "pkt_size": 128}).wait_engines(1)
    for old in olds.values():
        old.write(b"!")
    answers(2)
    for old in olds.values():
        old.close()
    get("h1", "--http1.1")
    get("h2", "--http2")
    ended = capture.end()
    assert not ended["drops"], ended
    file = capture.download()
    ids = {*olds, "h1", "h2"}
    clients, servers = said(file, "plaintext-client"), said(file, "plaintext-server")
    assert set(clients) == ids and set(servers) == ids, (clients, servers)
    assert not said(file, "front0") and not said(file, "back0")
    # Both legs of a request name one id, and it is the one that the server was told.
    for name in ids:
        assert request_of(clients[name]) == request_of(servers[name]), (clients[name], servers[name])
        assert clients[name].split(", ")[:2] == ["client leg", servers[name].split(", ")[1]] and "plaintext" in clients[name]
    told = {uri.split("id=")[1]: re.search(r"X-Request-ID: (\w+)", lines).group(1) for uri, lines, leg in
            tshark(file, "http.request", "http.request.uri", "http.request.line", "frame.comment") if leg.startswith("server")}
    assert told == {name: request_of(servers[name]) for name in ids}
    # Legal conversations, which no reader takes for others; the real ones say what they lack, once.
    assert not tshark(file, 'frame.interface_name contains "plaintext" && (tcp.checksum.status == "Bad" || tcp.analysis.flags)')
    rows = tshark(file, 'frame.comment contains "secrets are not in this file"', "frame.comment", "tcp.stream", "frame.interface_name")
    assert all(comment.endswith("its plaintext is") for comment, _, _ in rows), rows
    of = collections.Counter(name.split(":")[1] for _, _, name in rows)
    assert len({stream for _, stream, _ in rows}) == len(rows) and of["front0"] == 4 and 1 <= of["back0"] <= 4, rows
    # Of HTTP/2 that is older the heads, as they are: what they refer to is in no file.
    old2 = tshark(file, 'http.request.version == "HTTP/2"', "http.request.uri", "http.user_agent", "tcp.stream")
    assert [row[:2] for row in old2] == [["/?id=old2", "of-before"]]
    assert tshark(file, f"http.response and tcp.stream == {old2[0][2]}", "http.response.code") == [["200"]]
    # Which server, and how many were asked before it: the packets of those as well.
    web = lab.server()
    two = lab.virtual_service(pool=[dead, web], name="two", monitor=None, pool_more={"lb_algorithm": "LB_ALGORITHM_ROUND_ROBIN"})
    capture = Capture(lab, two).wait_engines(1)
    for n in range(4):
        assert client.fresh_get(f"{two.url}?id={n}").ok
    capture.end()
    file = capture.download()
    rows = tshark(file, "http.request", "http.request.uri", "frame.comment")
    by = collections.defaultdict(dict)
    for uri, comment in rows:
        by[uri][comment.split()[0]] = comment
    assert len(by) == 4
    for legs in by.values():
        assert request_of(legs["client"]) == request_of(legs["server"])
        assert f"server {web.ip4} port 80, retry" in legs["client"]
    again = [legs["server"] for legs in by.values() if "retry 1" in legs["server"]]
    assert again, by
    refused = tshark(file, f"ip.addr == {dead['ip']['addr']}", "frame.comment")
    assert {request_of(row[0]) for row in refused} == {request_of(comment) for comment in again} and all("retry 0" in row[0] for row in refused)
    # Only for whoever may hold keys, and never where it has no place.
    api = taker(lab)
    path = f"debugvirtualservice/{vs.uuid}"
    for who, params, status in ((api, {"plaintext": True}, 403), (lab.api, {"plaintext": True, "pcap_ng": False}, 400),
                                (lab.api, {"enable_ssl_session_key_capture": True, "pcap_ng": False}, 400)):
        answer = who.send("PATCH", path, json={"replace": {"capture": True, "capture_params": params}})
        assert answer.status_code == status, answer.text
    plain = next(c for c in lab.api.get("capture")["results"] if c["capture_params"].get("plaintext"))
    assert api.send("GET", f"capture/{plain['uuid']}/file").status_code == 403
