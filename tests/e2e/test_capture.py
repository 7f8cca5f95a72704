"""Captures: the packets of a virtual service, from all its engines, both legs, in one file."""

import subprocess

from lab.host import until


def tshark(file, display_filter="", *fields):
    """Rows of the fields of the packets that match."""
    words = ["tshark", "-n", "-r", str(file), "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    if display_filter:
        words += ["-Y", display_filter]
    if fields:
        words += ["-T", "fields", "-E", "separator=\t"]
        for field in fields:
            words += ["-e", field]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


class Capture:
    """One capture of a service: begun, ended, downloaded."""

    def __init__(self, lab, vs, params=None, **debug):
        self.lab, self.vs, self.file = lab, vs, lab.dir / "capture.pcapng"
        self.path = f"debugvirtualservice/{vs.uuid}"
        params = {"pkt_size": 0, "max_packets": 1_000_000, **(params or {})}
        self.made = lab.api.patch(self.path, replace={"capture": True, "capture_params": params, **debug})
        self.uuid = self.runtime()["uuid"]

    def runtime(self):
        return self.vs.runtime().get("capture") or {}

    def wait_engines(self, count):
        until(lambda: len(self.runtime()["engines"]) == count, f"{count} engines capture")
        return self

    def object(self):
        return self.lab.api.get(f"capture/{self.uuid}")

    def wait_ended(self, seconds=10):
        until(lambda: self.object().get("ended"), "the capture is over", seconds)
        return self.object()

    def end(self):
        self.lab.api.patch(self.path, replace={"capture": False})
        return self.wait_ended()

    def download(self):
        self.file.write_bytes(self.lab.api.get_bytes(f"capture/{self.uuid}/file"))
        return self.file


def requests_in(file):
    """{id: {leg: flow}} of all requests in the file."""
    found = {}
    for uri, comment in tshark(file, "http.request.uri contains \"id=\"", "http.request.uri", "frame.comment"):
        leg, flow = comment.split(", ")[:2]
        found.setdefault(uri.split("id=")[1], {})[leg] = flow
    return found


def test_both_legs_of_one_service(lab):
    web, client = lab.server(), lab.client()
    lab.engine()
    vs = lab.virtual_service(pool=[web]).wait_servers_up(1)
    other = lab.virtual_service(pool=[web], name="other")
    capture = Capture(lab, vs).wait_engines(1)
    ids = [f"request-{n}" for n in range(20)]
    for n, name in enumerate(ids):
        # Some on connections of their own, some on one that is kept.
        assert (client.fresh_get if n % 2 else client.get)(f"{vs.url}?id={name}").ok
        assert client.get(f"{other.url}?id=other-{n}").ok
    assert len(client.get(vs.url + "files/1048576").content) == 1 << 20
    ended = capture.end()
    assert ended["ended_by"] == "stopped" and not ended["drops"]
    file = capture.download()
    found = requests_in(file)
    assert sorted(id for id in found if id.startswith("request")) == sorted(ids)
    assert not [id for id in found if id.startswith("other")]
    for legs in found.values():
        assert set(legs) == {"client leg", "server leg"} and len(set(legs.values())) == 1, found
    packets = tshark(file, "", "frame.len", "ip.addr")
    assert len(packets) == ended["packets"]
    assert max(int(length) for length, _ in packets) <= 1514
    assert not tshark(file, 'tcp.checksum.status == "Bad" or ip.checksum.status == "Bad" or tcp.analysis.lost_segment')
