"""A thousand requests, three engines whose clocks are apart, three services that share a pool: one file has all of one."""

import collections
import re
import subprocess

from lab import until
from lab.packets import BAD_CHECKSUM
from pki import Identity
from test_capture import Capture, TlsOrigin, tshark, v4

WAYS = {"http": ("http", 80, []), "https": ("https", 443, ["--http1.1"]), "tls12": ("https", 443, ["--http1.1", "--tls-max", "1.2"]),
        "h2": ("https", 443, ["--http2"]), "h2-at-once": ("https", 443, ["--http2", "--parallel", "--parallel-max", "5"])}
DATA, HEADERS = "0", "1" # RFC 9113, 6
EACH = 67 # of each way, at each engine: 1,005


def test_each_request_is_on_each_leg(lab, monkeypatch):
    client, origin = lab.client(), TlsOrigin(lab.server(), Identity("origin"))
    for skew in (-7000, 0, 4000):
        monkeypatch.setenv("SPANWIRE_CLOCK_SKEW_MS", str(skew))
        lab.engine()
    shown = Identity("shop")
    lab.api.post("sslkeyandcertificate", {
        "name": "shop", "key": shown.key, "certificate": {"certificate": shown.certificate}, "type": "SSL_CERTIFICATE_TYPE_VIRTUALSERVICE"})
    services = [lab.virtual_service(
        pool=[origin.address], name=name, monitor=None, pool_more={"ssl_profile_ref": "/api/sslprofile?name=System-Standard"},
        services=[{"port": 80}, {"port": 443, "enable_ssl": True, "enable_http2": True}],
        ssl_key_and_certificate_refs=["/api/sslkeyandcertificate?name=shop"]) for name in ("shop", "other", "third")]
    vs = services[0]
    addresses = [vs.vip] + [lab.front.address(150 + n)[0] for n in range(2)]
    vip = lab.api.get(f"vsvip/{vs.vsvip_uuid}")
    vip["vip"] += [{"vip_id": str(n + 2), "ip_address": v4(a)[0]} for n, a in enumerate(addresses[1:])]
    lab.api.put(f"vsvip/{vs.vsvip_uuid}", vip)
    until(lambda: [row["oper_status"]["state"] for row in vs.runtime()["vip_summary"]] == ["OPER_UP"] * 3, "all three addresses are up")

    def ask(address, way, name, first, last):
        scheme, port, words = WAYS[way]
        done = client.run("curl", "-sk", "-m", 60, *words, f"{scheme}://{address}:{port}/?id={name}-[{first}-{last}]")
        assert done.stdout == "ok\n" * (last - first + 1)

    for other in services[1:]:
        ask(other.vip, "h2", "before", 1, 3)            # connections to the server that are there already
    capture = Capture(lab, vs, {"enable_ssl_session_key_capture": True, "plaintext": True}, capture_reason="a thousand").wait_engines(3)
    for n, address in enumerate(addresses):
        for way in WAYS:
            ask(address, way, f"{way}{n}", 1, EACH)
        for other in services[1:]:
            ask(other.vip, "https", "foreign", 1, 5)
    ended = capture.end()
    assert not ended["drops"] and {e["name"]: round(e["clock_us"] / 1e6) for e in ended["engines"]} == {"engine1": -7, "engine2": 0, "engine3": 4}
    file = capture.download()
    expected = {f"{way}{n}-{i}" for n in range(3) for way in WAYS for i in range(1, EACH + 1)}
    wire, plain = collections.defaultdict(dict), collections.defaultdict(dict)
    rows = tshark(file, "http.request or http2.headers.path", "http.request.uri", "http2.headers.path", "frame.comment", "frame.interface_name")
    for one, two, comment, interface in rows:
        for uri in (one or two).split(","):
            (plain if "plaintext" in interface else wire)[uri.split("id=")[1]].setdefault(comment.split()[0], comment)
    # Decrypted on the wire, and as plaintext, on both legs each; nothing of the other services.
    for where, found in ("wire", wire), ("plaintext", plain):
        assert not (foreign := sorted(set(found) - expected)), (where, foreign)
        lacking = {name: sorted(found[name]) for name in expected if set(found[name]) != {"client", "server"}}
        assert not lacking, (where, lacking)
    # One request, one id, on both legs; each has its own.
    ids = set()
    for name, legs in [*plain.items(), *wire.items()]:
        of = {leg: re.findall(r"request ([^,]+)", comment) for leg, comment in legs.items()}
        assert len(of["server"]) == 1 and of["server"][0] in of["client"], (name, legs)
        if not name.startswith("h2"):
            assert len(of["client"]) == 1, (name, legs)
        assert legs["client"].split(", ")[1] == legs["server"].split(", ")[1]
        ids.add(of["server"][0])
    assert len(ids) == len(expected)
    # On a connection that they share, too, each packet of an answer names its request.
    paths, astray = {}, []
    id_of = {name: re.findall(r"request ([^,]+)", legs["server"])[0] for name, legs in plain.items()}
    for stream, *frames, path, comment in tshark(file, "http2.streamid", "tcp.stream", "http2.type", "http2.streamid", "http2.headers.path", "frame.comment"):
        kinds, numbers = (field.split(",") for field in frames)
        if path:
            heads = [number for kind, number in zip(kinds, numbers) if kind == HEADERS]
            paths.update({(stream, number): uri.split("id=")[1] for number, uri in zip(heads, path.split(","))})
        else:
            of = {paths[stream, number] for kind, number in zip(kinds, numbers) if kind in (HEADERS, DATA)}
            astray += [(name, comment) for name in of if id_of[name] not in comment]
    assert len(paths) == 2 * 3 * 2 * EACH and not astray, (len(astray), astray[:5])
    # The file is what readers want: nothing malformed, in the order of time, every block known.
    assert not tshark(file, f"_ws.malformed || {BAD_CHECKSUM}", "frame.number")
    stamps = [float(row[0]) for row in tshark(file, "", "frame.time_epoch")]
    assert stamps == sorted(stamps) and len(stamps) == ended["packets"]
    info = subprocess.run(["capinfos", str(file)], capture_output=True, text=True, timeout=60)
    assert info.returncode == 0 and "Number of decryption secrets in file" in info.stdout and "a thousand" in info.stdout
    for engine in ("engine1", "engine2", "engine3"):
        for name in ("front0", "back0", "plaintext-client", "plaintext-server"):
            assert f"Name = {engine}:{name}" in info.stdout, info.stdout
