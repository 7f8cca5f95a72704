"""The product's own end of the link against the real controller: joining, coming back, going on alone."""

import json
import shutil

import pytest

from link_world import Controller, Engine, Probe, target, until


@pytest.fixture
def world(tmp_path):
    controller = Controller(tmp_path)
    made = []

    def probe(name="se-1", token=None, **more):
        token = controller.token() if token is None else token
        made.append(Probe(controller, name, tmp_path, token, **more))
        return made[-1]
    controller.probe = probe
    yield controller
    for one in made:
        one.end(kill=True)
    controller.end()


def state_of(world, name="se-1"):
    engine = world.api.find("serviceengine", name)
    return world.api.get(f"serviceengine/{engine['uuid']}/runtime") if engine else {}


def test_it_joins_once_and_comes_back(world):
    vs = world.service(1)
    probe = world.probe()
    probe.waits_for(f"put assignment {vs['uuid']}")
    until(lambda: world.runtime(vs)["oper_status"]["state"] == "OPER_UP", "the service is up")
    assert probe.state.stat().st_mode & 0o777 == 0o700
    assert (probe.state / "identity.json").stat().st_mode & 0o777 == 0o600
    probe.end()
    until(lambda: state_of(world)["oper_status"]["state"] == "OPER_DOWN", "a bye is at once the end")
    probe.begin()  # the token is used up: it is not needed
    probe.waits_for("up")
    until(lambda: state_of(world)["se_connected"], "it is there again")


def test_the_controller_may_have_a_name(world):
    world.probe(host="localhost").waits_for("up")
    unknown = world.probe("se-2", host="controller.invalid")
    until(lambda: "controller.invalid has no address" in unknown.log.read_text(), "it says so")


def test_it_joins_nobody_but_whom_the_token_names(world):
    good = world.token()
    head, secret, fingerprint = good.split(".")
    probe = world.probe(token=f"{head}.{secret}.{fingerprint[::-1]}")
    until(lambda: "not joining" in probe.log.read_text(), "it says so")
    assert not list(world.api.all("serviceengine"))
    assert not (probe.state / "identity.json").exists()
    # The token itself was told to nobody: it is still good, and a corrected file is read again.
    probe.token_file.write_text(good)
    probe.waits_for("up")


def test_a_used_token_is_said(world):
    token = world.token()
    world.probe("se-1", token).waits_for("up")
    other = world.probe("se-2", token)
    until(lambda: "refused" in other.log.read_text() and "token" in other.log.read_text(), "it says so")
    assert len(list(world.api.all("serviceengine"))) == 1


def test_it_resumes_with_differences_only(world):
    services = [world.service(n) for n in range(5)]
    probe = world.probe()
    probe.waits_for("put assignment", 5)
    until(lambda: state_of(world)["link"]["up_to_date"], "it has everything")
    # The controller is gone; the engine goes on, and misses an edit.
    world.end(kill=True)
    probe.waits_for("down")
    world.begin()
    probe.waits_for("up", 2)
    until(lambda: state_of(world)["link"]["up_to_date"], "it is up to date")
    assert state_of(world)["link"]["puts"] == 0, "nothing changed, nothing comes"
    before = len(probe.heard("put"))
    pool = world.api.get(f"pool/{target(services[2]['pool_ref'])}")
    world.api.patch(f"pool/{pool['uuid']}", replace={"default_server_port": 8080})
    probe.waits_for("put pool", len([line for line in probe.heard("put pool")]) + 0)
    until(lambda: len(probe.heard("put")) == before + 1, "one object comes")
    assert state_of(world)["link"]["resyncs"] == 0


def test_it_starts_from_its_disk_without_a_controller(world):
    services = [world.service(n) for n in range(3)]
    probe = world.probe()
    probe.waits_for("put assignment", 3)
    until(lambda: state_of(world)["link"]["up_to_date"], "it has everything")
    held = state_of(world)["link"]["objects"]
    desired = probe.state / "desired.json"
    until(lambda: desired.exists() and len(json.loads(desired.read_text())["held"]) == held, "it is on its disk")
    probe.end(kill=True)
    world.end()
    probe.begin()
    assert probe.waits_for("committed")[0].endswith(f" {held}")
    assert {line.split()[2] for line in probe.heard("put assignment")} == {vs["uuid"] for vs in services}
    assert not probe.heard("up")
    # And when the controller is back, it says nothing that the engine does not know.
    world.begin()
    probe.waits_for("up")
    until(lambda: state_of(world)["link"]["up_to_date"], "it is up to date")
    assert state_of(world)["link"]["puts"] == 0


