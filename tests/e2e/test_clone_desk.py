"""The control side of copies: what is refused and what is warned of, who may, what is told and shown."""

import contextlib
import json

import pytest

from contract import error, server
from lab.host import until
from lab.packets import BAD_CHECKSUM, PcapReader, conversations
from lab.tunnels import unwrap
import link_world

VXLAN = {"type": "CLONE_ENCAP_VXLAN", "vni": 7}


def ip(addr, **more):
    return {"ip_address": {"addr": addr, "type": "V6" if ":" in addr else "V4"}, **more}


def prefix(addr, mask):
    return {"ip_addr": {"addr": addr, "type": "V6" if ":" in addr else "V4"}, "mask": mask}


class Desk:
    """Objects that are made for one question and gone afterwards."""

    def __init__(self, admin):
        self.admin, self.n = admin, 0

    @contextlib.contextmanager
    def made(self, kind, session=None, **body):
        self.n += 1
        answer = (session or self.admin).post(kind, {"name": f"{kind}-{self.n}", **body})
        assert answer.status_code == 201, answer.text
        try:
            yield answer.json()
        finally:
            self.admin.delete(f"{kind}/{answer.json()['uuid']}")

    @contextlib.contextmanager
    def service(self, pool=(), **body):
        """A virtual service; body as for POST."""
        self.n += 1
        vip = [{"vip_id": "0", "ip_address": {"addr": f"10.77.0.{self.n}", "type": "V4"}}]
        with self.made("vsvip", vip=vip) as at, \
                self.made("pool", servers=[server(addr) for addr in pool or ["10.78.0.1"]]) as to, \
                self.made("virtualservice", **{"vsvip_ref": at["url"], "pool_ref": to["url"],
                                               "services": [{"port": 80}], **body}) as vs:
            yield vs


@pytest.fixture(scope="module")
def desk(admin):
    return Desk(admin)


def test_a_profile_and_its_service_must_fit(admin, desk):
    """Refused from whichever side it is written, and the other object is as it was."""
    l4 = {"application_profile_ref": "/api/applicationprofile?name=System-L4-Application"}
    udp = {**l4, "network_profile_ref": "/api/networkprofile?name=System-UDP-Fast-Path"}
    tls = {"services": [{"port": 443, "enable_ssl": True}],
           "ssl_key_and_certificate_refs": ["/api/sslkeyandcertificate?name=System-Default-Cert"]}
    decrypted = {"payload": "CLONE_DECRYPTED"}
    cases = [
        (tls, {"side": "CLONE_SIDE_CLIENT"}, "side", "port 443 is TLS"),
        (tls, {"side": "CLONE_SIDE_BOTH"}, "side", "port 443 is TLS"),
        (udp, decrypted, "payload", "UDP has no decrypted copy"),
        (l4, {**decrypted, "filter": {"hosts": ["a.example"]}}, "filter.hosts", "port 80 is not HTTP"),
        (l4, {**decrypted, "filter": {"path_prefixes": ["/a"]}}, "filter.path_prefixes", "port 80 is not HTTP"),
        (l4, {**decrypted, "masked_headers": ["Cookie"]}, "masked_headers", "port 80 is not HTTP"),
        ({"services": [{"port": 80}, {"port": 81, "override_application_profile_ref": l4["application_profile_ref"]}]},
         {**decrypted, "masked_headers": ["Cookie"]}, "masked_headers", "port 81 is not HTTP"),
    ]
    for service, profile, path, why in cases:
        with desk.made("trafficcloneprofile", clone_servers=[ip("10.9.0.1")]) as harmless, \
                desk.made("trafficcloneprofile", clone_servers=[ip("10.9.0.1")], **profile) as bad, \
                desk.service(traffic_clone_profile_ref=harmless["url"], **service) as vs:
            said = error(admin.patch(f"virtualservice/{vs['uuid']}", {"replace": {"traffic_clone_profile_ref": bad["url"]}}), 400)
            assert said.startswith("traffic_clone_profile_ref: ") and path in said and why in said
            said = error(admin.patch(f"trafficcloneprofile/{harmless['uuid']}", {"replace": profile}), 400)
            assert said.startswith(f"{path}: ") and vs["name"] in said and why in said
            assert "filter" not in admin.get(f"trafficcloneprofile/{harmless['uuid']}?skip_default=true").json()


