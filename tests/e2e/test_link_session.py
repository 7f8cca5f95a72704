"""Who may join and connect, and what happens to those who may not: engines that speak the link by hand."""

import json
import pathlib
import re
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from link_world import Controller, Engine, Refused, target, until


def memory_kb(pid):
    """The most it has had since this was asked for the last time."""
    process = pathlib.Path(f"/proc/{pid}")
    most = int(re.search(r"VmHWM:\s+(\d+)", (process / "status").read_text())[1])
    (process / "clear_refs").write_text("5")
    return most


@pytest.fixture
def world(tmp_path):
    controller = Controller(tmp_path)
    engines = []

    def engine(name="se-1", **how):
        engines.append(Engine(controller, name, tmp_path, **how))
        return engines[-1]
    controller.engine = engine
    yield controller
    for one in engines:
        one.close()
    controller.end()


def test_an_engine_joins_and_gets_its_services(world):
    vs = world.service(1)
    engine = world.engine().enrol(world.token()).up()
    assert [e["name"] for e in world.api.all("serviceengine")] == ["se-1"]
    engine.serve(lambda: f"assignment/{vs['uuid']}" in engine.held, "it holds the assignment")
    assignment = engine.held[f"assignment/{vs['uuid']}"]
    assert assignment["vips"] == [{"vip_id": "0", "addr": "10.200.0.2", "interface": "eth1", "prefix_len": 16,
                                   "engine": engine.uuid, "term": 1}]
    assert assignment["term"] == 1 and assignment["enabled"] is True
    assert {"assignment", "virtualservice", "vsvip", "pool", "applicationprofile", "networkprofile", "serviceengine",
            "serviceenginegroup"} <= set(engine.kinds())
    engine.serve(lambda: world.runtime(vs)["oper_status"]["state"] == "OPER_UP", "the service is up")
    runtime = world.runtime(vs)
    assert runtime["vip_summary"][0]["service_engine"][0]["name"] == "se-1"
    on = runtime["service_engines"][0]
    assert on["up_to_date"] and on["acknowledged_revision"] == engine.revision >= vs_revision(runtime)


def vs_revision(runtime):
    assert runtime["revision"] > 0
    return runtime["revision"]


def test_a_token_is_good_for_one_engine(world):
    token = world.token()
    world.engine("se-1").enrol(token)
    with pytest.raises(Refused, match="token"):
        world.engine("se-2").enrol(token)
    assert len(list(world.api.all("serviceengine"))) == 1
    assert world.events("SE_CONNECTION_REFUSED")
    with pytest.raises(Refused, match="token"):
        world.engine("se-3").enrol("swt1." + "0" * 32 + "." + "0" * 64)


def test_a_strange_certificate_is_refused_in_words(world, tmp_path):
    engine = world.engine().enrol(world.token())
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    engine.key, "-out", engine.cert, "-subj", f"/CN={engine.uuid}", "-days", "2"], check=True,
                   capture_output=True, timeout=60)
    with pytest.raises(Refused, match="certificate .* is not accepted: self-signed certificate"):
        engine.hello()
    assert "is not accepted" in world.events("SE_CONNECTION_REFUSED")[0]["event_description"]


def test_without_a_certificate_nobody_is_heard(world):
    engine = world.engine()
    engine.dial(certificate=False)
    engine.say("hello", version=1, min_version=1, channel="control", uuid="serviceengine-x", name="se-1")
    answer = engine.hear()
    assert answer["type"] == "refused" and "no certificate was shown" in answer["reason"]


@pytest.mark.parametrize("begin", ["", "x"])
def test_what_a_stranger_says_is_quoted_safely(world, begin):
    """A sentence that is cut in the middle of a letter is still a sentence; one with a newline is still one line."""
    for name in (begin + "\u00e9" * 400, begin + "\ncontroller: all is well"):
        engine = world.engine()
        engine.dial(certificate=False)
        engine.say("hello", version=1, min_version=1, channel="control", uuid="serviceengine-x", name=name)
        assert engine.hear()["type"] == "refused"
    assert world.process.poll() is None
    assert "\ncontroller: all is well" not in (world.folder / "controller.log").read_text()


