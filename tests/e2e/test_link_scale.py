"""What an edit costs on the link, and how soon it is acknowledged: at 10 and at 1,000 services. The numbers are printed."""

import statistics
import threading
import time

import pytest

from lab.host import starved_ms
from link_world import Controller, Engine, until

EDITS = 500


@pytest.fixture
def world(tmp_path):
    controller = Controller(tmp_path)
    yield controller
    controller.end()


def edits(world, engine, pool, n):
    """Edits of one pool, one after the other: (bytes on the link, milliseconds from PUT to the engine's commit, those without what a busy machine had no time for) each."""
    costs = []
    for number in range(n):
        sent = {}

        def write():
            sent.update(at=time.perf_counter(), starved=starved_ms())
            world.api.patch(f"pool/{pool['uuid']}", replace={"default_server_port": 1000 + number})
        writer = threading.Thread(target=write)
        before = engine.bytes_in
        writer.start()
        came = engine.take()
        ms = (time.perf_counter() - sent["at"]) * 1000  # before ack(): its sum over all objects is of Python, not of ours
        costs.append((engine.bytes_in - before, ms, ms - (starved_ms() - sent["starved"])))
        engine.ack()
        writer.join()
        assert came == [f"put pool/{pool['uuid']}"]
    return costs


def p99(values):
    return statistics.quantiles(values, n=100)[98]


def test_a_thousand_services_move_at_once(world, tmp_path, capsys):
    group = world.api.find("serviceenginegroup", "Default-Group")
    world.api.patch(f"serviceenginegroup/{group['uuid']}", replace={"max_vs_per_se": 1000})
    one, two = (Engine(world, name, tmp_path).enrol(world.token()).up().run() for name in ("se-1", "se-2"))

    def carried(engine):
        return sum(key.startswith("assignment/") for key in list(engine.held))
    for number in range(1000):
        world.service(number)
    until(lambda: carried(one) == 1000, "se-1 carries all", 60)
    one.halt()
    until(lambda: carried(two) > 0, "the first arrives", 45)
    began = time.perf_counter()
    until(lambda: carried(two) == 1000, "all have arrived", 10)
    took = (time.perf_counter() - began) * 1000
    with capsys.disabled():
        print(f"\nlink_move_of_1000_services_ms first_to_last={took:.0f} {two.link()['last_commit_bytes']} bytes")
    two.halt()
    assert took < 2000


def test_an_edit_costs_the_same_at_10_and_at_1000_services(world, tmp_path, capsys):
    group = world.api.find("serviceenginegroup", "Default-Group")
    world.api.patch(f"serviceenginegroup/{group['uuid']}", replace={"max_vs_per_se": 1000})
    engine = Engine(world, "se-1", tmp_path).enrol(world.token()).up()
    made, measured = 0, {}
    for services in (10, 1000):
        def make(begin=made, end=services):
            for number in range(begin, end):
                world.service(number)
        maker = threading.Thread(target=make)
        maker.start()
        engine.serve(lambda: not maker.is_alive() and
                     sum(key.startswith("assignment/") for key in engine.held) == services,
                     f"it holds {services} services", 240)
        made = services
        pool = world.api.find("pool", "pool-3")
        engine.bytes_in = 0
        measured[services] = edits(world, engine, pool, EDITS)
    engine.close()
    with capsys.disabled():
        print()
        for services, costs in measured.items():
            sizes, times, _ = zip(*costs)
            print(f"link_bytes_per_edit services={services} median={statistics.median(sizes):.0f} max={max(sizes)}")
            print(f"link_change_to_ack_ms services={services} median={statistics.median(times):.1f} p99={p99(times):.1f}")
    few, many = ([size for size, _, _ in measured[n]] for n in (10, 1000))
    assert statistics.median(many) <= statistics.median(few) * 1.05
    assert max(many) < 4096
    assert p99([ms for _, _, ms in measured[1000]]) < 100
