"""Every frame that is to be copied is sent, or counted as dropped by its reason; flows stay whole."""

import pytest

from lab import until

DROPS = ("no_neighbour", "no_interface", "link_down", "queue_full", "too_big", "memory", "table_full",
         "ended", "other")


class Held:
    """A connection through a layer 4 service, held open over everything that happens."""

    def __init__(self, client, vs):
        self.socket = client.connect(vs.vip, vs.port)
        self.talk()

    def talk(self, path="/"):
        """A request, and its whole answer."""
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        got = b""
        while b"\r\n\r\n" not in got:
            got += self.socket.recv(65536)
        head, _, body = got.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += self.socket.recv(65536)
        return body


def balanced(vs):
    """eligible = sent + all drops; the sums, once they are so and stand still."""
    def equal():
        before, sums = ({name: vs.clone_sum(name) for name in
                         ("eligible", "sent", *(f"dropped_{d}" for d in DROPS))} for _ in range(2))
        return before == sums and sums["eligible"] == \
            sums["sent"] + sum(sums[f"dropped_{d}"] for d in DROPS) and sums
    try:
        return until(equal, "the books are balanced", 5, every=0.3)
    except AssertionError as late:
        raise AssertionError(f"{late}: {vs.clone_stats()}") from None


def since_sum(vs, counter):
    return sum(line[counter] for engine in vs.clone_stats() for line in engine["clone_srvr_stats"])


def test_running_flows_stay_as_they_were(lab):
    """Through edits of the profile; they end with their clone server, or with the clone."""
    sensors, web, client = [lab.sensor() for _ in range(3)], lab.server(), lab.client()
    lab.engine(workers=1)
    profile = lab.clone_profile(sensors[:2])
    path = "trafficcloneprofile/" + profile.split("/")[-1]
    vs = lab.virtual_service(pool=[web], http=False, clone=profile).wait_servers_up(1)
    held = [Held(client, vs) for _ in range(2)]
    until(lambda: [len(s.conversations()) for s in sensors] == [1, 1, 0], "one flow for each")
    servers = lab.api.get(path)["clone_servers"]
    third = {"ip_address": {"addr": sensors[2].ip4, "type": "V4"}}

    def flows():
        for sensor in sensors:
            sensor.settled(0.2)
        return [sum(1 for c in s.conversations() if c.handshake and not c.missing) for s in sensors]

    def changed():
        return max((engine["since_us"] for engine in vs.clone_stats()), default=0)

    def edit(servers, **more):
        before = until(changed, "there is a set")
        lab.api.patch(path, replace={"clone_servers": servers, **more})
        until(lambda: changed() > before, "the edit has effect")
        Held(client, vs)

    # One is added, and the copies look otherwise: new flows follow, running ones stay.
    edit([*servers, third], preserve_client_ip=True)
    fresh = sum(flows()) - 2
    assert fresh == 1
    before = [sensor.forget() for sensor in sensors]
    until(lambda: 0 < since_sum(vs, "eligible") < vs.clone_sum("eligible"), "counted anew, and on")
    for one in held:
        assert len(one.talk("/files/131072")) == 131072
    [sensor.settled(0.2) for sensor in sensors]
    assert [s.count() > 70 for s in sensors] == [True, True, False], (before, flows())
    assert all(not talk.missing for s in sensors for talk in s.conversations())
    assert balanced(vs)["dropped_ended"] == 0

    # One is taken away: its flows at once, nobody else's.
    edit([servers[0], third])
    [sensor.settled(0.2) and sensor.forget() for sensor in sensors]
    for one in held:
        one.talk("/files/131072")
    [sensor.settled(0.2) for sensor in sensors]
    assert [s.count() > 70 for s in sensors] == [True, False, False]
    assert balanced(vs)["dropped_ended"] > 70

    # It comes back: a copy never begins in the middle.
    edit([*servers, third])
    [sensor.settled(0.2) and sensor.forget() for sensor in sensors]
    held[1].talk("/files/131072")
    assert sensors[1].settled(0.2) == 0

    # The clone is turned off.
    vs.patch(delete={"traffic_clone_profile_ref": profile})
    ended = balanced(vs)["dropped_ended"]
    [sensor.settled(0.2) and sensor.forget() for sensor in sensors]
    for one in held:
        one.talk("/files/131072")
    Held(client, vs)
    assert [s.settled(0.2) for s in sensors] == [0, 0, 0]
    assert balanced(vs)["dropped_ended"] > ended + 140
