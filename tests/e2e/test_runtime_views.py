"""What an operator asks about the runtime, of the controller's books and of the engines themselves."""

import copy
import datetime
import threading

import pytest

from contract import error
from link_world import Controller, Engine
from lab.host import until

TOOLS = ["cpu", "meminfo", "interface", "interfacesummary", "arptable", "ndtable", "route", "ipstat", "icmpstat",
         "vnicdb", "tcp-flows", "flowtable", "flowtablestat"]


def test_an_engine_tells_about_its_machine(lab):
    """Every tool, asked of a real engine in a host of its own."""
    web, client = lab.server(), lab.client()
    engine = lab.engine()
    vs = lab.virtual_service([web]).wait_up().wait_servers_up(1)
    for _ in range(5):
        assert client.get(vs.url).status_code == 200
    said = {}
    for tool in TOOLS:
        answer = lab.api.get(f"serviceengine/{engine.uuid}/{tool}/")
        assert len(answer) == 1 and answer[0]["se_uuid"] == engine.uuid and answer[0]["se_name"] == engine.name, tool
        assert answer[0]["se_ref"].endswith(f"/api/serviceengine/{engine.uuid}")
        said[tool] = answer[0]
    assert said["cpu"]["num_cpus"] == len(said["cpu"]["cpus"]) >= 1
    assert {p["name"]: p["pid"] for p in said["cpu"]["processes"]} == {"warden": engine.warden, "proxy": engine.proxy}
    assert said["meminfo"]["mem_total_kb"] > said["meminfo"]["mem_free_kb"] > 0
    assert all(p["resident_kb"] > 1000 for p in said["meminfo"]["processes"])
    data = next(i for i in said["interface"]["interface"] if f"{engine.back0.ip}/" in str(i["addresses"]))
    assert data["statistics"]["rx_bytes"] > 0 and data["statistics"]["tx_packets"] > 0
    assert [i["name"] for i in said["interfacesummary"]["interfacesummary"]] == \
        [i["name"] for i in said["interface"]["interface"]]
    neighbour = next(n for n in said["arptable"]["arptable"] if n["ip_addr"] == web.ip4)
    assert neighbour["mac"] == web.mac and neighbour["interface"] == data["name"]
    assert {r["destination"] for r in said["route"]["route"]} and all("/" in r["destination"] for r in said["route"]["route"])
    assert any(r.get("interface") == data["name"] for r in said["route"]["route"])
    front = next(v for v in said["vnicdb"]["vnicdb"] if v["linux_name"] == "front0")
    assert front["vips"] == [f"{vs.vip}/32"] and f"{engine.front0.ip}/24" in front["addresses"]
    assert not next(v for v in said["vnicdb"]["vnicdb"] if v["linux_name"] == "mgmt0")["vips"]
    flows = said["tcp-flows"]
    assert flows["states"]["ESTABLISHED"] >= 2 and flows["more"] is False
    kept = next(f for f in flows["flows"] if f["local"] == f"{vs.vip}:80" and f["remote"].startswith(f"{client.ip4}:"))
    assert kept["state"] == "ESTABLISHED" and kept["rtt_us"] > 0
    assert any(f["remote"] == f"{web.ip4}:80" for f in flows["flows"])
    assert any(f["local"] == f"{vs.vip}:80" for f in said["flowtable"]["flows"])
    assert said["flowtablestat"]["states"]["ESTABLISHED"] >= 2 and "flows" not in said["flowtablestat"]
    assert said["ipstat"]["InReceives"] > 0 and "InMsgs" in said["icmpstat"]

    def counted():
        stats = lab.api.get(f"virtualservice/{vs.uuid}/httpstats")
        return stats and stats[0]["statistics"].get("http_2xx") == 5 and stats[0]
    stats = until(counted, "five answers are counted")
    assert stats["se_name"] == engine.name and all(name.startswith("http_") for name in stats["statistics"])
    assert lab.api.get(f"virtualservice/{vs.uuid}/tcpstat")[0]["statistics"]["conn_total"] > 0
    # What is no request is counted as such, at the service and at the engine.
    assert client.request("TRACE", vs.url).status_code == 501

    def troubled():
        one, all_of = lab.api.get(f"virtualservice/{vs.uuid}/dosstat"), lab.api.get(f"serviceengine/{engine.uuid}/dosstat")
        sums = all_of[0]["statistics"]
        return sums == one[0]["statistics"] and sums["http_bad_method"] == 1 and "http_requests" not in sums
    until(troubled, "the bad method is counted")
    for path, part in (("algo", "conn_total"), ("connpool", "conn_open"), ("httpstats", "http_2xx")):
        row, = lab.api.get(f"pool/{vs.pool_uuid}/{path}")[0]["statistics"]
        assert row["server"] == f"{web.ip4}:80" and part in row["statistics"]
    for kind, uuid in (("virtualservice", vs.uuid), ("pool", vs.pool_uuid), ("serviceengine", engine.uuid)):
        assert lab.api.send("GET", f"{kind}/{uuid}/nosuchthing").status_code == 404
    # The interface by which it speaks to its controller is no data interface.
    made = lab.api.get(f"serviceengine/{engine.uuid}")
    assert made["mgmt_vnic"]["linux_name"] == "mgmt0" and "mgmt0" not in str(made["data_vnics"])
    carrier, = vs.runtime()["vip_summary"][0]["service_engine"]
    assert carrier["mgmt_ip"] == engine.mgmt0.ip
    # Scripts go on from here, and collectors of statistics read the servers as a list.
    assert lab.api.send("GET", carrier["url"].split("/api/")[1]).json()["uuid"] == engine.uuid == carrier["uuid"]
    seen, = lab.api.get(f"pool/{vs.pool_uuid}/runtime/server/detail/")
    assert seen["ip_addr"]["addr"] == web.ip4 and seen["port"] == 80 and seen["oper_status"]["state"] == "OPER_UP"
    listed = lab.api.get(f"serviceengine-inventory/{engine.uuid}")
    assert listed["config"]["mgmt_ip_address"] == {"addr": engine.mgmt0.ip, "type": "V4"}
    assert [ref.split("/")[-1] for ref in listed["config"]["virtualservice_refs"]] == [vs.uuid]
    assert datetime.datetime.fromisoformat(listed["runtime"]["online_since"]) and listed["runtime"]["gateway_up"] is True
    engine.stop()
    until(lambda: lab.api.send("GET", f"serviceengine/{engine.uuid}/cpu").status_code == 503, "the engine is gone")


