"""The flight recorder: packets of before anybody asked for them."""

import pytest

from lab.api import ApiError
from lab.host import until
from test_capture import requests_in, tshark


def save(lab, vs, **body):
    made = lab.api.post(f"virtualservice/{vs.uuid}/save-packets", body)
    until(lambda: lab.api.get(f"capture/{made['uuid']}").get("ended"), "what was recorded is in the file")
    file = lab.dir / "saved.pcapng"
    file.write_bytes(lab.api.get_bytes(f"capture/{made['uuid']}/file"))
    return lab.api.get(f"capture/{made['uuid']}"), file


def ask(client, vs, ids):
    urls = [f"{vs.url}files/128?id={i}" for i in ids]
    client.run("curl", "-sS", "-m", "10", *(word for url in urls for word in ("-o", "/dev/null", url)))


def test_what_was_is_there_when_it_is_wanted(lab):
    web, client = lab.server(), lab.client()
    lab.engine()
    shop, busy = lab.virtual_service([web]), lab.virtual_service([web])
    unwatched = lab.virtual_service([web], flight_recorder=False)
    early, late = [f"early{i}" for i in range(20)], [f"late{i}" for i in range(20)]
    ask(client, shop, early)
    # A busy service goes round many times in what is its own, and only there.
    client.run("h2load", "--h1", "-n", 40000, "-c", 8, f"{busy.url}files/128", timeout=60)
    ask(client, shop, late)
    ask(client, unwatched, ["nobody"])
    done, file = save(lab, shop, reason="a test")
    found = requests_in(file)
    assert sorted(found) == sorted(early + late)
    for legs in found.values():
        assert sorted(legs) == ["client leg", "server leg"]
        assert legs["client leg"] == legs["server leg"]
    assert done["ended_by"] == "saved" and done["reason"] == "a test" and not done["drops"]
    # Both directions, from the SYN on, in the order of time, and nobody else's.
    rows = tshark(file, "", "frame.time_epoch", "frame.cap_len", "tcp.flags.syn")
    assert len(rows) == done["packets"]
    times = [float(row[0]) for row in rows]
    assert times == sorted(times)
    assert max(int(row[1]) for row in rows) <= 256
    assert sum(row[2] in ("1", "True") for row in rows) >= 4
    assert not tshark(file, f"ip.addr == {busy.vip}") and not tshark(file, f"ip.addr == {unwatched.vip}")
    # Of the last seconds only; a busy one has the newest of what it said.
    done, file = save(lab, busy, seconds=30)
    assert done["packets"] > 1000
    # Who is not recorded has nothing to save, and says so.
    done, file = save(lab, unwatched)
    assert done["packets"] == 0 and done["ended_by"] == "saved"
    for wrong in ({"seconds": 0}, {"seconds": "ten"}, {"seconds": 90000}):
        with pytest.raises(ApiError, match="seconds: A number from 1 to 86400 is wanted"):
            save(lab, shop, **wrong)


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
