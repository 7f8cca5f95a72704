"""The controller is lost with its disk: a new one, an export, and the engines are back without having joined again."""

import shutil

from lab import until


def test_a_fresh_controller_takes_over_the_engines(lab):
    web, buyer = [lab.server(), lab.server()], lab.client()
    engines = [lab.engine() for _ in range(2)]
    shop = lab.virtual_service(pool=web, name="shop").wait_servers_up(2)
    owner = until(shop.owner, "an engine has the service")
    controller, api = lab.controller, lab.api
    identity = {engine.name: api.find("serviceengine", engine.name)["uuid"] for engine in engines}
    ca = (controller.data / "ca.pem").read_text()
    asked = {"full_system": "true", "passphrase": "in case of fire"}
    text = api.send("GET", "configuration/export", params=asked).text

    with buyer.load(shop.url, 200) as load:
        until(lambda: load.answered > 100, "requests are answered")
        controller.stop()
        shutil.rmtree(controller.data)
        controller.data.mkdir()
        # Nobody remembers the old password here.
        controller.password_file.write_text("another password\n")
        controller.api.password, remembered = "another password", controller.api.password
        controller.begin()
        assert api.find("virtualservice", "shop") is None and (controller.data / "ca.pem").read_text() != ca
        answer = api.send("POST", "configuration/import", params=asked, data=text)
        assert answer.status_code == 200, answer.text
        controller.api.password = remembered
        until(lambda: controller.answers() and (controller.data / "ca.pem").read_text() == ca, "it is the old one")
        until(lambda: all(engine.connected() for engine in engines), "the engines are back")
        assert {engine.name: api.find("serviceengine", engine.name)["uuid"] for engine in engines} == identity
        shop.wait_up()
        assert until(shop.owner, "it says who has it") is owner
        # And what is changed here arrives there. Who is disabled ends what he began; who is removed does not.
        mark = len(load.outcomes)
        servers = lab.pool_body(web)
        servers[1]["enabled"] = False
        shop.patch_pool(replace={"servers": servers})
        until(lambda: {o.body for o in load.snapshot()[-100:]} == {web[0].name} and len(load.outcomes) > mark + 100,
              "the engines follow the new controller")
    print(f"measured: the controller was lost and restored: {load}")
    assert not load.failed
    events = [e["event_id"] for e in api.get("analytics/logs", type=2, page_size=1000)["results"]]
    assert "CREATED_SE" not in events
