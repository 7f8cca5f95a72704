"""The flight recorder: packets of before anybody asked for them."""

import contextlib
import datetime
import os
import re
import signal
import sqlite3
import subprocess
import time

import pytest

from lab.api import ApiError
from lab.host import until
from test_capture import requests_in, shell, tshark


def engine_of(lab, mb):
    """One whose recorder has so much memory."""
    engine = lab.engine()
    engine.stop()
    engine.begin(more=["--recorder-mb", mb])
    engine.wait_connected()
    return engine


def save(lab, vs, **body):
    """Answered when it is there."""
    made = lab.api.post(f"virtualservice/{vs.uuid}/save-packets", body)
    file = lab.dir / "saved.pcapng"
    file.write_bytes(lab.api.get_bytes(f"capture/{made['uuid']}/file"))
    return lab.api.get(f"capture/{made['uuid']}"), file


def ask(client, vs, ids):
    urls = [f"{vs.url}files/128?id={i}" for i in ids]
    client.run("curl", "-sS", "-m", "10", *(word for url in urls for word in ("-o", "/dev/null", url)))


def test_what_was_is_there_when_it_is_wanted(lab):
    web, client = lab.server(), lab.client()
    engine_of(lab, 8)
    shop, busy = lab.virtual_service([web]), lab.virtual_service([web])
    unwatched = lab.virtual_service([web], flight_recorder=False)
    early, late = [f"early{i}" for i in range(20)], [f"late{i}" for i in range(20)]
    begun = time.monotonic()
    ask(client, shop, early)
    # A fault, which nobody was prepared for.
    assert client.run("curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", f"{shop.url}nothing").stdout == "404"
    begun_busy = time.monotonic()
    # A busy service goes round many times in what is its own, and only there.
    client.run("h2load", "--h1", "-n", 5000, "-c", 8, f"{busy.url}files/128", timeout=60)
    ask(client, shop, late)
    ask(client, unwatched, ["nobody"])
    passed = time.monotonic() - begun
    done, file = save(lab, shop, reason="a test")
    found = requests_in(file)
    assert sorted(found) == sorted(early + late)
    for legs in found.values():
        assert sorted(legs) == ["client leg", "server leg"]
        assert legs["client leg"] == legs["server leg"]
    assert done["ended_by"] == "saved" and done["reason"] == "a test" and not done["drops"]
    # How far back it goes is said: all of what was asked for, or since the service is there.
    assert passed <= done["seconds_held"] <= 60
    assert done["engines"][0]["seconds_held"] == done["seconds_held"]
    # The fault is there, for whoever asks in the shell.
    written = lab.dir / "fault.pcapng"
    said = shell(lab, "save", "packets", shop.name, "--seconds", 600, "-w", written, stdout=subprocess.PIPE, text=True)
    out, _ = said.communicate(timeout=20)
    assert said.returncode == 0 and re.search(r"^\d+ packets, of the last \d+\.\d s all \(the recorders go back no further\); 0 dropped; in ", out), out
    legs = [row[0].split(",")[0] for row in tshark(written, "http.response.code == 404", "frame.comment")]
    assert sorted(legs) == ["client leg", "server leg"]
    assert written.stat().st_mode & 0o777 == 0o600
    # Both directions, from the SYN on, in the order of time, and nobody else's.
    rows = tshark(file, "", "frame.time_epoch", "frame.cap_len", "tcp.flags.syn")
    assert len(rows) == done["packets"]
    times = [float(row[0]) for row in rows]
    assert times == sorted(times)
    assert max(int(row[1]) for row in rows) <= 256
    assert sum(row[2] in ("1", "True") for row in rows) >= 4
    assert not tshark(file, f"ip.addr == {busy.vip}") and not tshark(file, f"ip.addr == {unwatched.vip}")
    # Of the last seconds only; a busy one has the newest of what it said.
    done, file = save(lab, busy, seconds=600)
    now = time.time()
    assert done["packets"] > 1000
    assert done["seconds_held"] < time.monotonic() - begun_busy, "its own past is what it evicts"
    assert min(float(row[0]) for row in tshark(file, "", "frame.time_epoch")) <= now - done["seconds_held"] + 1
    # Who is not recorded has nothing to save, and says so.
    done, file = save(lab, unwatched)
    assert done["packets"] == 0 and done["ended_by"] == "saved"
    for wrong in ({"seconds": 0}, {"seconds": "ten"}, {"seconds": 90000}):
        with pytest.raises(ApiError, match="seconds: A number from 1 to 86400 is wanted"):
            save(lab, shop, **wrong)
    # Of a group that is not recorded there is nothing, and what was is forgotten.
    group = lab.api.find("serviceenginegroup", "Default-Group")
    lab.api.patch(f"serviceenginegroup/{group['uuid']}", replace={"flight_recorder": False})
    until(lambda: save(lab, shop)[0]["packets"] == 0, "nothing is recorded")
    lab.api.patch(f"serviceenginegroup/{group['uuid']}", replace={"flight_recorder": True})
    until(lambda: save(lab, shop)[0]["seconds_held"] > 0, "it is recorded again")
    ask(client, shop, ["anew"])
    assert list(requests_in(save(lab, shop)[1])) == ["anew"]