def test_what_a_full_disk_refused_is_saved_later(world):
    world.service(1)
    probe = world.probe()
    probe.waits_for("put assignment")
    desired = probe.state / "desired.json"
    until(desired.exists, "it is on its disk")
    (probe.state / "desired.json.new").mkdir()
    later = world.service(2)
    until(lambda: "state_not_saved" in probe.log.read_text(), "the engine says that it cannot save")
    assert later["uuid"] not in desired.read_text()
    (probe.state / "desired.json.new").rmdir()
    until(lambda: later["uuid"] in desired.read_text(), "it tries again by itself")


def test_a_damaged_disk_is_no_harm_with_a_controller(world):
    world.service(1)
    probe = world.probe()
    probe.waits_for("put assignment")
    desired = probe.state / "desired.json"
    until(desired.exists, "it is on its disk")
    probe.end(kill=True)
    desired.write_text(desired.read_text()[:-40])
    probe.begin()
    probe.waits_for("put assignment")
    assert "state_not_loaded" in probe.log.read_text()


def test_a_controller_from_an_older_backup_begins_a_new_epoch(world, tmp_path):
    world.service(1)
    probe = world.probe()
    probe.waits_for("put assignment")
    until(lambda: state_of(world)["link"]["up_to_date"], "it has everything")
    world.end()
    shutil.copytree(world.data, tmp_path / "backup")
    world.begin()
    probe.waits_for("up", 2)
    later = world.service(2)
    probe.waits_for(f"put assignment {later['uuid']}")
    until(lambda: state_of(world)["link"]["up_to_date"], "it has everything")
    epoch = json.loads((probe.state / "desired.json").read_text())["epoch"]
    world.end()
    shutil.rmtree(world.data)
    shutil.copytree(tmp_path / "backup", world.data)
    world.begin()
    probe.waits_for(f"removed assignment {later['uuid']}")
    events = until(lambda: world.events("CONTROLLER_DB_ERROR"), "there is an event")
    assert "restored from an older backup" in events[0]["event_description"]
    until(lambda: state_of(world)["link"]["up_to_date"], "it has everything")
    until(lambda: json.loads((probe.state / "desired.json").read_text())["epoch"] != epoch, "another epoch")
    # What was the same before and after was not touched.
    assert len(probe.heard("put virtualservice")) == 2


def test_an_engine_that_joined_after_the_backup_is_not_taken_for_another(world, tmp_path):
    world.end()
    shutil.copytree(world.data, tmp_path / "backup")
    world.begin()
    probe = world.probe()
    probe.waits_for("up")
    world.end()
    shutil.rmtree(world.data)
    shutil.copytree(tmp_path / "backup", world.data)
    world.begin()
    until(lambda: any("older than its enrolment" in e["event_description"]
                      for e in world.events("SE_CONNECTION_REFUSED")), "there is an event")
    assert "older than its enrolment" in probe.log.read_text()


def test_a_state_folder_belongs_to_one(world):
    probe = world.probe()
    probe.waits_for("up")
    twin = Probe(world, "se-1", probe.folder.parent)
    assert twin.process.wait(60) == 1
    assert "another engine runs with the state folder" in twin.out.read_text()
    twin.end()


def test_a_hash_that_does_not_match_brings_everything_again(world, tmp_path):
    vs = world.service(1)
    engine = Engine(world, "se-1", tmp_path).enrol(world.token()).up()
    engine.serve(lambda: engine.held.get(f"assignment/{vs['uuid']}"), "it holds it")
    world.api.patch(f"pool/{target(vs['pool_ref'])}", replace={"default_server_port": 8081})
    engine.take()
    engine.ack(hash="0" * 16)
    with pytest.raises(EOFError, match="hash does not match"):
        while True:
            engine.take()
    assert world.events("SE_CONFIG_MISMATCH")
    engine.close()
    welcome = engine.hello()
    assert welcome["resume"] is False
    assert f"put assignment/{vs['uuid']}" in engine.take()
    engine.ack()
    engine.quiet(0.5)
    assert engine.link()["up_to_date"]
    engine.close()