def test_networks_clouds_and_tenants_are_kept_apart(admin, desk):
    with desk.made("network", configured_subnets=[{"prefix": prefix("10.9.0.0", 24)}]) as net:
        for addr, status in (("10.9.0.7", 201), ("10.9.1.7", 400)):
            answer = admin.post("trafficcloneprofile", {"name": addr, "clone_servers": [ip(addr, network_ref=net["url"])]})
            assert answer.status_code == status, answer.text
        assert error(answer, 400) == ("clone_servers[0].ip_address.addr: 10.9.1.7 is in no subnet of"
                                      f" Network '{net['name']}'.")
        said = error(admin.post("trafficcloneprofile", {"name": "x", "clone_servers": [
            {"mac": "02:00:00:00:00:01", "network_ref": net["url"], "subnet": prefix("10.9.1.0", 24)}]}), 400)
        assert said == f"clone_servers[0].subnet: Is no subnet of Network '{net['name']}'."
        with desk.made("trafficcloneprofile", clone_servers=[
                {"mac": "02:00:00:00:00:01", "network_ref": net["url"], "subnet": prefix("10.9.0.128", 25)}]):
            pass
        # A routed copy leaves by that network and arrives elsewhere.
        with desk.made("trafficcloneprofile", clone_servers=[ip("10.9.1.7", network_ref=net["url"], encapsulation=VXLAN)]):
            pass
        admin.delete("trafficcloneprofile/" + admin.find("trafficcloneprofile", "10.9.0.7")["uuid"])
    with desk.made("cloud", vtype="CLOUD_NONE") as cloud, \
            desk.made("trafficcloneprofile", clone_servers=[ip("10.9.0.1")], cloud_ref=cloud["url"]) as elsewhere, \
            desk.made("tenant") as tenant:
        said = error(admin.post("virtualservice", {"name": "v", "services": [{"port": 80}],
                                                   "traffic_clone_profile_ref": elsewhere["url"]}), 400)
        assert said == f"traffic_clone_profile_ref: TrafficCloneProfile '{elsewhere['name']}' is in another cloud."
        there = {"X-Avi-Tenant": tenant["name"]}
        made = admin.post("trafficcloneprofile", {"name": "theirs", "clone_servers": [ip("10.9.0.1")]}, headers=there).json()
        for ref in (made["url"], "/api/trafficcloneprofile?name=theirs"):
            answer = admin.post("virtualservice", {"name": "v", "services": [{"port": 80}], "traffic_clone_profile_ref": ref})
            assert answer.status_code in (400, 404) and answer.json()["error"].startswith(
                "traffic_clone_profile_ref: TrafficCloneProfile object not found"), answer.text
        admin.delete(f"trafficcloneprofile/{made['uuid']}", headers=there)