def test_one_request_of_both_its_connections(lab):
    web, near, far = lab.server(), lab.client(), lab.client()
    lab.engine(workers=1)                          # so that its connection to the server goes from client to client
    lab.api.post("applicationprofile", {"name": "tells", "type": "APPLICATION_PROFILE_TYPE_HTTP",
                                        "http_profile": {"request_id_in_answer": True}})
    shop = lab.virtual_service([web], application_profile_ref=lab.ref("applicationprofile", "tells"))
    for older in ("first", "second"):
        ask(far, shop, [older])
    answer = near.fresh_get(f"{shop.url}files/16384?id=this")
    ask(far, shop, ["newer"])
    asked = answer.headers["X-Request-ID"]
    # From the header of the answer, or the log.
    log = until(lambda: lab.api.get("analytics/logs", type=1, virtualservice=shop.uuid, filter=f"eq(request_id,{asked})")["results"],
                "the request is in the log")[0]
    done, file = save(lab, shop, request_id=asked)
    assert done["ended_by"] == "saved" and done["seconds_held"] > 0
    legs = {row[0].split(",")[0] for row in tshark(file, 'http.request.uri contains "id=this"', "frame.comment")}
    assert legs == {"client leg", "server leg"}
    # Its packets say so, and those of others on its connection to the server do not.
    named = requests_in(file, f'frame.comment contains "request {asked}"')
    assert named.keys() == {"this"} and named["this"].keys() == {"client leg", "server leg"}
    ends = {frozenset(row) for row in tshark(file, "tcp", "tcp.srcport", "tcp.dstport")}
    assert ends == {frozenset((str(log["client_src_port"]), "80")), frozenset((str(log["server_src_port"]), "80"))}
    # All of the answer, on both sides.
    for leg in ("client", "server"):
        rows = tshark(file, f'frame.comment contains "{leg} leg" and tcp.srcport == 80', "tcp.len")
        assert sum(int(row[0]) for row in rows) > 16384
    for wrong, says in (("nobody-asked", "No engine of virtual service .* has a record of request nobody-asked"), ("", "at most 64 characters")):
        with pytest.raises(ApiError, match=says):
            save(lab, shop, request_id=wrong)
    assert len(lab.api.get("capture")["results"]) == 1, "what was not found leaves nothing"
    # Whom the connection to the server served is known of each request, however many clients it had.
    every = requests_in(save(lab, shop)[1])
    assert set(every) == {"first", "second", "this", "newer"}
    assert all(legs["client leg"] == legs["server leg"] for legs in every.values()), every
    assert len({row[0] for row in tshark(lab.dir / "saved.pcapng", 'http.request and frame.comment contains "server leg"', "tcp.stream")}) == 1
    # Another engine, which never had it, lacks nothing of it.
    lab.engine()
    vip = lab.api.get(f"vsvip/{shop.vsvip_uuid}")
    vip["vip"].append({"vip_id": "2", "ip_address": {"addr": lab.front.address(150)[0], "type": "V4"}})
    lab.api.put(f"vsvip/{shop.vsvip_uuid}", vip)
    done = until(lambda: len((one := save(lab, shop, request_id=asked)[0])["engines"]) == 2 and one, "both are asked")
    assert sorted(e["ended_by"] for e in done["engines"]) == ["saved", "unknown"] and done["seconds_held"] > 0


