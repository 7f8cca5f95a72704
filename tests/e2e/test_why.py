"""`spanwire why NAME`: whatever keeps a virtual service from answering, one sentence names it."""

import json

import pytest

from lab import until


@pytest.fixture
def shop(lab):
    web, ids = [lab.server() for _ in range(2)], lab.sensor()
    lab.engine()
    vs = lab.virtual_service(pool=web, name="shop").wait_servers_up(2)
    vs.web, vs.ids = web, ids
    return vs


def spanwire(vs, *words):
    controller = vs.lab.controller
    done = controller.run(
        "env", f"SPANWIRE_CONTROLLER={controller.url}", f"SPANWIRE_PASSWORD_FILE={controller.password_file}",
        f"SPANWIRE_CA={controller.data / 'ca.pem'}", vs.lab.program("spanwire"), *words, check=False)
    return done.returncode, done.stdout, done.stderr


def why(vs):
    return vs.lab.api.get(f"virtualservice/{vs.uuid}/why")


def link(answer, name):
    return next(link for link in answer["chain"] if link["link"] == name)


def wait_broken(vs, name, *sentences):
    """NAME is the first broken link, and the verdict says all of the sentences."""
    answer = {}

    def told():
        answer.update(why(vs))
        return answer["broken"] == name and all(s in answer["verdict"] for s in sentences)
    try:
        until(told, "")
    except AssertionError:
        raise AssertionError(f"wanted {name}, {sentences}; told: {json.dumps(answer, indent=1)}") from None
    assert answer["verdict"].startswith("shop does not answer. ")
    assert link(answer, name)["state"] == "broken"


def wait_well(vs, verdict="shop answers."):
    try:
        until(lambda: why(vs)["verdict"] == verdict, "")
    except AssertionError:
        raise AssertionError(json.dumps(why(vs), indent=1)) from None


def test_nothing_is_wrong(shop):
    wait_well(shop)
    answer = why(shop)
    assert answer["broken"] is None
    assert [link["link"] for link in answer["chain"]] == [
        "service", "vip", "owner", "listener", "rules", "pool", "servers", "change"]
    assert link(answer, "owner")["text"] == "Service engine engine1."
    assert shop.vip in link(answer, "vip")["text"]
    assert "by admin: " in link(answer, "change")["text"] and "shop" in link(answer, "change")["text"]
    status, out, wrong = spanwire(shop, "why", "shop")
    assert (status, wrong) == (0, "") and out.startswith("shop answers.\n\n+ service    Enabled, port 80.\n")
    assert spanwire(shop, "why", "nope")[0] == 1


def test_what_the_operator_did(shop):
    """Of what was configured, in turn; each is put right again and the service answers."""
    pool = shop.lab.pool_body(shop.web)
    vip = shop.lab.api.get(f"vsvip/{shop.vsvip_uuid}")["vip"][0]
    pool_ref = f"/api/pool/{shop.pool_uuid}"

    def patch_vip(**change):
        shop.lab.api.patch(f"vsvip/{shop.vsvip_uuid}", replace={"vip": [{**vip, **change}]})
    troubles = [
        ("service", "enabled is false", lambda: shop.patch(replace={"enabled": False}),
         lambda: shop.patch(replace={"enabled": True})),
        ("service", "traffic_enabled is false", lambda: shop.patch(replace={"traffic_enabled": False}),
         lambda: shop.patch(replace={"traffic_enabled": True})),
        ("vip", "no address that is enabled", lambda: patch_vip(enabled=False), patch_vip),
        ("owner", "No service engine can carry it", lambda: patch_vip(ip_address={"addr": "203.0.113.1", "type": "V4"}),
         patch_vip),
        ("pool", "It has no pool.", lambda: shop.patch(delete={"pool_ref": pool_ref}),
         lambda: shop.patch(replace={"pool_ref": pool_ref})),
        ("pool", "Pool shop-pool has no servers.", lambda: shop.patch_pool(replace={"servers": []}),
         lambda: shop.patch_pool(replace={"servers": pool})),
        ("pool", "No server of pool shop-pool is enabled.",
         lambda: shop.patch_pool(replace={"servers": [{**s, "enabled": False} for s in pool]}),
         lambda: shop.patch_pool(replace={"servers": pool})),
        ("pool", "Pool shop-pool is disabled", lambda: shop.patch_pool(replace={"enabled": False}),
         lambda: shop.patch_pool(replace={"enabled": True})),
    ]
    for name, sentence, wrong, right in troubles:
        wrong()
        wait_broken(shop, name, sentence)
        status, out, _ = spanwire(shop, "why", "shop")
        assert status == 1 and out.startswith("shop does not answer. ") and sentence in out and f"\nX {name} " in out
        right()
        wait_well(shop)