def test_what_cannot_work_now_is_a_warning(admin, desk):
    """Objects are made before engines: stored, said in the answer and in its event."""
    answer = admin.post("trafficcloneprofile", {"name": "early", "clone_servers": [
        ip("10.9.0.1"), ip("10.9.0.2", encapsulation=VXLAN), ip("10.9.0.3", subnet=prefix("10.9.0.0", 24), encapsulation=VXLAN)]})
    said = answer.headers["X-Spanwire-Warning"]
    assert answer.status_code == 201
    assert said.startswith("clone_servers[0]: no service engine of the cloud has an interface in the network of 10.9.0.1, ")
    assert "clone_servers[1]" not in said and "clone_servers[2]" in said
    none = admin.post("trafficcloneprofile", {"name": "none"})
    assert none.headers["X-Spanwire-Warning"] == "clone_servers: there is none, so nothing is copied."
    admin.delete("trafficcloneprofile/" + none.json()["uuid"])
    made = answer.json()
    told = [e for e in admin.get("analytics/logs?type=2&page_size=50").json()["results"] if e.get("obj_uuid") == made["uuid"]]
    assert told[0]["details_summary"].startswith("clone_servers[0]: no service engine")
    with desk.service(traffic_clone_profile_ref=made["url"]) as vs:
        answer = admin.patch(f"virtualservice/{vs['uuid']}", {"replace": {"enabled": False}})
        assert "no service engine of group Default-Group has" in answer.headers["X-Spanwire-Warning"]
        # A receiver that is a server as well would take packets twice, from either end; an encapsulated one it can tell.
        twice = "clone_servers[0]: 10.9.0.1 is a server of virtual service {}: it would take each packet"
        with desk.service(pool=["10.9.0.1", "10.9.0.2"], traffic_clone_profile_ref=made["url"]) as both:
            for path in (f"virtualservice/{both['uuid']}", f"trafficcloneprofile/{made['uuid']}"):
                said = admin.put(path, admin.get(path).json()).headers["X-Spanwire-Warning"]
                assert twice.format(both["name"]) in said and "10.9.0.2 is a server" not in said
        # Two services in a row on one group of engines, from either end.
        with desk.service(pool=["10.78.0.1", vs_address(admin, vs)], traffic_clone_profile_ref=made["url"]) as first:
            answer = admin.get(f"virtualservice/{first['uuid']}")
            for one in (first, vs):
                answer = admin.put(f"virtualservice/{one['uuid']}", admin.get(f"virtualservice/{one['uuid']}").json())
                said = answer.headers["X-Spanwire-Warning"]
                assert f"Virtual services {first['name']} and {vs['name']} are of one service engine group" in said
            with desk.made("serviceenginegroup") as other:
                admin.patch(f"virtualservice/{vs['uuid']}", {"replace": {"se_group_ref": other["url"]}})
                answer = admin.put(f"virtualservice/{first['uuid']}", admin.get(f"virtualservice/{first['uuid']}").json())
                assert "are of one service engine group" not in answer.headers["X-Spanwire-Warning"]
                admin.patch(f"virtualservice/{vs['uuid']}", {"replace": {"se_group_ref": "/api/serviceenginegroup?name=Default-Group"}})
    assert admin.delete(f"trafficcloneprofile/{made['uuid']}").status_code == 204


def vs_address(admin, vs):
    vip = admin.get("vsvip/" + vs["vsvip_ref"].split("/")[-1].split("#")[0]).json()
    return vip["vip"][0]["ip_address"]["addr"]


def test_who_may_copy(controller, admin, desk):
    """Profiles and the switch: TRAFFICCLONEPROFILE. What is decrypted: TRAFFIC_CAPTURE as well."""
    def person(name, *resources):
        role = admin.make("role", name=name, privileges=[
            {"resource": f"PERMISSION_{r}", "type": "WRITE_ACCESS"} for r in resources])
        admin.make("user", name=name, password="Xx-12345-6789", access=[{"role_ref": role["url"], "tenant_ref": "/api/tenant/admin"}])
        return controller.session(name, "Xx-12345-6789")

    common = ("VIRTUALSERVICE", "POOL", "APPLICATIONPROFILE", "NETWORKPROFILE")
    operator = person("operator", *common)
    cloner = person("cloner", *common, "TRAFFICCLONEPROFILE")
    reader = person("reader", *common, "TRAFFICCLONEPROFILE", "TRAFFIC_CAPTURE")
    raw, plain = {"clone_servers": [ip("10.9.0.1")]}, {"clone_servers": [ip("10.9.0.1")], "payload": "CLONE_DECRYPTED"}
    assert operator.post("trafficcloneprofile", {"name": "x", **raw}).status_code == 403
    said = error(cloner.post("trafficcloneprofile", {"name": "x", **plain}), 403)
    assert said == "payload: Copying decrypted needs write access to PERMISSION_TRAFFIC_CAPTURE."
    with desk.made("trafficcloneprofile", session=cloner, **raw) as copies, \
            desk.made("trafficcloneprofile", session=reader, **plain) as reads, desk.service() as vs:
        path = f"virtualservice/{vs['uuid']}"
        on, off = [{verb: {"traffic_clone_profile_ref": copies["url"]}} for verb in ("replace", "delete")]
        said = error(operator.patch(path, on), 403)
        assert said == ("traffic_clone_profile_ref: Switching copies on or off needs write access to"
                        " PERMISSION_TRAFFICCLONEPROFILE.")
        assert cloner.patch(path, on).status_code == 200
        # What he may not switch he may leave as it is.
        assert operator.put(path, {**operator.get(path).json(), "enabled": False}).status_code == 200
        error(operator.patch(path, off), 403)
        decrypts = {"replace": {"traffic_clone_profile_ref": reads["url"]}}
        error(cloner.patch(path, decrypts), 403)
        error(cloner.patch(f"trafficcloneprofile/{copies['uuid']}", {"replace": {"payload": "CLONE_DECRYPTED"}}), 403)
        error(cloner.patch(f"trafficcloneprofile/{reads['uuid']}", {"replace": {"clone_servers": [ip("10.9.0.2")]}}), 403)
        assert reader.patch(path, decrypts).status_code == 200
        assert cloner.patch(path, off).status_code == 200