def triggered(lab, vs):
    """The capture that a trigger of VS made, when it is over, and its file."""
    def done():
        return [c for c in lab.api.get("capture")["results"] if c.get("trigger") and c.get("ended") and c["virtualservice_name"] == vs.name]
    one = until(done, f"{vs.name} saved by itself")[0]
    file = lab.dir / f"{vs.name}.pcapng"
    file.write_bytes(lab.api.get_bytes(f"capture/{one['uuid']}/file"))
    return one, file


def test_triggers_save_what_was_and_what_follows(lab):
    web, other, client = lab.server(), lab.server(), lab.client()
    lab.engine()

    def service(pool=(web,), monitor=None, pool_more=None, **triggers):
        return lab.virtual_service(list(pool), monitor=monitor, pool_more=pool_more,
                                   packet_triggers={"seconds_before": 60, "seconds_after": 0, **triggers})

    def state(vs):
        return vs.runtime()["packet_triggers"]

    def fail(vs, times):
        web.fall_sick()
        client.run("curl", "-s", "-m", "10", *("-o", "/dev/null", f"{vs.url}health") * times)
        web.recover()

    fallen = service([other], "http", server_down=True)
    few = service([other, web], "http", {"min_servers_up": 2}, pool_down=True)
    quiet = lab.virtual_service([web], monitor=None)
    # Too many errors: what was before is there, and what follows.
    shop = service(server_errors=3, server_errors_seconds=30, seconds_after=2, seconds_between=600)
    ask(client, shop, ["before"])
    until(lambda: any(s["statistics"].get("http_2xx") for s in lab.api.get(f"virtualservice/{shop.uuid}/httpstats")),
          "the engine's first statistics are here")
    fail(shop, 2)
    assert state(shop) == {"saved": 0, "suppressed": 0, "last": ""}
    fail(shop, 2)
    until(lambda: ask(client, shop, ["behind"]) or state(shop)["saved"] == 1, "it saves by itself")
    until(lambda: ask(client, shop, ["behind"]) or "capture" not in shop.runtime(), "it is over")
    done, file = triggered(lab, shop)
    assert done["trigger"] == "server_errors" and done["user"] == "system" and done["ended_by"] == "saved"
    assert re.fullmatch("trigger server_errors: [34] answers 5xx within 30 s", done["reason"]) and done["seconds_before"] == 60
    assert set(requests_in(file)) == {"before", "behind"}
    assert len(tshark(file, "http.response.code == 503", "frame.comment")) == 8, "both legs of four"
    begun = datetime.datetime.fromisoformat(done["started"].replace("Z", "+00:00")).timestamp()
    assert max(float(row[0]) for row in tshark(file, "", "frame.time_epoch")) > begun + 0.5
    # At most so often; what comes earlier is counted.
    fail(shop, 4)
    until(lambda: state(shop) == {"saved": 1, "suppressed": 1, "last": "server_errors"}, "it is suppressed")
    # A request that a rule describes, each second; one that takes too long.
    ruled = service(request=["sw(uri_path,/files/)", "co(uri_query,id=wanted)"], seconds_between=1)
    ask(client, ruled, ["other", "wanted"])
    done, file = triggered(lab, ruled)
    assert done["trigger"] == "request" and set(requests_in(file)) == {"other", "wanted"}
    until(lambda: ask(client, ruled, ["wanted"]) or state(ruled)["saved"] == 2, "it saves again")
    slow = service(response_ms=1)
    client.run("curl", "-s", "-m", "10", *("-o", "/dev/null", f"{slow.url}files/1048576") * 5)
    done, file = triggered(lab, slow)
    assert done["trigger"] == "response_time" and "a request took" in done["reason"] and done["packets"] > 100
    # A server that is down, and a pool that has too few.
    for vs, up in ((fallen, 1), (few, 2)):
        vs.wait_servers_up(up)
        ask(client, vs, ["last"])
    other.kill()
    for vs, trigger, says in ((fallen, "server_down", f"{other.ip4}:80 of {fallen.name}-pool: "), (few, "pool_down", f"{few.name}-pool")):
        done, file = triggered(lab, vs)
        assert done["trigger"] == trigger and says in done["reason"] and "last" in requests_in(file)
    # It remembers when, though the controller begins anew; a service that is not recorded saves nothing, and says why.
    shop.patch(replace={"packet_triggers": {"request": ["co(uri_query,id=again)"], "seconds_between": 600, "seconds_before": 60, "seconds_after": 0}})
    lab.controller.process.stop()
    lab.controller.begin()
    until(lambda: ask(client, shop, ["again"]) or state(shop)["suppressed"] >= 1, "it is suppressed still")
    assert state(shop)["saved"] == 0
    ruled.patch(replace={"flight_recorder": False})
    had = len(lab.api.get("capture")["results"])
    until(lambda: ask(client, ruled, ["wanted"]) or state(ruled)["suppressed"] >= 1, "it is not saved")
    assert "flight_recorder is false" in state(ruled)["trouble"] and not state(ruled)["saved"]
    assert len(lab.api.get("capture")["results"]) == had
    ruled.patch(replace={"flight_recorder": True})
    assert "trouble" not in state(ruled)
    told = [e["event_details"] for e in lab.api.get("analytics/logs", type=2, page_size=200)["results"]
            if e["event_id"] == "TRAFFIC_CAPTURE_TRIGGERED"]
    assert {one["trigger"] for one in told} == {"server_errors", "request", "response_time", "server_down", "pool_down"}
    # What is asked for is no reason for what made itself to go, nor the other way round: of each the newest four.
    for _ in range(2):
        save(lab, shop)
    kept = lab.api.get("capture")["results"]
    assert [sum(bool(c.get("trigger")) is yes for c in kept) for yes in (True, False)] == [4, 2]
    assert "packet_triggers" not in quiet.runtime()
    for wrong, says in (({"request": ["no filter"]}, "packet_triggers.request.0.: .*no filter.* is not OP"),
                        ({"seconds_between": 0}, "packet_triggers.seconds_between")):
        with pytest.raises(ApiError, match=says):
            shop.patch(replace={"packet_triggers": wrong})


