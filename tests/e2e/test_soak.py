"""Mixed load and edits for a while: nothing fails, and nobody grows.

SOAK_SECONDS says how long; `make soak` says 30 minutes. The first third warms up: buffers, caches and logs that have
a limit fill to it. `make soak SOAK_STEADY=1` edits nothing: everything is copied all the time, one service decrypted, one
capture follows the other, and the flight recorder is on as always.
"""

import itertools
import os
import pathlib
import statistics
import time

from lab import until
from lab.client import Load
from test_capture import Capture

SECONDS = int(os.environ.get("SOAK_SECONDS", 120))
STEADY = bool(os.environ.get("SOAK_STEADY"))
SPARE_KB = 3 * 1024         # of growth in two thirds of the time: what malloc rounds, not what leaks
FILES_SPARE = 16


def resident_kb(pid: int) -> int:
    """Of its own: the rings of records, which are shared memory of a fixed size, are filled slowly."""
    line = next(line for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
                if line.startswith("RssAnon:"))
    return int(line.split()[1])


def files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


class Watch:
    """Resident memory and open files of the programs, once a second."""

    def __init__(self, pids: dict[str, int]):
        self.pids, self.samples = pids, {name: [] for name in pids}

    def look(self) -> None:
        for name, pid in self.pids.items():
            self.samples[name].append((resident_kb(pid), files(pid)))

    def judge(self) -> list[str]:
        """Who grew, in words; prints the figures of all."""
        grown = []
        if os.environ.get("SOAK_TRACE"):
            print("\n".join(f"measured: {n}: " + " ".join(str(s[0]) for s in v[::5]) for n, v in self.samples.items()))
        for name, samples in self.samples.items():
            part = len(samples) // 6
            early, late = samples[2 * part:3 * part], samples[-part:]
            for what, index, spare in (("KB", 0, SPARE_KB), ("files", 1, FILES_SPARE)):
                before, after = (statistics.median(s[index] for s in some) for some in (early, late))
                if what == "KB":
                    print(f"measured: soak {SECONDS} s: {name}: {before:.0f} KB, then {after:.0f} KB")
                if after > before + max(spare, before * 0.02):
                    grown.append(f"{name}: {before:.0f} {what}, then {after:.0f}")
        return grown


def edits(services, web, clone, pool):
    """Changes as operators make them, for ever: each leaves the service able to answer."""
    n = 0
    while True:
        for vs in services:
            n += 1
            yield vs.patch_pool(replace={"servers": pool})
            yield vs.patch(replace={"traffic_clone_profile_ref": clone})
            yield vs.patch_pool(replace={"lb_algorithm": ("LB_ALGORITHM_ROUND_ROBIN", "LB_ALGORITHM_LEAST_CONNECTIONS")[n % 2]})
            yield vs.patch_pool(replace={"servers": [{**pool[0], "ratio": 1 + n % 20}, *pool[1:]]})
            yield vs.patch(replace={"description": f"edit {n}"})
            if vs.name == "tls":
                for name in ("System-Default-Cert", "System-Default-Cert-EC"):
                    yield vs.patch(replace={"ssl_key_and_certificate_refs": [vs.lab.ref("sslkeyandcertificate", name)]})
            yield vs.patch(delete={"traffic_clone_profile_ref": clone})
            yield vs.patch_pool(replace={"servers": [{**pool[0], "enabled": False}, *pool[1:]]})
            made = vs.lab.api.post("pool", {"name": f"passing-{n}", "servers": pool})
            yield vs.lab.api.delete(f"pool/{made['uuid']}")


def captures(lab, services):
    """One after the other, of five seconds and whole packets, for ever; files are not kept."""
    for vs in itertools.cycle(services):
        capture = Capture(lab, vs, {"enable_ssl_session_key_capture": vs.name == "tls"})
        for _ in range(25):
            yield
        assert capture.end()["packets"]
        yield lab.api.delete(f"capture/{capture.uuid}")


def test_load_and_edits_leave_no_trace(lab):
    web, client, ids = [lab.server() for _ in range(3)], lab.client(), lab.sensor()
    engines = [lab.engine(), lab.engine()]
    pool = lab.pool_body(web)
    services = [lab.virtual_service(pool=web, name="http").wait_servers_up(3),
                lab.virtual_service(pool=web, name="l4", http=False, monitor="tcp").wait_servers_up(3),
                lab.virtual_service(pool=web, name="tls", port=443, services=[{"port": 443, "enable_ssl": True}],
                                    ssl_key_and_certificate_refs=[lab.ref("sslkeyandcertificate", "System-Default-Cert-EC")],
                                    ssl_profile_ref=lab.ref("sslprofile", "System-Standard")).wait_servers_up(3)]
    clone = lab.clone_profile([ids])
    watch = Watch({"controller": lab.controller.process.pid,
                   **{f"{engine.name} {part}": getattr(engine, part)
                      for engine in engines for part in ("warden", "proxy")}})
    change = edits(services, web, clone, pool)
    if STEADY:
        ids.tcpdump.stop()              # it would fill the disk
        plain = lab.clone_profile([ids], payload="CLONE_DECRYPTED")
        for vs in services:
            vs.patch(replace={"traffic_clone_profile_ref": plain if vs.name == "tls" else clone})
        change = captures(lab, services)
    loads: list[Load] = []
    for vs in services:
        vs.url = vs.url.replace("http:", "https:") if vs.name == "tls" else vs.url
        loads += [client.load(vs.url, rate=100, timeout=20), client.load(vs.url, rate=30, reuse=False, timeout=20),
                  client.load(vs.url + "files/1048576", rate=5, timeout=20)]
    changes, began, seconds = 0, time.monotonic(), 0
    try:
        until(lambda: all(load.answered for load in loads), "each load is answered")
        while time.monotonic() < began + SECONDS:
            next(change)
            changes += 1
            # A change every fifth of a second, a look every second.
            until(lambda: time.monotonic() > began + changes / 5, "its time has come", SECONDS)
            if time.monotonic() > began + seconds:
                seconds += 1
                watch.look()
    finally:
        for load in loads:
            load.stop()
    answered = sum(load.answered for load in loads)
    print(f"measured: soak {SECONDS} s: {answered} requests answered, {changes} {'looks' if STEADY else 'changes'}")
    grown = watch.judge()
    if STEADY:
        books = {vs.name: (vs.clone_sum("eligible"), vs.clone_sum("sent"), vs.clone_sum("dropped")) for vs in services}
        print(f"measured: soak {SECONDS} s: frames eligible, sent, dropped: {books}")
        assert all(sent > answered for _, sent, _ in books.values()), "not everything was copied"
    assert {str(load): load.errors for load in loads if load.failed} == {}
    assert [name for name, pid in watch.pids.items() if not pathlib.Path(f"/proc/{pid}").exists()] == []
    assert [e.proxy for e in engines] == [watch.pids[f"{e.name} proxy"] for e in engines], "a proxy died"
    assert grown == []