def test_an_engine_that_resumes_may_tell_of_before(world):
    """Its first acknowledgement is of what it held when it came, at a revision that may still be the newest."""
    world.service(1)
    engine = world.engine().enrol(world.token()).up()
    engine.serve(lambda: "assignment" in engine.kinds(), "it holds the service")
    revision = engine.revision
    engine.close()
    until(lambda: not world.api.get(f"serviceengine/{engine.uuid}/runtime")["se_connected"], "it is missed")
    for key in [key for key in engine.held if key.startswith("assignment/")]:
        del engine.held[key]
    engine.hello()
    engine.ack()
    assert engine.revision == revision and engine.take()
    engine.ack()
    until(lambda: engine.link()["up_to_date"], "it is up to date")
    assert not world.events("SE_CONFIG_MISMATCH")


def test_an_engine_speaks_of_itself_and_what_it_carries(world):
    vs = world.service(1)
    other = world.engine("se-2", net="10.201.0.250/16").enrol(world.token()).up().run()
    engine = world.engine().enrol(world.token()).up().run()
    until(lambda: f"pool/{target(vs['pool_ref'])}" in engine.held, "it holds the pool")
    down = [{"ip": "10.0.1.9", "port": 80, "state": "OPER_DOWN", "reason": "a lie"}]
    bulk, liar = engine.bulk(), other.bulk()
    for state in ("OPER_UP", "OPER_DOWN"):
        other.do(lambda: other.say("service", uuid=vs["uuid"], state=state, reason="a lie"))
    liar.do(lambda: liar.say("health", pool=target(vs["pool_ref"]), servers=down))
    liar.do(lambda: liar.say("stats", services={"no-such": {"n": 1}}, servers={}, clones={}, engine={"n": 1 << 62}))
    liar.do(lambda: liar.say("stats", services={}, servers={}, clones={}, engine={"n": 1}))
    for event in ({"event_id": "USER_LOGIN"}, {"event_id": "SE_LIE", "obj_kind": "virtualservice", "obj_uuid": vs["uuid"]},
                  {"event_id": "SE_LIE", "obj_kind": "serviceengine", "obj_uuid": engine.uuid}):
        liar.do(lambda: liar.say("event", text="a lie", **event))
    liar.do(lambda: liar.say("event", event_id="SE_END", text="that is all"))
    bulk.do(lambda: bulk.say("event", event_id="SE_TRUTH", text="so it is", obj_kind="virtualservice", obj_uuid=vs["uuid"]))
    until(lambda: world.events("SE_END") and world.events("SE_TRUTH"), "all was heard")
    assert not [e for e in world.api.get("analytics/logs", type=2, page_size=1000)["results"]
                if "a lie" in e["event_description"] or "on service engine se-2" in e["event_description"]]
    bulk.halt()
    liar.halt()


def test_answers_of_an_engine_are_its_own_and_have_an_end(world):
    """Asked, it says what it was asked for: not that it is another one, and not more than anybody wants to see."""
    vs = world.service(1)
    engine = world.engine().enrol(world.token()).up().run()
    until(lambda: f"assignment/{vs['uuid']}" in engine.held, "it holds the service")
    liar = engine.bulk()
    liar.listen()

    def asked(path, answer, **query):
        with ThreadPoolExecutor(1) as pool:
            got = pool.submit(lambda: world.api.get(path, **query))
            while (question := liar.hear())["type"] != "ask":
                pass
            answer(question["n"])
            return got.result()

    said = asked(f"serviceengine/{engine.uuid}/cpu",
                 lambda n: liar.say("answer", n=n, data={"se_uuid": "another", "se_name": "another", "load": 1}))
    assert (said[0]["se_uuid"], said[0]["se_name"], said[0]["load"]) == (engine.uuid, engine.name, 1)

    record = {"virtualservice": vs["uuid"], "uri_path": "x" * 1000, "report_timestamp": "2024-05-01T12:00:00"}

    def flood(n):
        memory_kb(world.process.pid)
        before = memory_kb(world.process.pid)   # without what a login's hash took
        piece = json.dumps({"type": "answer", "n": n, "more": True, "results": [record] * 100}).encode() + b"\n"
        for _ in range(60):
            liar.sock.sendall(piece)
        liar.say("answer", n=n, results=[], count=1)
        grown.append(before)
    grown = []
    rows = asked("analytics/logs", flood, type=1, virtualservice=vs["uuid"], page_size=10)
    assert len(rows["results"]) == 10 and not rows["missing"]
    assert memory_kb(world.process.pid) - grown[0] < 2_000  # of 6 MB that it said
    engine.halt()
    liar.close()


