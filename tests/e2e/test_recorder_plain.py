"""The flight recorder of services with TLS: what was said inside it, for whoever may read that, and masked."""

import re
import time

from lab import until
from pki import Identity
from test_capture import TlsOrigin, taker, tshark
from test_recorder import engine_of, save as save_past

SECRETS = ("hunter2", "c00kie", "s1gned", "t0ken", "n0body")


def save(lab, vs, **body):
    return save_past(lab, vs, **{"seconds": 600, **body})


def heads(file, leg):
    """{id: [first lines]} of what can be read of one leg, requests and answers of one connection in their order."""
    found, open_by = {}, {}
    for comment, stream, uri, version, code in tshark(
            file, f'frame.interface_name contains "recorder-plaintext-{leg}"', "frame.comment", "tcp.stream", "http.request.uri",
            "http.request.version", "http.response.code"):
        assert comment.startswith(f"{leg} leg, flow ") and ", plaintext" in comment, comment
        if uri:
            open_by[stream] = found.setdefault(re.search("id=([^&]+)", uri).group(1), [])
        open_by.setdefault(stream, []).append(f"{version} {uri}" if uri else code)  # the request may be too old
    return found


def comments(file, name):
    return [row[0] for row in tshark(file, f'http.request.uri contains "id={name}" and frame.interface_name contains "recorder-plaintext"', "frame.comment")]


def request_of(comment):
    return re.search(r"request ([^,]+)", comment).group(1)


def clear(file):
    return [secret for secret in SECRETS if secret.encode() in file.read_bytes()]


def test_what_was_said_inside_tls_can_be_read_afterwards(lab):
    web, client = lab.server(), lab.client()
    engine = engine_of(lab, 1)
    shown = Identity("shop")
    lab.api.post("sslkeyandcertificate", {
        "name": "shop", "key": shown.key, "certificate": {"certificate": shown.certificate}, "type": "SSL_CERTIFICATE_TYPE_VIRTUALSERVICE"})
    lab.api.post("analyticsprofile", {"name": "discreet", "sensitive_log_profile": {
        "header_field_rules": [
            {"index": 1, "enabled": True, "action": "LOG_FIELD_REMOVE", "match": {"match_criteria": "BEGINS_WITH", "match_str": ["x-internal-"]}},
            {"index": 2, "enabled": True, "action": "LOG_FIELD_MASKOFF", "match": {"match_criteria": "EQUALS", "match_str": ["User-Agent"]}},
            {"index": 3, "enabled": False, "match": {"match_criteria": "EQUALS", "match_str": ["Accept"]}}],
        "uri_query_field_rules": [
            {"index": 1, "enabled": True, "action": "LOG_FIELD_MASKOFF", "match": {"match_criteria": "ENDS_WITH", "match_str": ["token"]}}]}})
    origin = TlsOrigin(lab.server(), Identity("origin"))
    tls = {"port": 443, "ssl_key_and_certificate_refs": ["/api/sslkeyandcertificate?name=shop"]}
    shop = lab.virtual_service(
        pool=[origin.address], monitor="tcp", pool_more={"ssl_profile_ref": "/api/sslprofile?name=System-Standard"},
        services=[{"port": 443, "enable_ssl": True, "enable_http2": True}],
        analytics_profile_ref=lab.ref("analyticsprofile", "discreet"), **tls).wait_servers_up(1)
    busy, hidden = (lab.virtual_service(pool=[web], services=[{"port": 443, "enable_ssl": True}], flight_recorder_plaintext=yes, **tls)
                    for yes in (True, False))
    raw = lab.virtual_service(pool=[web], services=[{"port": 443, "enable_ssl": True}],
                              application_profile_ref=lab.ref("applicationprofile", "System-SSL-Application"), **tls)

    def ask(vs, name, *words):
        done = client.run("curl", "-sk", "-m", 10, "-o", "/dev/null", "-w", "%{http_code}", "-A", "n0body/1", "-H", "Authorization: Basic hunter2",
                          "-H", "X-Internal-Key: s1gned", "-b", "session=c00kie", *words, f"https://{vs.vip}/files/128?id={name}&token=t0ken")
        assert done.stdout == "200", done

    ask(shop, "h1", "--http1.1")
    ask(shop, "h2", "--http2")
    begun = time.monotonic()
    ask(busy, "quiet")
    # Another one that goes round many times in what is its own takes nothing of what was.
    client.run("h2load", "--h1", "-n", 1000, "-c", 4, f"https://{busy.vip}/files/128?id=busy", timeout=60)
    ask(raw, "raw")
    ask(hidden, "hidden")
    done, file = save(lab, shop)
    # The heads of requests and answers, on both legs, whatever the version; tshark needs no word of how.
    path = "/files/128?id={}&token=***"
    assert heads(file, "client") == {"h1": ["HTTP/1.1 " + path.format("h1"), "200"], "h2": ["HTTP/2 " + path.format("h2"), "200"]}
    assert heads(file, "server") == {name: ["HTTP/1.1 " + path.format(name), "200"] for name in ("h1", "h2")}
    for name in ("h1", "h2"):
        one, two = comments(file, name)
        assert request_of(one) == request_of(two) and one.split(", ")[1] == two.split(", ")[1], (one, two)
        # The packets of the wire have the same name, on both legs.
        legs = {row[0].split(",")[0] for row in tshark(file, f'tls and frame.comment contains "{request_of(one)}"', "frame.comment")}
        assert legs == {"client leg", "server leg"}
    assert not clear(file)
    lines = "\n".join(row[0] for row in tshark(file, "http.request", "http.request.line"))
    assert lines.count("Authorization: ***") + lines.count("authorization: ***") == 4 and "s1gned" not in lines and "nternal" not in lines, lines
    assert "ser-Agent: ***" in lines and "Accept: */*" in lines
    rows = tshark(file, "", "frame.time_epoch")
    assert rows == sorted(rows) and len(rows) == done["packets"]
    assert done["plaintext_packets"] == 8 and 0 < done["plaintext_seconds_held"] <= done["seconds_held"], done
    assert done["engines"][0]["plaintext_seconds_held"] == done["plaintext_seconds_held"]
    assert not tshark(file, 'frame.interface_name contains "plaintext" && (tcp.checksum.status == "Bad" || tcp.analysis.flags)')
    assert tshark(file, 'frame.interface_name contains "plaintext" && tcp.checksum.status == "Good"')
    # The log says no more.
    logs = {row["uri_query"]: row for row in lab.api.get("analytics/logs", type=1, virtualservice=shop.uuid)["results"]}
    assert set(logs) == {f"id={name}&token=***" for name in ("h1", "h2")} and {row.get("user_agent") for row in logs.values()} == {"***"}
    # Of one request, that request alone.
    asked = logs["id=h1&token=***"]["request_id"]
    done, file = save(lab, shop, request_id=asked)
    assert set(heads(file, "client")) == set(heads(file, "server")) == {"h1"} and done["plaintext_packets"] == 4
    # The busy one holds its newest, and says how far back.
    done, file = save(lab, busy)
    assert "quiet" not in heads(file, "client") and done["plaintext_packets"] > 20
    assert 0 < done["plaintext_seconds_held"] < time.monotonic() - begun, done
    assert not heads(file, "server"), "its servers are asked without TLS"
    late = [row[0] for row in tshark(file, 'frame.comment contains "what was said before on this connection is not here"', "tcp.stream")]
    assert late and len(set(late)) == len(late)
    # Who is not recorded, or inside of TLS not, has none.
    done, file = save(lab, hidden)
    assert done["packets"] and not done["plaintext_packets"] and "plaintext_seconds_held" not in done
    # A stream that nobody understands, which happens to be HTTP.
    done, file = save(lab, raw)
    assert list(heads(file, "client")) == ["raw"]
    assert not any(tshark(file, f'frame.interface_name contains "plaintext" and frame contains "{secret}"') for secret in ("hunter2", "c00kie"))
    permissions(lab, shop)
    # Switched off it is forgotten, on again it begins anew.
    for switch in (shop.patch, lambda replace: lab.api.patch(f"serviceenginegroup/{group['uuid']}", replace=replace)):
        group = lab.api.find("serviceenginegroup", "Default-Group")
        switch(replace={"flight_recorder_plaintext": False})
        until(lambda: "plaintext_seconds_held" not in save(lab, shop)[0], "it is not recorded")
        switch(replace={"flight_recorder_plaintext": True})
        until(lambda: "plaintext_seconds_held" in save(lab, shop)[0], "it is recorded again")
        assert not heads(save(lab, shop)[1], "client")
        ask(shop, "anew")
        assert list(heads(save(lab, shop)[1], "client")) == ["anew"]
    # It outlives the proxy.
    engine.kill_proxy()
    until(lambda: client.run("curl", "-sk", "-m", 2, "-o", "/dev/null", f"https://{shop.vip}/?id=after", check=False).returncode == 0, "it is back")
    assert list(heads(save(lab, shop)[1], "client")) == ["anew", "after"]