def test_what_is_kept_has_limits(lab):
    web, client = lab.server(), lab.client()
    lab.engine()
    shop = lab.virtual_service([web])
    ask(client, shop, [f"r{n}" for n in range(10)])
    # By bytes: the newest always stays.
    lab.api.patch("controllerproperties", replace={"max_pcap_mb_per_tenant": 1, "max_pcap_per_tenant": 10})
    client.run("h2load", "--h1", "-n", 3000, "-c", 2, f"{shop.url}files/128", timeout=60)
    first, second = save(lab, shop)[0], save(lab, shop)[0]
    assert first["size"] + second["size"] > 1_000_000
    assert [c["uuid"] for c in lab.api.get("capture")["results"]] == [second["uuid"]]
    assert [path.name for path in (lab.controller.data / "captures").iterdir()] == [second["uuid"]]
    # By age, as of a controller that begins a month later.
    lab.controller.process.stop()
    with contextlib.closing(sqlite3.connect(lab.controller.data / "store.db")) as disk, disk:
        disk.execute("UPDATE object SET last_modified_us = last_modified_us - 31 * 86400 * 1000000 WHERE kind = 'capture'")
    lab.controller.begin()
    assert not lab.api.get("capture")["results"] and not list((lab.controller.data / "captures").iterdir())
    # By number; fewer from one moment to the next. With none none begins, and nothing else notices.
    until(lambda: shop.state() == "OPER_UP", "the engine is back")
    both = [save(lab, shop)[0]["uuid"] for _ in range(2)]
    lab.api.patch("controllerproperties", replace={"max_pcap_per_tenant": 1})
    until(lambda: [c["uuid"] for c in lab.api.get("capture")["results"]] == both[1:], "the older one went")
    lab.api.patch("controllerproperties", replace={"max_pcap_per_tenant": 0})
    until(lambda: not lab.api.get("capture")["results"], "the other one went as well")
    assert not list((lab.controller.data / "captures").iterdir())
    debug = f"debugvirtualservice/{shop.uuid}"
    for refused in (lab.api.send("PATCH", debug, json={"replace": {"capture": True}}),
                    lab.api.send("POST", f"virtualservice/{shop.uuid}/save-packets", json={"seconds": 1})):
        assert refused.status_code == 400 and "max_pcap_per_tenant is 0" in refused.text
    assert not lab.api.get(debug).get("capture")
    ask(client, shop, ["undisturbed"])
    lab.api.patch("controllerproperties", delete={"max_pcap_per_tenant": 0})
    assert lab.api.patch(debug, replace={"capture": True})["capture"]


