"""What is said inside TLS, as interfaces of the capture's own; which request a packet belongs to, on both legs."""

import collections
import os
import re

from lab import until
from pki import Identity
from test_capture import Capture, TlsOrigin, taker, tshark


def keep_alive(client, vip, name):
    """A client that asks twice over one TLS connection, the second time when a byte is in the pipe that is returned, and
    tells in its log what it was answered."""
    script, pipe = client.lab.dir / f"{name}.py", client.lab.dir / f"{name}.pipe"
    os.mkfifo(pipe)
    script.write_text(f"""
import http.client, ssl
c = http.client.HTTPSConnection({vip!r}, context=ssl._create_unverified_context(), timeout=20)
for what in ("before", {name!r}):
    c.request("GET", "/?id=" + what)
    print(c.getresponse().read(), flush=True)
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

    old = keep_alive(client, vs.vip, "old")
    until(lambda: b"ok" in (lab.dir / "old.log").read_bytes(), "a connection is there already")
    # Cut packets and no secrets: nobody could decrypt any of it.
    capture = Capture(lab, vs, {"plaintext": True, "pkt_size": 128}).wait_engines(1)
    with old:
        old.write(b"!")
        until(lambda: (lab.dir / "old.log").read_bytes().count(b"ok") == 2, "it asked again")
    get("h1", "--http1.1")
    get("h2", "--http2")
    ended = capture.end()
    assert not ended["drops"], ended
    file = capture.download()
    ids = {"old", "h1", "h2"}
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
    assert len({stream for _, stream, _ in rows}) == len(rows) and of["front0"] == 3 and 1 <= of["back0"] <= 3, rows
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