# ---- what is told and shown ----


@pytest.fixture
def world(tmp_path):
    """A controller, and an engine that says what the test wants."""
    controller = link_world.Controller(tmp_path)
    engine = link_world.Engine(controller, "se-1", tmp_path).enrol(controller.token()).up().run()
    try:
        yield controller, engine
    finally:
        engine.halt()
        controller.end()


def test_who_switched_copies_on_is_told(world):
    controller, _ = world
    api = controller.api

    def told(verb):
        return controller.events(f"CONFIG_TRAFFIC_CLONE_{verb}")
    raw = api.post("trafficcloneprofile", {"name": "raw", "clone_servers": [ip("10.9.0.1")]})
    other = api.post("trafficcloneprofile", {"name": "other", "clone_servers": [ip("10.9.0.2")], "payload": "CLONE_DECRYPTED"})
    api.patch(f"trafficcloneprofile/{raw['uuid']}", replace={"preserve_client_ip": True})
    assert not told("CHANGE"), "nobody is copied by it"
    vs = controller.service(1)
    path = f"virtualservice/{vs['uuid']}"
    assert not told("ON")
    api.patch(path, replace={"traffic_clone_profile_ref": raw["url"]})
    api.patch(path, replace={"description": "says nothing of copies"})
    [on] = told("ON")
    details = on["event_details"]["traffic_clone_details"]
    assert details["user"] == "admin" and details["client_ip"] == "127.0.0.1" and details["old"] is None
    assert details["new"]["name"] == "raw" and details["new"]["clone_servers"][0]["ip_address"]["addr"] == "10.9.0.1"
    assert on["obj_uuid"] == vs["uuid"] and on["context"] == "EVENT_CONTEXT_CONFIG"
    assert on["event_description"] == "Copies of virtual service vs-1 by TrafficCloneProfile raw were switched on by admin."
    api.patch(f"trafficcloneprofile/{raw['uuid']}", replace={"name": "renamed"})
    assert not told("CHANGE"), "a name copies nothing"
    api.patch(f"trafficcloneprofile/{raw['uuid']}", add={"clone_servers": [ip("10.9.0.3")]})
    [change] = told("CHANGE")
    details = change["event_details"]["traffic_clone_details"]
    assert change["obj_uuid"] == raw["uuid"] and details["virtualservices"] == ["vs-1"]
    assert [(d["path"], d["new"]["ip_address"]["addr"]) for d in details["diff"]] == [("clone_servers[1]", "10.9.0.3")]
    api.patch(path, replace={"traffic_clone_profile_ref": other["url"]})
    [change] = [e for e in told("CHANGE") if e["obj_uuid"] == vs["uuid"]]
    assert change["event_details"]["traffic_clone_details"]["new"]["payload"] == "CLONE_DECRYPTED"
    api.patch(path, delete={"traffic_clone_profile_ref": other["url"]})
    assert len(told("OFF")) == 1
    api.patch(path, replace={"traffic_clone_profile_ref": raw["url"]})
    api.delete(path)
    assert len(told("OFF")) == 2 and len(told("ON")) == 2