def permissions(lab, shop):
    """Whoever may not hold keys gets files without it, and is told so."""
    other = taker(lab, "WRITE_ACCESS")
    whole, file = save(lab, shop)
    size = file.stat().st_size
    labels = [len(tshark(file, f'frame.comment contains "its TLS secrets are not in this file{end}"')) for end in (": its plaintext is", ", nor")]
    assert labels[0] in (3, 4) and not labels[1]        # the second may be asked of the same connection
    file.write_bytes(other.get_bytes(f"capture/{whole['uuid']}/file"))
    assert labels[::-1] == [len(tshark(file, f'frame.comment contains "{end}"')) for end in ("its plaintext is", "in this file, nor is plaintext")]
    assert 0 < file.stat().st_size < size and b"id=h1" not in file.read_bytes()
    assert len(tshark(file)) == whole["packets"] - whole["plaintext_packets"] > 0
    mine = other.post(f"virtualservice/{shop.uuid}/save-packets", {})
    assert "sslkeyandcertificate" in mine["plaintext"] and not mine["plaintext_packets"] and mine["packets"]
    for who in (other, lab.api):
        file.write_bytes(who.get_bytes(f"capture/{mine['uuid']}/file"))
        assert b"id=h1" not in file.read_bytes()
    kept = {path.name for path in (lab.controller.data / "captures").iterdir()}
    assert f"{whole['uuid']}.open" in kept and f"{mine['uuid']}.open" not in kept
    lab.api.delete(f"capture/{whole['uuid']}")
    until(lambda: not any(path.name.startswith(whole["uuid"]) for path in (lab.controller.data / "captures").iterdir()), "its files are gone")