def test_an_engine_has_its_own_certificate_only(world):
    one, two = world.engine("se-1").enrol(world.token()), world.engine("se-2").enrol(world.token())
    with pytest.raises(Refused, match="its certificate says"):
        one.hello(uuid=two.uuid)


def test_a_deleted_engine_is_refused(world):
    engine = world.engine().enrol(world.token()).up()
    world.api.delete(f"serviceengine/{engine.uuid}")
    with pytest.raises(EOFError):
        while True:
            engine.take()
    with pytest.raises(Refused, match="does not know se-1"):
        engine.hello()
    assert any("does not know" in e["event_description"] for e in world.events("SE_CONNECTION_REFUSED"))


def test_a_second_engine_of_a_name_is_refused(world, tmp_path):
    # It answers pings meanwhile: who is silent for a second is none any more.
    engine = world.engine().enrol(world.token()).up().run()
    revision = engine.revision
    with pytest.raises(Refused, match="another service engine with the name se-1 is connected"):
        Engine(world, "se-1", tmp_path / "elsewhere").enrol(world.token())
    # A copy of its state folder on another machine.
    copy = Engine(world, "se-1", tmp_path)
    copy.uuid = engine.uuid
    with pytest.raises(Refused, match="another service engine with the name se-1 is connected"):
        copy.hello()
    assert world.events("SE_CONNECTION_REFUSED")
    engine.listen()
    engine.quiet(0.5)
    assert engine.revision == revision


def test_an_engine_that_lost_its_disk_joins_again_as_itself(world, tmp_path):
    engine = world.engine().enrol(world.token()).up()
    old_key, old_cert = engine.key.read_text(), engine.cert.read_text()
    engine.close()
    until(lambda: not world.api.get(f"serviceengine/{engine.uuid}/runtime")["se_connected"], "it is gone")
    uuid = engine.uuid
    engine.enrol(world.token())
    assert engine.uuid == uuid
    engine.key.write_text(old_key), engine.cert.write_text(old_cert)
    with pytest.raises(Refused, match="was replaced by a later enrolment"):
        engine.hello()


def test_nonsense_is_no_session(world):
    engine = world.engine().enrol(world.token()).up()
    engine.sock.sendall(b"{\"type\":\"unheard-of\",\"n\":1}\n")
    engine.serve(lambda: engine.link()["unknown_messages"] == 1, "an unknown type is counted")
    engine.sock.sendall(b"this is no JSON\n")
    with pytest.raises((EOFError, ssl.SSLError, ConnectionError)):
        while True:
            engine.hear()
    assert world.events("SE_PROTOCOL_ERROR")
    engine.up()


def test_another_version_is_refused(world):
    engine = world.engine().enrol(world.token())
    with pytest.raises(Refused, match="speaks versions 2 to 3 of the protocol"):
        engine.hello(version=3, min_version=2)


def test_strangers_do_not_keep_engines_out(world):
    def stranger(number):
        one = world.engine(f"stranger-{number}")
        one.dial(certificate=False)
        return one
    for number in range(300):
        stranger(number)
    world.engine("se-1").enrol(world.token()).up()
    # Who says nothing for five seconds is not heard any more: these speak at once.
    talker = stranger(300)
    talker.sock.sendall(b"{\"type\": \"" + b"x" * 70000)
    answer = talker.hear()
    assert answer["type"] == "refused" and "before it is believed" in answer["reason"]
    for number in range(50):
        talker = stranger(301 + number)
        talker.say("enrol", version=1, token="guess", name="x", csr="")
        assert talker.hear()["type"] == "refused"
    assert len(world.events("SE_CONNECTION_REFUSED")) < 10


def test_a_silent_engine_is_dead_and_a_lost_one_soon_after(world):
    engine = world.engine().enrol(world.token()).up()
    assert world.api.get(f"serviceengine/{engine.uuid}/runtime")["oper_status"]["state"] == "OPER_UP"
    # It is there, and answers no ping.
    until(lambda: world.api.get(f"serviceengine/{engine.uuid}/runtime")["oper_status"]["state"] == "OPER_DOWN",
          "it is down", 6)
    assert world.events("SE_DOWN")
    engine.up()
    engine.serve(lambda: world.api.get(f"serviceengine/{engine.uuid}/runtime")["oper_status"]["state"] == "OPER_UP",
                 "it is up again")
