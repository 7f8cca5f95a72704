"""An engine that was killed: its successor takes over what it left in the kernel, or takes it away."""

import json
import pathlib
import subprocess

import pytest

from lab import until


def programs(engine):
    """{(interface, direction): ids of our programs} of this engine's host."""
    found = {}
    for name in json.loads(engine.run("ip", "-j", "link").stdout):
        for way in ("ingress", "egress"):
            text = engine.run("tc", "-j", "filter", "show", "dev", name["ifname"], way, check=False).stdout
            ids = [f["options"]["prog"]["id"] for f in json.loads(text or "[]") if "options" in f and "prog" in f["options"]]
            if ids:
                found[name["ifname"], way] = ids
    return found


def held(pid, what):
    """Ids of programs or maps that the process has."""
    ids = set()
    for info in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            ids |= {int(line.split()[1]) for line in info.read_text().splitlines() if line.startswith(f"{what}_id:")}
        except OSError:
            continue    # a descriptor that was closed meanwhile
    return ids


def alive(what, number):
    return subprocess.run(["bpftool", what, "show", "id", str(number)], capture_output=True).returncode == 0


def managed(engine):
    return [line for family in ("-4", "-6") for line in engine.ip(family, "neigh").splitlines() if " managed" in line]


def rules(engine):
    return [line for words in (("rule",), ("-6", "rule")) for line in engine.ip(*words).splitlines()]


@pytest.mark.parametrize("goes_on", [True, False], ids=["cloned_still", "cloned_no_more"])
def test_nothing_is_left_that_is_nobodys(lab, goes_on):
    ids, shared = lab.sensor(), lab.sensor(on=lab.back)
    web, client, engine = lab.server(), lab.client(), lab.engine()
    offloads, before = engine.run("ethtool", "-k", "span0").stdout, rules(engine)
    # L4: each request is a flow of its own, so that both sensors get some.
    vs = lab.virtual_service(pool=[web], http=False, clone=lab.clone_profile([ids, shared])).wait_servers_up(1)

    def copied(seconds=10):
        def look():
            assert client.fresh_get(vs.url).ok
            return all(sensor.conversations() for sensor in (ids, shared))
        until(look, "copies arrive at both", seconds, every=0.2)
    copied()
    assert engine.run("ethtool", "-k", "span0").stdout != offloads
    assert managed(engine)
    was, maps = programs(engine), held(engine.warden, "map")
    engine.kill()
    assert programs(engine) == was, "they go on without it, and hold its deadlines"
    if not goes_on:
        vs.patch(delete={"traffic_clone_profile_ref": True})
        (engine.state / "desired.json").unlink()    # it begins with nothing, and does not even clone for a moment
    engine.begin()
    engine.wait_connected()
    vs.wait_up()
    until(lambda: client.fresh_get(vs.url).ok, "it serves again")
    if goes_on:
        for sensor in (ids, shared):
            sensor.settled()
            sensor.forget()
        copied()
    else:
        until(lambda: engine.run("ethtool", "-k", "span0").stdout == offloads, "the offload is put back")
        until(lambda: "spw-c" not in engine.ip("link") and not managed(engine), "what copies went through is gone")
    mine = held(engine.warden, "prog")
    now = programs(engine)
    assert {number for numbers in now.values() for number in numbers} <= mine
    assert all(len(numbers) == 1 for numbers in now.values()), "one of each, the old one replaced"
    until(lambda: not [n for numbers in was.values() for n in numbers if alive("prog", n)], "the old programs are gone")
    until(lambda: not [n for n in maps if alive("map", n)], "so are their maps")
    engine.stop()
    assert programs(engine) == {} and not managed(engine)
    assert engine.run("ethtool", "-k", "span0").stdout == offloads
    assert "spw-" not in engine.ip("link") and rules(engine) == before