def test_servers_that_do_not_work(shop):
    shop.web[0].stop()
    until(lambda: link(why(shop), "servers")["state"] == "warning", "one of two is down")
    verdict = why(shop)["verdict"]
    assert verdict.startswith("shop answers, but: 1 of 2 servers are up (") and shop.web[0].ip4 in verdict
    assert spanwire(shop, "why", "shop")[0] == 0
    shop.web[1].stop()
    wait_broken(shop, "servers", "No server of pool shop-pool is up (", shop.web[0].ip4, shop.web[1].ip4, "refused")
    # Somebody stands in: it answers.
    spare = shop.lab.server()
    made = shop.lab.api.post("pool", {"name": "spare", "servers": shop.lab.pool_body([spare]), "health_monitor_refs": [
        f"/api/healthmonitor?name=shop-monitor"]})
    fail = {"type": "FAIL_ACTION_BACKUP_POOL", "backup_pool": {"backup_pool_ref": made["url"]}}
    shop.patch_pool(replace={"fail_action": fail})
    until(lambda: why(shop)["broken"] is None, "the backup pool answers")
    answer = why(shop)
    assert answer["verdict"].startswith("shop answers, but: No server of pool shop-pool is up (")
    assert answer["verdict"].endswith("; the backup pool answers: spare.") and shop.state() == "OPER_UP"
    assert shop.lab.client().fresh_get(shop.url).text == "web3\n"
    spare.stop()
    wait_broken(shop, "servers", "No server of pool shop-pool is up (")
    shop.web[0].serve()
    shop.web[1].serve()
    wait_well(shop)


def test_copies_that_do_not_arrive(shop):
    made = shop.lab.api.post("trafficcloneprofile", {"name": "to-nobody", "clone_servers": [
        {"ip_address": {"addr": shop.lab.span.address(250)[0], "type": "V4"}}]})
    shop.patch(replace={"traffic_clone_profile_ref": f"/api/trafficcloneprofile/{made['uuid']}"})
    client = shop.lab.client()
    client.get(shop.url)

    def told():
        answer = why(shop)
        return (answer["broken"] is None and link(answer, "clone")["state"] == "warning" and
                answer["verdict"].startswith("shop answers, but: "))
    until(told, "the clone is a warning")
    assert "to-nobody" in link(why(shop), "clone")["text"]
    shop.lab.api.patch(f"trafficcloneprofile/{made['uuid']}", replace={"clone_servers": []})
    until(lambda: "it has no clone server" in link(why(shop), "clone")["text"], "nobody is told of")
    sensor = shop.lab.clone_profile([shop.ids])
    shop.patch(replace={"traffic_clone_profile_ref": sensor})
    client.get(shop.url)
    until(lambda: link(why(shop), "clone")["state"] == "ok", "the copies are sent")


def test_an_engine_that_is_gone_and_an_address_that_is_taken(shop):
    [engine] = shop.lab.engines
    engine.kill()
    wait_broken(shop, "owner", "engine1")
    thief = shop.lab.client()
    thief.ip("addr", "add", f"{shop.vip}/24", "dev", "eth0")
    engine.begin()
    engine.wait_connected()
    wait_broken(shop, "listener", f"an owner is alive: {thief.mac}")
    thief.ip("addr", "del", f"{shop.vip}/24", "dev", "eth0")
    try:
        until(lambda: why(shop)["broken"] is None, "")
    except AssertionError:
        raise AssertionError(json.dumps(why(shop), indent=1)) from None