def test_counters_begin_anew_and_servers_come_and_go(world):
    """One event for each that happens, however often the engine says it; sums never go back."""
    controller, engine = world
    api = controller.api
    profile = api.post("trafficcloneprofile", {"name": "raw", "clone_servers": [
        ip("10.9.0.1"), {"mac": "02:00:00:00:00:09", "subnet": prefix("10.200.0.0", 16)}]})
    vs = controller.service(1)
    path = f"virtualservice/{vs['uuid']}"
    api.patch(path, replace={"traffic_clone_profile_ref": profile["url"]})
    until(lambda: engine.held.get(f"virtualservice/{vs['uuid']}", {}).get("traffic_clone_profile_ref"), "the engine holds it")
    bulk, clock = engine.bulk(), iter(range(1, 100))
    counted = {"flows_shed": 0, "eligible": 10, "sent": 4, "dropped_memory": 1, "dropped_queue_full": 2, "dropped_too_big": 3}

    def says(since_us, first="ready", second="ready", times=1, since=counted, extra=0):
        for _ in range(times):
            at = next(clock)
            lines = [{"ip": "10.9.0.1", "index": 0, **{k: v + extra for k, v in counted.items()},
                      "since": {"time_us": since_us, **since}, "state": first, "mac": "02:00:00:00:00:01"},
                     {"ip": None, "index": 1, **counted, "since": {"time_us": since_us, **since}, "state": second,
                      "mac": "02:00:00:00:00:09"}]
            bulk.do(lambda: bulk.say("stats", time_us=at, clones={vs["uuid"]: lines}))
            until(lambda: at == (blocks() or [{}])[0].get("time_us"), "it was heard")

    def blocks():
        return api.get(f"{path}/traffic_clone_stats/")

    def events(what):
        return controller.events(f"VS_CLONE_{what}")
    try:
        says(1000, first="its MAC address is not known: nobody answers")
        says(1000, times=2)
        assert not events("SERVER_DOWN"), "resolving takes its time"
        block, = blocks()
        assert (block["se_uuid"], block["proc_id"], block["since_us"]) == (engine.uuid, "PROC_Aggregate", 1000)
        by_ip, by_mac = block["clone_srvr_stats"]
        assert by_ip["ip"] == {"addr": "10.9.0.1", "type": "V4"} and "ip" not in by_mac and by_mac["mac"] == "02:00:00:00:00:09"
        assert [by_ip[f"num_{n}"] for n in ("total_pkts_cloned", "mbuf_alloc_failed", "driver_failures", "succeeded")] == [10, 1, 2, 4]
        assert by_ip["dropped"] == 6 and by_ip["dropped_too_big"] == 3
        assert block["totals"]["eligible"] == 20 and block["totals"]["num_succeeded"] == 8
        # One sensor goes away and comes back, twice.
        for n in (1, 2):
            says(1000, first="its interface is down or has no carrier", times=6)
            assert len(events("SERVER_DOWN")) == n
            told = next(s for s in api.get(f"{path}/runtime")["traffic_clone"] if s["clone_server"] == "10.9.0.1")
            assert told["state"] == "OPER_DOWN" and told["reason"] == "its interface is down or has no carrier"
            assert "10.9.0.1 on se-1: its interface is down or has no carrier;" in str(api.get(f"{path}/why"))
            says(1000, times=3)
            assert len(events("SERVER_UP")) == n
        down = events("SERVER_DOWN")[0]
        assert down["event_description"] == ("Clone server 10.9.0.1 of virtual service vs-1 cannot be reached by service engine"
                                             " se-1: its interface is down or has no carrier.")
        # The profile changes: counters begin anew, sums go on.
        assert not events("COUNTERS_RESET")
        says(2000, since={"eligible": 1, "sent": 1}, extra=1, times=2)
        assert len(events("COUNTERS_RESET")) == 1
        block, = blocks()
        assert block["clone_srvr_stats"][0]["num_total_pkts_cloned"] == 1 and block["since_us"] == 2000
        assert block["lifetime"][0]["eligible"] == 11 and block["totals"]["eligible"] == 2
        # New flows are shed for a while: told when it begins, and when it is over.
        for n in (2, 3, 4):
            says(2000, since={"eligible": 1, "sent": 1, "flows_shed": n}, extra=n)
        assert len(events("SHEDDING")) == 1 and not events("SHEDDING_END")
        says(2000, since={"eligible": 1, "sent": 1, "flows_shed": 4}, extra=4, times=12)
        assert len(events("SHEDDING")) == 1
        [end] = events("SHEDDING_END")
        assert end["event_details"]["traffic_clone_details"]["flows"] == 4
        # The engine starts again with the same profile: nothing begins anew.
        bulk.halt()
        engine.halt()
        engine.instance = "another"
        engine.up().run()
        bulk = engine.bulk()
        says(3000, since={"eligible": 5, "sent": 5})
        block, = blocks()
        assert len(events("COUNTERS_RESET")) == 1
        assert block["clone_srvr_stats"][0]["eligible"] == 6 and block["lifetime"][0]["eligible"] == 24
    finally:
        bulk.halt()