def test_the_past_of_two_engines_is_one(lab):
    web, client = lab.server(), lab.client()
    first, second = lab.engine(), lab.engine()
    shop = lab.virtual_service([web])
    owner = until(shop.owner, "somebody has it")
    ask(client, shop, ["before"])
    lab.api.post(f"virtualservice/{shop.uuid}/migrate", {"to_se_ref": f"/api/serviceengine/{(second if owner is first else first).uuid}"})
    until(lambda: shop.owner() not in (None, owner), "the other one has it")
    until(lambda: client.run("curl", "-sS", "-m", "2", "-o", "/dev/null", f"{shop.url}files/128?id=after", check=False).returncode == 0,
          "it answers there")
    done, file = save(lab, shop)
    # Who carried it before has forgotten it; who carries it now has all since.
    assert "after" in requests_in(file)
    # While a capture runs there is no second one.
    lab.api.patch(f"debugvirtualservice/{shop.uuid}", replace={"capture": True})
    with pytest.raises(ApiError, match="A capture of this virtual service runs"):
        save(lab, shop)
    lab.api.patch(f"debugvirtualservice/{shop.uuid}", replace={"capture": False})


def test_who_waits_for_an_engine_is_told_when_the_controller_stops(lab):
    web, client = lab.server(), lab.client()
    engine = lab.engine()
    lab.api.post("trafficcloneprofile", {"name": "copies", "clone_servers": [{"ip_address": {"addr": web.ip4, "type": "V4"}}]})
    shop = lab.virtual_service([web], monitor=None, traffic_clone_profile_ref=lab.ref("trafficcloneprofile", "copies"))
    ask(client, shop, ["before"])
    # It answers nobody: the file is waited for, and how copies fare. Who is missed for long is not asked: they have begun already.
    pipes = [lab.dir / f"password{n}" for n in range(2)]
    for pipe in pipes:
        os.mkfifo(pipe, 0o600)
    saving, testing = (shell(lab, *words, password_file=pipe, stdout=subprocess.PIPE) for pipe, words in zip(pipes, (
        ("save", "packets", shop.name, "-w", lab.dir / "never.pcapng"), ("clone", "test", shop.name))))
    ready = [until(lambda: os.open(pipe, os.O_WRONLY | os.O_NONBLOCK), "somebody reads it") for pipe in pipes]
    engine.hang()
    for fd in ready:
        os.write(fd, lab.controller.password_file.read_bytes())
        os.close(fd)
    until(lambda: lab.api.get("capture")["results"], "it is being saved")
    until(lambda: any(e["event_id"] == "CONFIG_TRAFFIC_CLONE_TEST" for e in lab.api.get("analytics/logs", type=2)["results"]), "it is being tested")
    assert saving.poll() is None and testing.poll() is None
    lab.controller.process.signal(signal.SIGTERM)
    assert lab.controller.process.popen.wait(8) == 0, lab.controller.process.tail()
    for told in (saving, testing):
        out, err = told.communicate(timeout=30)
        assert told.returncode == 1 and b"The controller is stopping" in out + err, (told.returncode, out, err)
    # What there was is kept, as of any capture.
    engine.go_on()
    lab.controller.begin()
    kept, = lab.api.get("capture")["results"]
    assert kept["ended_by"] == "restart" and kept["ended"]