@pytest.fixture
def world(tmp_path):
    controller = Controller(tmp_path)
    engine = Engine(controller, "se-1", tmp_path).enrol(controller.token()).up().run()
    bulk = copy.copy(engine)
    bulk.dial()
    bulk.say("hello", version=1, min_version=1, channel="bulk", uuid=engine.uuid, name="se-1", instance=engine.instance)
    assert bulk.hear()["type"] == "welcome"
    yield controller, engine, bulk
    bulk.close()
    engine.halt()
    controller.end()


def test_questions_end_whatever_an_engine_does(world):
    """It answers, refuses, answers nonsense, twice, too late, or goes away."""
    controller, engine, bulk = world
    path = f"serviceengine/{engine.uuid}/cpu"

    def asked():
        answers = []
        thread = threading.Thread(target=lambda: answers.append(controller.api.send("GET", path)))
        thread.start()
        while (msg := bulk.hear())["type"] != "ask":
            pass
        assert msg["what"] == "cpu"
        return msg["n"], thread, answers

    def ends(thread, answers):
        thread.join(30)
        assert answers, "nobody answered the client"
        return answers[0]

    first, *one = asked()
    second, *two = asked()
    # In another order than they were asked, each once.
    for number in (second, second, first, 0, 10 ** 15):
        bulk.say("answer", n=number, data={"number": number})
    assert ends(*one).json()[0]["number"] == first and ends(*two).json()[0]["number"] == second
    for data in ([1, 2], 5, "x"):
        number, *rest = asked()
        bulk.say("answer", n=number, data=data)
        assert ends(*rest).json()[0]["cpu"] == data
    number, *rest = asked()
    bulk.say("answer", n=number, error="No such thing here.")
    assert error(ends(*rest), 503) == "Service engine se-1 does not say: No such thing here."
    number, *rest = asked()
    bulk.say("answer", n=number)
    assert "said nothing" in error(ends(*rest), 503)
    # Others are served while nobody answers.
    number, thread, answers = asked()
    assert controller.api.send("GET", "pool").status_code == 200
    while thread.is_alive():
        bulk.quiet(0.1)
    assert "did not answer in time" in error(answers[0], 503)
    bulk.say("answer", n=number, data={})
    number, *rest = asked()
    bulk.close()
    assert "went away" in error(ends(*rest), 503)
    assert "not connected" in error(controller.api.send("GET", path), 503)
