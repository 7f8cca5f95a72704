"""What the README tells a user to type does what it says."""

import pathlib
import re

from lab import until

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def commands(heading):
    """The code block below this heading."""
    text = (ROOT / "README.md").read_text()
    return re.search(rf"^#+ {re.escape(heading)}\n.*?^```\n(.*?)^```", text, re.M | re.S).group(1)


def test_the_first_virtual_service_by_curl(lab):
    web, ids, client = [lab.server(), lab.server()], lab.sensor(number=7), lab.client()
    lab.engine()
    (lab.dir / "initial-admin-password").write_text(lab.controller.password + "\n")
    login = re.search(r"^C=.*?/token\n", (ROOT / "README.md").read_text(), re.M | re.S).group(0)
    script = login + commands("The first virtual service, by curl")
    script = re.sub(r"10\.0\.([123])\.", r"198.18.\1.", script)
    script = script.replace("CONTROLLER", lab.controller.eth.ip)
    assert "/login" in script and "virtualservice" in script
    done = lab.controller.run("bash", "-euo", "pipefail", "-c", f"cd {lab.dir}\n{script}")
    assert '"error"' not in done.stdout and '"token"' in done.stdout
    tried = re.search(r"`(curl -k https://[^`]*)`", (ROOT / "README.md").read_text()).group(1).replace("10.0.1.", "198.18.1.")
    for words in (["http://198.18.1.100/"], tried.split()[1:]):
        until(lambda: client.run("curl", "-s", "--max-time", 1, *words, check=False).stdout in ("web1\n", "web2\n"), "it answers")
    until(lambda: any(c.client == client.ip4 and c.server in (web[0].ip4, web[1].ip4) and b"GET /" in c.sent
                      for c in ids.conversations()), "the request is copied")