# ---- the test of the way ----


def spanwire(lab, *words):
    c = lab.controller
    done = c.run("env", "-i", "PATH=/usr/bin", "HOME=/nonexistent", f"SPANWIRE_CONTROLLER={c.url}",
                 f"SPANWIRE_PASSWORD_FILE={c.password_file}", f"SPANWIRE_CA={c.data / 'ca.pem'}",
                 lab.program("spanwire"), *words, check=False)
    return done.returncode, done.stdout, done.stderr


def events(lab, event_id):
    return [e for e in lab.api.get("analytics/logs", type=2, page_size=1000)["results"] if e["event_id"] == event_id]


def prove(lab, vs):
    return lab.api.post(f"virtualservice/{vs.uuid}/clone-test", {})


def test_the_way_to_each_sensor_is_proved_without_production(lab):
    """Whole conversations that stock rules alert on come to each sensor; the books of real copies do not know them."""
    ids, web, client, engine = lab.sensor(), lab.server(), lab.client(), lab.engine()
    vs = lab.virtual_service(pool=[web], clone=lab.clone_profile([ids])).wait_servers_up(1)
    assert lab.api.send("POST", f"/api/virtualservice/{vs.uuid}/clone-test", json={}).status_code == 200
    ids.settled()
    assert vs.clone_sum("eligible") == vs.clone_sum("sent") == 0 and web.requests() == []

    said, = ids.conversations()
    assert said.complete and said.ended and (said.client, said.server) == ("192.0.2.1", "192.0.2.2")
    assert said.sent.startswith(b"GET /spanwire-clone-test HTTP/1.1\r\n") and vs.name.encode() in said.sent
    assert said.answered.endswith(b"\r\n\r\nuid=0(root) gid=0(root) groups=0(root)\n")
    assert ids.illegal(engine.macs()) == []
    assert ids.tshark(f"tcp.analysis.flags || {BAD_CHECKSUM}") == []

    # What is told is what came, and the filter shows just that.
    before = ids.forget()
    status, out, _ = spanwire(lab, "--json", "clone", "test", vs.name)
    assert status == 0
    answer = json.loads(out)
    row, = answer["engines"][0]["clone_servers"]
    assert answer["complete"] and ids.settled() == row["frames"] == row["sent"] == answer["sent"] == before
    assert row["ip"] == ids.ip4 and row["destination_mac"] == ids.mac and row["source_mac"] in engine.macs()
    shown = ids.run("tcpdump", "-n", "-r", ids.pcap, row["filter"]).stdout.splitlines()
    assert len(shown) == row["frames"] and "Flags [S]" in shown[0] and f"192.0.2.1.{row['client_port']} >" in shown[0]

    status, out, _ = spanwire(lab, "clone", "test", vs.name)
    assert status == 0 and f"+ clone server {ids.ip4}: {before} of {before} frames sent" in out
    assert ids.mac in out and "there: tcpdump" in out and 'report "uid=0(root)' in out
    # A profile by the shell, into the depth of its fields.
    words = ["clone_servers", ids.ip4, "clone_servers.1.encapsulation.type", "vxlan", "clone_servers.1.encapsulation.vni", "77",
             "payload", "decrypted", "filter.sample_percent", "10", "filter.client_prefixes", "10.0.0.0/8,fd00::/8",
             "masked_headers", "Cookie,Authorization", "flow_log.type", "syslog", "flow_log.ip_address", "10.0.0.9"]
    status, _, warned = spanwire(lab, "configure", "trafficcloneprofile", "deep", *words)
    made = lab.api.find("trafficcloneprofile", "deep")
    assert status == 0 and made["clone_servers"][0]["encapsulation"] == {**made["clone_servers"][0]["encapsulation"], **VXLAN, "vni": 77}
    assert made["filter"]["client_prefixes"][1] == prefix("fd00::", 8) and made["masked_headers"] == ["Cookie", "Authorization"]
    assert made["flow_log"]["ip_address"] == {"addr": "10.0.0.9", "type": "V4"}, warned
    status, _, refused = spanwire(lab, "configure", "trafficcloneprofile", "deep", "payload", "as_sent")
    assert status == 1 and "masked_headers: It needs payload CLONE_DECRYPTED" in refused
    assert "ENCAPSULATION.VNI" in spanwire(lab, "show", "trafficcloneprofile", "deep")[1]
    # The other family.
    profile = lab.api.get(f"virtualservice/{vs.uuid}")["traffic_clone_profile_ref"].split("/")[-1].split("#")[0]
    lab.api.patch(f"trafficcloneprofile/{profile}", replace={"clone_servers": [ip(ids.ip6)], "payload": "CLONE_DECRYPTED",
                                                             "marker_mac": "02:53:57:00:00:99"})
    until(lambda: lab.api.get(f"virtualservice/{vs.uuid}/runtime")["traffic_clone"][0]["clone_server"] == ids.ip6, "it follows")
    ids.settled()
    ids.forget()
    assert prove(lab, vs)["complete"]
    ids.settled()
    assert [(c.complete, c.client, c.server) for c in ids.conversations()] == [(True, "2001:db8::1", "2001:db8::2")]
    assert ids.illegal({"02:53:57:00:00:99"}) == []
    lab.api.patch(f"trafficcloneprofile/{profile}", delete={"payload": "CLONE_DECRYPTED", "marker_mac": "02:53:57:00:00:99"})
    # Encapsulated, as the sensor can decode it.
    lab.api.patch(f"trafficcloneprofile/{profile}", replace={"clone_servers": [ip(ids.ip4, encapsulation=VXLAN)]})
    until(lambda: lab.api.get(f"virtualservice/{vs.uuid}/runtime")["traffic_clone"][0]["clone_server"] == ids.ip4, "it follows")
    pcap = lab.dir / "vxlan.pcap"
    tcpdump = ids.start("tcpdump", "-i", "eth0", "-nn", "--immediate-mode", "-U", "-Z", "root", "-w", pcap, "udp dst port 4789",
                        log="vxlan.tcpdump")
    until(lambda: "listening on" in tcpdump.tail(), "it listens")
    row, = prove(lab, vs)["engines"][0]["clone_servers"]
    assert (row["encapsulation"], row["filter"]) == ("CLONE_ENCAP_VXLAN", "udp dst port 4789")
    wrapped, reader = [], PcapReader(pcap, unwrap)
    until(lambda: wrapped.extend(reader.new_frames()) or len(wrapped) == row["frames"] == row["sent"], "all of them come")
    assert {(w.kind, w.number, w.whole, w.checksums_ok, w.dst) for w in wrapped} == {("vxlan", 7, True, True, ids.ip4)}
    assert [c.complete and c.ended and c.client_port == row["client_port"] for c in conversations(w.inner for w in wrapped)] == [True]
    lab.api.patch(f"trafficcloneprofile/{profile}", replace={"clone_servers": [ip(ids.ip4)]})
    until(lambda: len(events(lab, "VS_CLONE_COUNTERS_RESET")) >= 2, "changes are told, those of one second once")
    who = [e["event_details"]["traffic_clone_details"]["user"] for e in events(lab, "CONFIG_TRAFFIC_CLONE_TEST")]
    assert who == ["admin"] * 5
    # Real copies go on as before.
    until(vs.in_force, "the last edit has effect")
    vs.wait_clone_ready()
    ids.forget()
    assert client.fresh_get(vs.url).ok
    until(lambda: (sums := vs.clone_told())["eligible"] == sums["sent"] == ids.settled() > 0, "the books are those of real copies")


