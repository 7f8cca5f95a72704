"""Who carries what: fail-over, restarts, reasons; with engines that only speak."""

import os
import signal
import subprocess
import time

import pytest

from lab.host import delays_ms, starved_ms
from link_world import DEATH_S, Controller, Engine, Refused, target, until


@pytest.fixture
def world(tmp_path):
    controller = Controller(tmp_path)
    made = []

    def engine(name, **how):
        made.append(Engine(controller, name, tmp_path, **how).enrol(controller.token()).up().run())
        return made[-1]
    controller.engine = engine
    yield controller
    for one in made:
        one.halt()
    controller.end()


def stays(seconds, condition):
    """So long nothing may happen: looked at all the time, and not only at the end."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition()
        time.sleep(0.02)


def owner(world, vs):
    engines = world.runtime(vs)["vip_summary"][0]["service_engine"]
    return engines[0]["name"] if engines else None


def state(world, vs):
    return world.runtime(vs)["oper_status"]["state"]


def reason(world, vs):
    return " ".join(world.runtime(vs)["oper_status"]["reason"])


def held(engine, vs):
    return engine.held.get(f"assignment/{vs['uuid']}")


def test_a_service_moves_when_its_engine_dies_and_stays_there(world, capsys):
    one = world.engine("se-1")
    vs = world.service(1)
    until(lambda: owner(world, vs) == "se-1" and state(world, vs) == "OPER_UP", "se-1 carries it")
    group = world.api.find("serviceenginegroup", "Default-Group")["uuid"]

    def spare():
        told = world.api.get(f"serviceenginegroup/{group}/runtime")["spare"]
        return told["num_se_may_fail"], told["reason"]

    def news():
        return [e["event_id"] for e in reversed(world.events("SE_GROUP_HA_ACTIVE") + world.events("SE_GROUP_HA_COMPROMISED"))]
    # One engine is no news, and has no spare one; with two of them there is one (buffer_se).
    assert spare() == (0, "If 1 of its 1 service engines failed, 1 of 1 virtual services would find no room (max_vs_per_se 10).")
    assert news() == []
    two = world.engine("se-2")
    until(lambda: spare() == (1, ""), "se-1 may fail")
    until(lambda: news() == ["SE_GROUP_HA_ACTIVE"], "it is told")
    concerned = os.getpid(), world.process.pid
    began, starved, delayed = time.monotonic(), starved_ms(), delays_ms(*concerned)
    one.halt()
    until(lambda: held(two, vs), "se-2 holds it", DEATH_S)
    took = time.monotonic() - began
    lost = max(starved_ms() - starved, delays_ms(*concerned) - delayed) / 1000
    with capsys.disabled():
        print(f"\nlink_death_to_new_owner_ms {took * 1000:.0f}")
    assert took > 0.9
    assert took - lost < 2 or world.stood_still()
    assert held(two, vs)["term"] == 2
    until(lambda: state(world, vs) == "OPER_UP", "it is up")
    assert any("moves from service engine se-1 to se-2" in e["event_description"] for e in world.events("VS_SWITCHOVER"))
    until(lambda: sorted(news()) == ["SE_GROUP_HA_ACTIVE", "SE_GROUP_HA_COMPROMISED"], "no engine is spare any more")
    world.api.patch(f"serviceenginegroup/{group}", replace={"buffer_se": 0})
    assert spare() == (0, "")
    # Who comes back does not steal, and learns that it has lost it.
    assert held(one, vs)
    one.up().run()
    until(lambda: not held(one, vs), "se-1 lets it go")
    assert owner(world, vs) == "se-2" and held(two, vs)["term"] == 2


def test_a_short_loss_of_the_connection_moves_nothing(world):
    one, two = world.engine("se-1"), world.engine("se-2")
    vs = world.service(1)
    until(lambda: state(world, vs) == "OPER_UP", "it is up")
    for _ in range(3):
        one.halt()
        one.up().run()
    # Longer than an engine needs to be dead: nothing of the losses is left.
    stays(1.5, lambda: owner(world, vs) == "se-1" and held(one, vs)["term"] == 1 and not held(two, vs))


def test_a_restart_of_the_controller_moves_nothing(world):
    engines = [world.engine("se-1"), world.engine("se-2")]
    services = [world.service(n) for n in range(4)]
    until(lambda: all(state(world, vs) == "OPER_UP" for vs in services), "all are up")
    before = [(owner(world, vs), world.runtime(vs)["term"]) for vs in services]
    world.end(kill=True)
    for engine in engines:
        engine.halt()
    world.begin()
    # Only the one that owns nothing connects at first: it must not get what the other may still be serving.
    owners = {name for name, _ in before}
    engines.sort(key=lambda engine: engine.name in owners)
    engines[0].up().run()
    if engines[0].name not in owners:
        until(lambda: "has not connected since the controller started" in reason(world, services[0]), "the reason")
        stays(2, lambda: not any(held(engines[0], vs) for vs in services))
    engines[1].up().run()
    until(lambda: all(state(world, vs) == "OPER_UP" for vs in services), "all are up again")
    assert [(owner(world, vs), world.runtime(vs)["term"]) for vs in services] == before


def test_a_controller_that_stood_still_moves_nothing(world):
    one, two = world.engine("se-1"), world.engine("se-2")
    vs = world.service(1)
    until(lambda: owner(world, vs) == "se-1" and state(world, vs) == "OPER_UP", "se-1 carries it")
    world.process.send_signal(signal.SIGSTOP)
    one.halt(), two.halt()  # nobody answers them: they hang up
    time.sleep(2)           # that it stands still for so long is what is tried
    world.process.send_signal(signal.SIGCONT)
    two.up().run()
    until(lambda: "se-1 has not connected since" in reason(world, vs), "the reason")
    stays(2, lambda: not held(two, vs))         # longer than it takes to be dead
    one.up().run()
    until(lambda: state(world, vs) == "OPER_UP", "it is up")
    assert held(one, vs)["term"] == 1 and not world.events("SE_DOWN")


def test_a_controller_that_stands_still_again_and_again_misses_who_died(world):
    """Each time it waits for those who hung up; who had ten seconds to come back, all in all, has had enough."""
    engines = world.engine("se-1"), world.engine("se-2")
    vs = world.service(1)
    until(lambda: state(world, vs) == "OPER_UP", "it is up")
    one, two = sorted(engines, key=lambda engine: engine.name != owner(world, vs))
    one.halt()
    times = 0
    while not held(two, vs):
        times += 1
        assert times < 10, f"{two.name} never gets it"
        world.process.send_signal(signal.SIGSTOP)
        time.sleep(1.2)         # that it stands still for so long is what is tried
        world.process.send_signal(signal.SIGCONT)
        awake = time.monotonic() + 4
        until(lambda: held(two, vs) or time.monotonic() > awake, "a while passes")
    assert times > 1 and any(f"{one.name} is down" in e["event_description"] for e in world.events("SE_DOWN"))


def test_when_nobody_can_the_reason_says_of_each_why(world):
    world.engine("se-1", net="192.0.2.1/24")
    two = world.engine("se-2")
    two.halt()
    until(lambda: world.events("SE_DOWN"), "se-2 is down", DEATH_S)
    vs = world.service(1)
    until(lambda: "se-1" in reason(world, vs), "there is a reason")
    assert state(world, vs) == "OPER_RESOURCES"
    assert "se-1: no interface on a network that contains 10.200.0.2" in reason(world, vs)
    assert "se-2: it is down" in reason(world, vs)
    assert world.events("VS_FSM_AWAITING_SE_ASSIGNMENT")
    two.up().run()
    until(lambda: state(world, vs) == "OPER_UP", "se-2 takes it")


def test_an_owner_that_is_alive_elsewhere_gets_it_back(world):
    one, two = world.engine("se-1"), world.engine("se-2")
    vs = world.service(1)
    until(lambda: state(world, vs) == "OPER_UP", "it is up")
    # se-1 is cut off from the controller only: it answers on its network, and se-2 finds that out.
    two.state = ("OPER_PARTITIONED", "10.200.0.2 is answered by 02:00:00:00:00:01")
    one.halt()
    until(lambda: held(two, vs), "se-2 should take over", DEATH_S)
    until(lambda: state(world, vs) == "OPER_PARTITIONED", "it waits")
    assert "another host answers for the address" in reason(world, vs) and "se-1" in reason(world, vs)
    assert world.events("VS_FAULT")
    one.up().run()
    until(lambda: owner(world, vs) == "se-1" and state(world, vs) == "OPER_UP", "it is back where it is alive")
    assert held(one, vs)["term"] == 3 and not held(two, vs)


def test_services_that_share_an_address_go_together(world):
    one = world.engine("se-1")
    vs = world.service(1)
    until(lambda: owner(world, vs) == "se-1", "se-1 carries it")
    two = world.engine("se-2")
    again = world.api.post("virtualservice", {"name": "vs-other-port", "vsvip_ref": vs["vsvip_ref"],
                                              "pool_ref": vs["pool_ref"], "services": [{"port": 81}]})
    until(lambda: held(one, again), "the same engine carries it")
    one.halt()
    until(lambda: held(two, vs) and held(two, again), "both move", DEATH_S)


def test_room_that_is_made_is_used(world):
    group = world.api.find("serviceenginegroup", "Default-Group")
    world.api.patch(f"serviceenginegroup/{group['uuid']}", replace={"max_vs_per_se": 1})
    one = world.engine("se-1")
    first, second = world.service(1), world.service(2)
    until(lambda: "se-1: it carries 1 of 1 virtual services" in reason(world, second), "there is no room")
    world.api.delete(f"virtualservice/{first['uuid']}")
    until(lambda: held(one, second), "the other takes its place")


def test_placement_networks_say_where_an_address_goes(world):
    network = world.api.post("network", {"name": "front", "configured_subnets": [
        {"prefix": {"ip_addr": {"addr": "172.31.0.0", "type": "V4"}, "mask": 16}}]})
    world.engine("se-1")
    two = world.engine("se-2", net="172.31.0.7/24")
    vip = world.api.post("vsvip", {"name": "far", "vip": [
        {"vip_id": "0", "ip_address": {"addr": "203.0.113.5", "type": "V4"},
         "placement_networks": [{"network_ref": network["url"]}]}]})
    vs = world.api.post("virtualservice", {"name": "far", "vsvip_ref": vip["url"], "services": [{"port": 80}],
                                           "pool_ref": world.service(3)["pool_ref"]})
    until(lambda: held(two, vs), "se-2 is on that network")
    assert held(two, vs)["vips"] == [{"vip_id": "0", "addr": "203.0.113.5", "interface": "eth1", "prefix_len": 24,
                                      "engine": two.uuid, "term": 1}]
    # The network is another: so is the answer.
    world.api.patch(f"network/{network['uuid']}", replace={"configured_subnets": [
        {"prefix": {"ip_addr": {"addr": "172.30.0.0", "type": "V4"}, "mask": 16}}]})
    until(lambda: "no interface in 172.30.0.0/16" in reason(world, vs), "nobody is on it")


def test_a_disabled_service_keeps_its_place(world):
    one = world.engine("se-1")
    vs = world.service(1)
    until(lambda: held(one, vs), "se-1 carries it")
    world.api.patch(f"virtualservice/{vs['uuid']}", replace={"enabled": False})
    until(lambda: held(one, vs)["enabled"] is False, "it is off")
    assert state(world, vs) == "OPER_DISABLED"
    world.api.patch(f"virtualservice/{vs['uuid']}", replace={"enabled": True})
    until(lambda: held(one, vs)["enabled"] is True, "it is on")
    assert held(one, vs)["term"] == 1
    assert len(world.events("VS_FSM_DISABLED")) == 1 and [e["obj_uuid"] for e in world.events("VS_FSM_ACTIVE")] == [vs["uuid"]] * 2
    vsvip, pool = target(vs["vsvip_ref"]), target(vs["pool_ref"])
    world.api.delete(f"virtualservice/{vs['uuid']}")
    until(lambda: not any(key.startswith(("assignment", "virtualservice", "vsvip", "pool")) for key in one.held),
          "nothing of it is held")
    world.api.delete(f"vsvip/{vsvip}")
    world.api.delete(f"pool/{pool}")


def test_an_engine_is_disabled_and_its_services_leave(world):
    one = world.engine("se-1")
    vs = world.service(1)
    until(lambda: held(one, vs), "se-1 carries it")
    two = world.engine("se-2")
    world.api.patch(f"serviceengine/{one.uuid}", replace={"enable_state": "SE_STATE_DISABLED"})
    until(lambda: held(two, vs) and not held(one, vs), "se-2 carries it")
    assert held(two, vs)["term"] == 2


def test_an_interface_that_fails_takes_its_addresses_elsewhere(world):
    one = world.engine("se-1")
    vs = world.service(1)
    until(lambda: held(one, vs), "se-1 carries it")
    two = world.engine("se-2")
    one.do(lambda: one.say("interfaces", interfaces=[{**one.interfaces[0], "up": False}]))
    until(lambda: held(two, vs) and not held(one, vs), "se-2 carries it")
    one.do(lambda: one.say("interfaces", interfaces=one.interfaces))
    told = until(lambda: world.events("SE_VNIC_UP_EVENT"), "it is told that it is back")
    assert [e["event_description"] for e in told + world.events("SE_VNIC_DOWN_EVENT")] == [
        f"Interface eth1 of service engine se-1 has {how} link." for how in ("a", "no")]


def test_the_object_shows_the_engines_interfaces_and_is_written_once(world):
    one = world.engine("se-1")
    vnic = world.api.get(f"serviceengine/{one.uuid}")["data_vnics"][0]
    assert vnic["linux_name"] == "eth1" and vnic["vnic_networks"][0]["ip"]["mask"] == 16
    changes = len(world.events("CONFIG_UPDATE"))
    one.halt()
    one.up().run()
    until(lambda: world.api.get(f"serviceengine/{one.uuid}/runtime")["se_connected"], "it is back")
    assert len(world.events("CONFIG_UPDATE")) == changes


def test_what_engines_count_and_check_is_shown(world):
    one = world.engine("se-1")
    vs = world.service(1)
    pool = target(vs["pool_ref"])
    until(lambda: state(world, vs) == "OPER_UP", "it is up")
    bulk = one.bulk()

    def tell(kind, **members):
        bulk.do(lambda: bulk.say(kind, **members))

    def stats(total, eligible):
        tell("stats", time_us=1, services={vs["uuid"]: {"conn_total": total}}, engine={"proxy_starts": 1, "proxy_turn_ms": 812, "warden_turn_ms": 499},
             servers={pool: {"10.0.1.9:80": {"conn_total": total}}},
             clones={vs["uuid"]: [{"ip": "10.0.9.9", "index": 0, "eligible": eligible, "sent": eligible - 1,
                                   "dropped_link_down": 1, "state": "ready"}]})

    def clone():
        rows = world.api.get(f"virtualservice/{vs['uuid']}/traffic_clone_stats/")
        return rows[0]["clone_srvr_stats"][0] if rows else {}
    stats(5, 10)
    until(lambda: clone().get("eligible") == 10, "the clone is counted")
    assert clone()["ip"] == {"addr": "10.0.9.9", "type": "V4"}
    assert clone()["sent"] == 9 and clone()["dropped"] == 1 and clone()["state"] == "ready"
    detail = world.api.get(f"virtualservice/{vs['uuid']}/runtime/detail")
    assert detail[0]["stats"]["conn_total"] == 5
    listener = next(link for link in world.api.get(f"virtualservice/{vs['uuid']}/why")["chain"] if link["link"] == "listener")
    assert listener["state"] == "ok" and listener["text"].endswith(
        "(se-1 once kept changes and health checks waiting for 812 ms.)"), "what was once is told, and is no fault"

    def server():
        return world.api.get(f"pool/{pool}/runtime/server/")["results"][0]

    def health(state, why):
        tell("health", pool=pool, servers=[{"ip": "10.0.1.9", "port": 80, "state": state, "reason": why, "since_us": 1,
                                            "checks": 3, "failures": 0}])
    health("OPER_UP", "")
    until(lambda: server()["oper_status"]["state"] == "OPER_UP", "the server is up")
    assert server()["stats"]["conn_total"] == 5 and server()["server_hm_stat"]["checks"] == 3
    assert world.api.get(f"pool/{pool}/runtime")["num_servers_up"] == 1
    health("OPER_DOWN", "HTTP 503, expected 2xx/3xx")
    until(lambda: server()["oper_status"]["state"] == "OPER_DOWN", "the server is down")
    assert server()["oper_status"]["reason"] == ["HTTP 503, expected 2xx/3xx"]
    assert state(world, vs) == "OPER_DOWN" and "no server that is up" in reason(world, vs)
    down = world.events("SERVER_DOWN")
    assert len(down) == 1 and "HTTP 503" in down[0]["event_description"]
    assert len(world.events("SERVER_UP")) == 1 and world.events("POOL_DOWN")
    tell("event", event_id="SE_PROXY_CRASHED", obj_kind="serviceengine", obj_uuid=one.uuid, text="it fell", time_us=1)
    until(lambda: world.events("SE_PROXY_CRASHED"), "the event is kept")
    # Another life of the engine counts from zero, and the sum goes on.
    bulk.halt()
    one.halt()
    one.instance = "another"
    one.up().run()
    bulk = one.bulk()
    stats(2, 3)
    until(lambda: clone().get("eligible") == 13, "the clone's sum")
    assert world.api.get(f"virtualservice/{vs['uuid']}/traffic_clone_stats/")[0]["lifetime"][0]["eligible"] == 13
    assert world.api.get(f"virtualservice/{vs['uuid']}/runtime/detail")[0]["stats"]["conn_total"] == 7
    bulk.halt()


def test_a_server_that_comes_and_goes_does_not_fill_the_log(world):
    one = world.engine("se-1")
    vs = world.service(1)
    pool = target(vs["pool_ref"])
    until(lambda: state(world, vs) == "OPER_UP" and one.held.get(f"pool/{pool}"), "se-1 carries it")
    server = world.api.get(f"pool/{pool}")["servers"][0]["ip"]["addr"]
    bulk = one.bulk()
    for n in range(101):
        bulk.do(lambda: bulk.say("health", pool=pool, servers=[{
            "ip": server, "port": 80, "state": "OPER_DOWN" if n % 2 else "OPER_UP", "reason": f"{n}", "since_us": 1,
            "checks": n, "failures": 0}]))
    path = f"serviceengine/{one.uuid}/runtime"

    def told():
        return [sum(len(world.events(f"{what}_{way}")) for way in ("UP", "DOWN")) for what in ("SERVER", "POOL")]
    until(lambda: world.api.get(path)["changes_not_told"] + sum(told()) == 202, "what is not told is counted")
    assert all(10 <= n <= 11 for n in told()), told()
    shown, = world.api.get(f"pool/{pool}/runtime/server/")["results"]
    assert shown["oper_status"] == {**shown["oper_status"], "state": "OPER_UP", "reason": ["100"]}


def test_servers_are_known_however_they_are_written(world):
    one = world.engine("se-1")
    vs = world.service(1)
    pool = target(vs["pool_ref"])
    world.api.patch(f"pool/{pool}", replace={"default_server_port": 8080, "servers": [
        {"ip": {"addr": "FD00:0:0::9", "type": "V6"}, "port": 0}, {"ip": {"addr": "10.0.1.9", "type": "V4"}}]})
    until(lambda: held(one, vs), "the engine carries it")
    bulk = one.bulk()
    bulk.do(lambda: bulk.say("health", pool=pool, servers=[
        {"ip": ip, "port": 8080, "state": "OPER_UP", "reason": "", "since_us": 1, "checks": 1, "failures": 0}
        for ip in ("fd00::9", "10.0.1.9")]))
    bulk.do(lambda: bulk.say("stats", time_us=1, services={}, engine={}, clones={},
                             servers={pool: {"fd00::9:8080": {"conn_total": 6}, "10.0.1.9:8080": {"conn_total": 4}}}))

    def rows():
        found = world.api.get(f"pool/{pool}/runtime/server/")["results"]
        return [(r["ip_addr"]["addr"], r["port"], r["oper_status"]["state"], r["stats"].get("conn_total")) for r in found]
    until(lambda: rows() == [("FD00:0:0::9", 8080, "OPER_UP", 6), ("10.0.1.9", 8080, "OPER_UP", 4)], "both are shown")
    bulk.halt()


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk of one's own needs root")
def test_a_full_disk_moves_nothing_and_says_so(tmp_path):
    """Who owns an address is stored before anybody hears of it: without room nobody moves, until there is some."""
    (tmp_path / "data").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", tmp_path / "data"], check=True, timeout=10)
    engines, world = [], None
    try:
        world = Controller(tmp_path)
        engines = [Engine(world, name, tmp_path).enrol(world.token()).up().run() for name in ("se-1", "se-2")]
        vs = world.service(1)
        until(lambda: state(world, vs) == "OPER_UP", "the service is up")
        with open(tmp_path / "data" / "fill", "wb", buffering=0) as fill:
            with pytest.raises(OSError):
                while True:
                    fill.write(bytes(4096))
        next(engine for engine in engines if engine.name == owner(world, vs)).halt()
        until(lambda: "cannot store who does" in reason(world, vs), "the reason is said", DEATH_S)
        (tmp_path / "data" / "fill").unlink()
        until(lambda: state(world, vs) == "OPER_UP", "it moves by itself when there is room")
    finally:
        for engine in engines:
            engine.halt()
        if world:
            world.end()
        subprocess.run(["umount", tmp_path / "data"], check=True, timeout=10)


def test_a_service_is_down_when_all_pools_of_its_group_are(world):
    one = world.engine("se-1")
    pools = [world.api.post("pool", {"name": f"p-{n}", "servers": [{"ip": {"addr": f"10.0.1.{n}", "type": "V4"}}]})
             for n in range(3)]
    group = world.api.post("poolgroup", {"name": "pg", "members": [
        {"pool_ref": pool["url"], "priority_label": str(9 - n), "ratio": 0 if n == 2 else 1} for n, pool in enumerate(pools)]})
    vsvip = world.api.post("vsvip", {"name": "group-vip", "vip": [
        {"vip_id": "1", "ip_address": {"addr": "10.200.9.7", "type": "V4"}}]})
    vs = world.api.post("virtualservice", {"name": "grouped", "vsvip_ref": vsvip["url"], "services": [{"port": 80}],
                                           "pool_group_ref": group["url"]})
    until(lambda: state(world, vs) == "OPER_UP", "it is up")
    bulk = one.bulk()

    def health(n, word):
        bulk.do(lambda: bulk.say("health", pool=pools[n]["uuid"], servers=[{
            "ip": f"10.0.1.{n}", "port": 80, "state": word, "reason": "", "since_us": 1, "checks": 3, "failures": 0}]))
    health(2, "OPER_UP")                          # a member of ratio 0 is never asked
    health(0, "OPER_DOWN")
    until(lambda: world.events("SERVER_DOWN"), "one is down")
    assert state(world, vs) == "OPER_UP"          # of the other nothing is known
    health(1, "OPER_DOWN")
    until(lambda: state(world, vs) == "OPER_DOWN", "both are down")
    assert reason(world, vs) == "No pool of group pg has servers enough that are up."
    world.api.patch(f"pool/{pools[0]['uuid']}", replace={"enabled": False})
    assert state(world, vs) == "OPER_DOWN"
    health(1, "OPER_UP")
    until(lambda: state(world, vs) == "OPER_UP", "one is up")
    # Who stands in for the group is told beside its members, and does not count among their servers.
    runtime = f"poolgroup/{group['uuid']}/runtime"
    assert world.api.get(runtime)["oper_status"]["state"] == "OPER_UP" and "backups" not in world.api.get(runtime)
    spare = world.api.post("pool", {"name": "spare", "servers": [{"ip": {"addr": "10.0.1.9", "type": "V4"}}]})
    pools.append(spare)
    world.api.patch(f"poolgroup/{group['uuid']}", replace={"fail_action": {
        "type": "FAIL_ACTION_BACKUP_POOL", "backup_pool": {"backup_pool_ref": spare["url"]}}})
    until(lambda: one.held.get(f"pool/{spare['uuid']}"), "the engine has it")
    bulk.do(lambda: bulk.say("health", pool=spare["uuid"], servers=[{
        "ip": "10.0.1.9", "port": 80, "state": "OPER_UP", "reason": "", "since_us": 1, "checks": 3, "failures": 0}]))
    health(1, "OPER_DOWN")
    health(2, "OPER_DOWN")
    until(lambda: world.api.get(runtime)["num_pools_up"] == 0, "no member is up")
    told = world.api.get(runtime)
    assert told["oper_status"]["state"] == "OPER_UP" and "a backup pool answers" in str(told["oper_status"])
    assert [told["num_servers"], told["num_servers_up"]] == [3, 0] and told["backups"][0]["num_servers_up"] == 1

    def scores():
        return [world.api.get(f"{kind}-inventory/{one['uuid']}")["health_score"]["health_score"]
                for kind, one in (("virtualservice", vs), ("poolgroup", group), ("pool", pools[1]))]
    assert scores() == [100, 100, 0]
    health(1, "OPER_UP")
    until(lambda: scores() == [50, 50, 100], "one of the two pools that are asked is well")
    health(1, "OPER_DOWN")
    until(lambda: scores() == [100, 100, 0], "the backup answers again")
    assert state(world, vs) == "OPER_UP"
    world.api.patch(f"poolgroup/{group['uuid']}", delete={"fail_action": {}})
    until(lambda: state(world, vs) == "OPER_DOWN", "nobody stands in any more")
    world.api.patch(f"virtualservice/{vs['uuid']}", delete={"pool_group_ref": ""}, add={"pool_ref": pools[0]["url"]})
    until(lambda: state(world, vs) == "OPER_DOWN" and reason(world, vs) == "Pool p-0 is disabled.", "its only pool is off")


def two_vips(world, name="twin"):
    """A service at two addresses; its object and its vsvip."""
    vsvip = world.api.post("vsvip", {"name": f"{name}-vip", "vip": [
        {"vip_id": n, "ip_address": {"addr": f"10.200.9.{n}", "type": "V4"}} for n in ("1", "2")]})
    return world.api.post("virtualservice", {"name": name, "vsvip_ref": vsvip["url"], "services": [{"port": 80}]}), vsvip


def owners(world, vs):
    return [[on["name"] for on in row["service_engine"]] for row in world.runtime(vs)["vip_summary"]]


def test_each_vip_has_an_engine_of_its_own(world):
    one, two = world.engine("se-1"), world.engine("se-2")
    vs, vsvip = two_vips(world)
    until(lambda: state(world, vs) == "OPER_UP" and all(row["oper_status"]["state"] == "OPER_UP"
                                                        for row in world.runtime(vs)["vip_summary"]), "both are up")
    assert owners(world, vs) == [["se-1"], ["se-2"]]
    assert [(v["vip_id"], v["engine"]) for v in held(one, vs)["vips"]] == [("1", one.uuid), ("2", two.uuid)]
    assert held(one, vs) == held(two, vs)
    detail = world.api.get(f"virtualservice/{vs['uuid']}/runtime/detail")
    assert sorted(row["se_uuid"] for row in detail if row["is_owner"]) == sorted((one.uuid, two.uuid))

    def post(verb, **body):
        return world.api.send("POST", f"virtualservice/{vs['uuid']}/{verb}", json=body)
    # An operator's word: to where it can go, and with a reason where it cannot.
    answer = post("migrate", vip_id="2", to_se_ref="/api/serviceengine?name=se-1")
    assert answer.status_code == 200, answer.text
    assert owners(world, vs) == [["se-1"], ["se-1"]]
    until(lambda: not held(two, vs) and [v["term"] for v in held(one, vs)["vips"]] == [1, 2], "se-1 has both")
    assert post("switchover", vip_id="2", se_uuid=two.uuid).status_code == 200
    until(lambda: owners(world, vs) == [["se-1"], ["se-2"]] and held(two, vs), "se-2 has its own back")
    for verb, body, words in (("migrate", {}, "vip_id: It has several VIPs"),
                              ("migrate", {"vip_id": "7"}, "no VIP '7'"),
                              ("migrate", {"vip_id": "2", "to_se_ref": "nobody"}, "to_se_ref: ServiceEngine object not found"),
                              ("migrate", {"vip_id": "2", "to_new_se": True}, "to_new_se"),
                              ("migrate", {"vip_id": "2", "from_se_ref": "se-1"}, "carried by service engine se-2"),
                              ("scaleout", {}, "one service engine at a time"), ("scalein", {}, "one service engine")):
        answer = post(verb, **body)
        assert answer.status_code == 400 and words in answer.json()["error"], answer.text
    assert post("retryplacement").status_code == 200
    # One dies: its VIP joins the other one's, which is not touched.
    two.halt()
    until(lambda: owners(world, vs) == [["se-1"], ["se-1"]], "se-1 took it", DEATH_S)
    until(lambda: [v["term"] for v in held(one, vs)["vips"]] == [1, 4], "se-1 holds it")
    two.up().run()
    until(lambda: world.api.get(f"serviceengine/{two.uuid}/runtime")["se_connected"], "it is back")
    assert owners(world, vs) == [["se-1"], ["se-1"]]      # nothing moves without need
    answer = post("migrate", vip_id="1", to_se_ref="/api/serviceengine?name=se-2")
    assert answer.status_code == 200 and owners(world, vs) == [["se-2"], ["se-1"]]
    # A VIP that goes away takes nothing else along.
    world.api.patch(f"vsvip/{vsvip['uuid']}", delete={"vip": [{"vip_id": "2"}]})
    until(lambda: not held(one, vs) and len(held(two, vs)["vips"]) == 1, "one VIP is left")
    assert owners(world, vs) == [["se-2"]] and state(world, vs) == "OPER_UP"


def test_an_engine_is_emptied(world):
    one = world.engine("se-1")
    services = [world.service(n) for n in range(3)]
    until(lambda: all(owner(world, vs) == "se-1" for vs in services), "se-1 carries all")
    path = f"serviceengine/{one.uuid}/switchover"
    answer = world.api.send("POST", path, json={})
    assert answer.status_code == 400 and "What it carries stays: " in answer.json()["error"], answer.text
    two = world.engine("se-2")
    assert world.api.post(path)["vips_moved"] == 3
    assert all(owner(world, vs) == "se-2" for vs in services)
    until(lambda: all(held(two, vs) and not held(one, vs) for vs in services), "se-2 has them")
    answer = world.api.send("POST", path, json={})
    assert answer.status_code == 400 and "It carries no virtual service." in answer.json()["error"]


def test_a_group_is_evened_out_at_a_word_only(world):
    one = world.engine("se-1")
    services = [world.service(n) for n in range(5)]
    until(lambda: all(owner(world, vs) == "se-1" for vs in services), "se-1 carries all")
    two = world.engine("se-2")
    path = f"serviceenginegroup/{world.api.find('serviceenginegroup', 'Default-Group')['uuid']}/redistribute"
    assert world.api.post(path)["vips_moved"] == 2
    until(lambda: [bool(held(two, vs)) for vs in services].count(True) == 2, "se-2 has its share")
    assert sorted(owner(world, vs) for vs in services) == ["se-1"] * 3 + ["se-2"] * 2
    assert world.api.post(path)["vips_moved"] == 0
    where = world.api.get(f"virtualservice/{services[0]['uuid']}/placement")
    assert [row["service_engine"][0]["name"] for row in where] == [owner(world, services[0])]
    # By force or not, an engine goes at any time, and what it carried goes elsewhere.
    assert world.api.send("POST", f"serviceengine/{two.uuid}/reboot", json={}).status_code == 400
    assert world.api.send("POST", f"serviceengine/{two.uuid}/forcedelete", json={}).status_code == 200
    until(lambda: all(held(one, vs) for vs in services), "se-1 has all of them again")
    assert not world.api.find("serviceengine", "se-2")


def test_a_disabled_vip_is_not_served_and_the_other_one_is(world):
    one = world.engine("se-1")
    vs, vsvip = two_vips(world)
    until(lambda: state(world, vs) == "OPER_UP" and len(held(one, vs)["vips"]) == 2, "both are up")

    def switch(on):
        made = world.api.get(f"vsvip/{vsvip['uuid']}")
        made["vip"][1]["enabled"] = on
        world.api.put(f"vsvip/{vsvip['uuid']}", made)
    switch(False)
    until(lambda: [v["vip_id"] for v in held(one, vs)["vips"]] == ["1"], "the second is off")
    rows = {row["vip_id"]: row["oper_status"]["state"] for row in world.runtime(vs)["vip_summary"]}
    assert rows == {"1": "OPER_UP", "2": "OPER_DISABLED"}
    switch(True)
    until(lambda: [v["vip_id"] for v in held(one, vs)["vips"]] == ["1", "2"], "the second is on")


def test_one_of_two_vips_waits_and_the_other_serves(world):
    one = world.engine("se-1")
    vs, _ = two_vips(world)
    until(lambda: state(world, vs) == "OPER_UP", "it is up")
    said = {"1": {"state": "OPER_UP", "reason": ""}, "2": {"state": "OPER_PARTITIONED", "reason": "an owner is alive"}}
    one.do(lambda: one.say("service", uuid=vs["uuid"], revision=one.revision, state="OPER_PARTITIONED",
                           reason="an owner is alive", vips=said))
    until(lambda: [row["oper_status"]["state"] for row in world.runtime(vs)["vip_summary"]] ==
          ["OPER_UP", "OPER_PARTITIONED"], "one waits")
    runtime = world.runtime(vs)
    assert runtime["oper_status"]["state"] == "OPER_UP" and runtime["percent_ses_up"] == 50
    assert "VIP 2: se-1 waits" in reason(world, vs)
    assert [e["event_description"].split(" is ", 1)[1] for e in world.events("VIP_DOWN")] == ["down: an owner is alive"]
    said["2"]["state"] = "OPER_UP"
    one.do(lambda: one.say("service", uuid=vs["uuid"], revision=one.revision, state="OPER_UP", reason="", vips=said))
    back = until(lambda: world.events("VIP_UP"), "it is told")
    assert [e["event_description"] for e in back] == [f"VIP 2 of {back[0]['obj_name']} on service engine se-1 is up."]


def test_a_pool_says_where_its_servers_are(world):
    one = world.engine("se-1")
    net = {"ip_addr": {"addr": "10.77.0.0", "type": "V4"}, "mask": 24}
    made = world.api.post("network", {"name": "servers", "configured_subnets": [{"prefix": net}]})
    vs = world.service(1)
    pool = target(vs["pool_ref"])
    until(lambda: held(one, vs), "it is placed")
    world.api.patch(f"pool/{pool}", replace={"placement_networks": [{"network_ref": made["url"], "subnet": net}]})
    until(lambda: "no interface in 10.77.0.0/24, where servers are" in reason(world, vs), "it says what is missing")
    until(lambda: not held(one, vs), "it was taken away")
    world.api.patch(f"virtualservice/{vs['uuid']}", replace={"ign_pool_net_reach": True})
    until(lambda: held(one, vs), "it is placed all the same")
    world.api.patch(f"virtualservice/{vs['uuid']}", replace={"ign_pool_net_reach": False})
    until(lambda: not held(one, vs), "it was taken away")
    world.api.patch(f"pool/{pool}", delete={"placement_networks": [{"network_ref": made["url"], "subnet": net}]})
    until(lambda: held(one, vs), "the pool asks for nothing any more")
    # So does one that stands in for it, and one in a group.
    asks = {"placement_networks": [{"network_ref": made["url"], "subnet": net}]}
    spare = world.api.post("pool", {"name": "spare", **asks})
    world.api.patch(f"pool/{pool}", replace={"fail_action": {
        "type": "FAIL_ACTION_BACKUP_POOL", "backup_pool": {"backup_pool_ref": spare["url"]}}})
    until(lambda: not held(one, vs), "it cannot be served by the spare pool")
    world.api.patch(f"pool/{spare['uuid']}", delete=asks)
    until(lambda: held(one, vs), "the spare pool asks for nothing any more")
    group = world.api.post("poolgroup", {"name": "group", "members": [{"pool_ref": spare["url"]}]})
    world.api.patch(f"virtualservice/{vs['uuid']}", delete={"pool_ref": ""}, add={"pool_group_ref": group["url"]})
    world.api.patch(f"pool/{spare['uuid']}", add=asks)
    until(lambda: not held(one, vs), "it cannot be served by the member")
    world.api.patch(f"poolgroup/{group['uuid']}", replace={"members": [{"pool_ref": vs["pool_ref"]}]})
    world.api.patch(f"pool/{pool}", delete={"fail_action": {}})
    until(lambda: held(one, vs), "the member is another")


def test_a_group_has_a_greatest_size(world):
    group = world.api.find("serviceenginegroup", "Default-Group")
    world.engine("se-1")
    world.api.patch(f"serviceenginegroup/{group['uuid']}", replace={"max_se": 1})
    with pytest.raises(Refused, match="has 1 of 1 service engines"):
        world.engine("se-2")