def test_a_way_that_is_not_ready_is_told_and_why(lab):
    ids, web, engine, beside = lab.sensor(), lab.server(), lab.engine(), lab.sensor(on=lab.back)
    vs = lab.virtual_service(pool=[web])
    assert "has no clone profile" in lab.api.send("POST", f"/api/virtualservice/{vs.uuid}/clone-test", json={}).json()["error"]
    dead, far = lab.span.address(250)[0], "203.0.113.9"
    answer = lab.api.send("POST", "/api/trafficcloneprofile", json={"name": "three", "clone_servers": [
        ip(ids.ip4), ip(dead), ip(far), {"mac": "02:00:00:00:00:77", "subnet": prefix(lab.span.address(0)[0], 24)},
        ip(beside.ip4)]})
    assert "clone_servers[2]: no service engine of the cloud has" in answer.headers["X-Spanwire-Warning"]
    assert "clone_servers[0]" not in answer.headers["X-Spanwire-Warning"]
    vs.patch(replace={"traffic_clone_profile_ref": answer.json()["url"]})
    until(lambda: len(lab.api.get(f"virtualservice/{vs.uuid}/runtime").get("traffic_clone", [])) == 5, "the engine follows")
    rows = prove(lab, vs)["engines"][0]["clone_servers"]
    good, silent, nowhere, nobody, shared = rows
    assert good["ready"] and good["sent"] == good["frames"] > 0
    assert not silent["ready"] and silent["dropped"] == {"dropped_no_neighbour": silent["frames"]}
    assert silent["text"].startswith(f"not ready: {dead} does not answer ARP on span0; 0 of ")
    assert nowhere["dropped"] == {"dropped_no_interface": nowhere["frames"]}
    # A sniffer without an address: frames leave for its MAC address, whoever takes them.
    assert nobody["ready"] and nobody["mac"] == "02:00:00:00:00:77" and nobody["sent"] == nobody["frames"]
    # By the interface that production uses.
    assert shared["ready"] and beside.settled() == shared["sent"] == shared["frames"]
    assert [c.complete and c.ended for c in beside.conversations()] == [True] and beside.illegal(engine.macs()) == []
    status, out, _ = spanwire(lab, "clone", "test", vs.name)
    assert status == 1 and f"X clone server {dead}: not ready" in out and "+ clone server 02:00:00:00:00:77" in out
    down = events(lab, "VS_CLONE_SERVER_DOWN")
    until(lambda: len(events(lab, "VS_CLONE_SERVER_DOWN")) == 2, f"two are told: {down}")
    # It begins by itself when it can.
    late = lab.sensor()
    late.ip("addr", "add", f"{dead}/24", "dev", "eth0")
    until(lambda: events(lab, "VS_CLONE_SERVER_UP"), "it answers now")
    assert prove(lab, vs)["engines"][0]["clone_servers"][1]["ready"]
