"""The Debian packages, installed in a tree of their own from what apt has configured."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess

import pytest

from lab import until
from lab.controller import Controller
from lab.engine import Engine
from lab.host import command

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HERE = pathlib.Path(__file__).resolve().parent
PACKAGES = ("spanwire-controller", "spanwire-engine", "spanwire")
PROGRAMS = {"spanwire-controller": ("usr/sbin/spanwire-controller", 8), "spanwire-engine": ("usr/sbin/spanwire-engine", 8),
            "spanwire": ("usr/bin/spanwire", 1)}


@pytest.fixture(scope="module")
def debs():
    subprocess.run([ROOT / "tools" / "deb"], check=True, stdout=subprocess.DEVNULL)
    return [next((ROOT / "build/deb").glob(f"{name}_*.deb")) for name in PACKAGES]


def sources():
    """What apt is configured to take packages from on this machine."""
    apt = pathlib.Path("/etc/apt")
    files = [apt / "sources.list", *(apt / "sources.list.d").glob("*.list"), *(apt / "sources.list.d").glob("*.sources")]
    return [file for file in files if file.exists() and file.read_text().strip()]


@pytest.fixture(scope="module")
def tree(debs, tmp_path_factory):
    """A minimal Debian with the packages in it, installed by apt: so their dependencies are complete."""
    root = tmp_path_factory.mktemp("debian") / "root"
    root.parent.parent.chmod(0o755)
    root.parent.chmod(0o755)
    release = next(line.split("=")[1] for line in pathlib.Path("/etc/os-release").read_text().splitlines()
                   if line.startswith("VERSION_CODENAME="))
    words = [f"--aptopt={file}" for file in sorted(pathlib.Path("/etc/apt/apt.conf.d").iterdir())
             if re.search(r"^\s*Acquire::", file.read_text(), re.M)]
    copy = " ".join(str(deb) for deb in debs)
    done = subprocess.run(  # what it mounts goes with it, however it ends
        ["unshare", "--mount", "mmdebstrap", "--variant=apt", "--mode=root", *words, f"--customize-hook=copy-in {copy} /tmp",
         '--customize-hook=chroot "$1" sh -c "apt-get install -y --no-install-recommends /tmp/*.deb"',
         release, root, *sources()], text=True, capture_output=True, timeout=1500)
    assert done.returncode == 0, done.stderr[-4000:]
    try:
        yield root
    finally:
        shutil.rmtree(root.parent, ignore_errors=True)


def inside(root, *words, check=True):
    return command("chroot", root, *words, check=check, timeout=600)


def test_what_is_said_twice_is_the_same():
    """Debian wants version and build dependencies in files of its own."""
    meson = re.search(r"version: '([^']+)'", (ROOT / "meson.build").read_text()).group(1)
    assert re.match(r"spanwire \(([^)]+)\)", (ROOT / "debian/changelog").read_text()).group(1) == meson
    control = (ROOT / "debian/control").read_text()
    wanted = re.search(r"Build-Depends: (.*?)\n\S", control, re.S).group(1)
    wanted = {re.sub(r" \(.*", "", word.strip()) for word in wanted.split(",")}
    listed = {line.split()[1] for line in (ROOT / "tools/packages.txt").read_text().splitlines()
              if line.startswith("build ")}
    assert wanted == listed | {"debhelper-compat", "scdoc"}
    # A container has of the same packages the same program, with the same rights.
    for name in ("controller", "engine"):
        said = (ROOT / f"deploy/Containerfile.{name}").read_text()
        unit = (ROOT / f"deploy/systemd/spanwire-{name}.service.in").read_text()
        rights = {w.lower() for line in re.findall(r"^CapabilityBoundingSet=(.*)$", unit, re.M) for w in line.split()}
        assert {f"cap_{w}" for line in re.findall(r"--cap-add (\S+)", said) for w in line.split(",")} == rights
        copied = set(re.findall(r"build/deb/([a-z-]+)_", said))
        assert f"spanwire-{name}" in copied <= set(re.findall(r"^Package: (.*)$", control, re.M))
        program, *options = json.loads(re.search(r"^ENTRYPOINT (.*)$", said, re.M).group(1))
        assert program[1:] == PROGRAMS[f"spanwire-{name}"][0] and options == ["--config", f"/etc/spanwire/{name}.conf"]
        assert (ROOT / f"deploy/{name}.conf").exists() and re.findall("^USER (.*)$", said, re.M) == re.findall("^User=(.*)$", unit, re.M)


def test_the_packages_are_as_debian_wants_them(debs):
    done = command("lintian", "--allow-root", "--fail-on", "error,warning", *debs, check=False, timeout=600)
    assert done.returncode == 0 and not done.stdout, done.stdout + done.stderr


def test_manuals_name_every_option():
    for program, (_, section) in PROGRAMS.items():
        said = command(ROOT / "build/bin" / program, "--help").stdout
        manual = (ROOT / f"deploy/man/{program}.{section}.scd").read_text()
        options = set(re.findall(r"--[a-z-]+", said.split("\n\n")[1] if program == "spanwire" else said))
        assert options - {"--no"} and {o for o in options if f"*{o}*" not in manual and o not in ("--config",)} <= set()
    assert set(re.findall(r"--[a-z]+", command(ROOT / "build/bin/spanwire", "--help").stdout)) <= \
        set(command(ROOT / "build/bin/spanwire", "--candidates", "spanwire --").stdout.split()) | {"--usage"}


def test_units_are_legal_and_hardened(tree):
    limits = {"spanwire-controller": 2.0, "spanwire-engine": 3.0}
    for name, limit in limits.items():
        unit = tree / f"lib/systemd/system/{name}.service"
        done = command("systemd-analyze", "verify", "--man=no", f"--root={tree}", unit.name, check=False)
        ours = [line for line in (done.stderr + done.stdout).splitlines() if name in line]
        assert ours == []
        said = command("systemd-analyze", "security", "--offline=true", unit, check=False).stdout
        exposure = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", said).group(1))
        print(f"measured: exposure of {name}: {exposure}")
        assert exposure <= limit


def test_installed_programs_say_who_they_are(tree):
    for program, (path, section) in PROGRAMS.items():
        assert inside(tree, f"/{path}", "--version").stdout.startswith(f"{program} ")
        assert (tree / f"usr/share/man/man{section}/{program}.{section}.gz").exists()
    status = (tree / "etc/passwd").read_text()
    assert "spanwire-controller:" in status and re.search(r"^spanwire:", status, re.M)
    # The controller starts at boot at once; the engine, when it was told its controller.
    wants = tree / "etc/systemd/system/multi-user.target.wants"
    assert (wants / "spanwire-controller.service").is_symlink() and (wants / "spanwire-engine.service").is_symlink()


class Notified:
    """The end of a service manager to which a unit says that it is ready."""

    def __init__(self, path):
        self.path = str(path)
        path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)
        self.socket.settimeout(60)

    def ready(self):
        return self.socket.recv(100) == b"READY=1"


def test_units_run_as_they_stand_and_leave_cleanly(lab, tree, debs):
    """Controller and engine with exactly the rights that their units give them; then upgrade, removal, purge."""
    def unit(host, name):
        manager = Notified(lab.dir / f"{name}.notify")
        process = host.start("env", f"NOTIFY_SOCKET={manager.path}", "/usr/bin/python3", "-B", HERE / "unit_run.py", tree,
                             tree / f"lib/systemd/system/{name}.service", log=name)
        try:
            assert manager.ready()
        except TimeoutError:
            raise AssertionError(process.tail()) from None
        return process

    web, client = lab.server(), lab.client()
    controller = lab._host(Controller(lab, "controller", lab.mgmt, 10))
    controller.process = unit(controller, "spanwire-controller")
    password = tree / "var/lib/spanwire/initial-admin-password"
    controller.password = controller.api.password = password.read_text().strip()
    assert password.stat().st_mode & 0o777 == 0o600
    until(controller.answers, "the controller answers")
    lab._controller = controller

    engine = lab._host(Engine(lab, "engine1", 21))
    lab.engines.append(engine)
    token = tree / "etc/spanwire/token"
    token.touch(0o600)
    token.write_text(controller.token() + "\n")
    config = tree / "etc/spanwire/engine.conf"
    config.write_text(config.read_text().replace(
        "# controller = https://192.0.2.1:9444", f"controller = {controller.engine_url}\nname = engine1"))
    engine.process = unit(engine, "spanwire-engine")
    engine.wait_connected()
    vs = lab.virtual_service(pool=[web], clone=lab.clone_profile([lab.sensor()])).wait_servers_up(1)
    assert client.get(vs.url).text == "web1\n"
    until(lambda: vs.clone_sum("sent") > 0, "copies are sent")
    nobody = int(re.search(r"^spanwire:x:(\d+)", (tree / "etc/passwd").read_text(), re.M).group(1))
    assert re.search(rf"^Uid:\t{nobody}\t", pathlib.Path(f"/proc/{engine.proxy}/status").read_text(), re.M)
    assert re.search(r"^CapEff:\t0+$", pathlib.Path(f"/proc/{controller.process.pid}/status").read_text(), re.M)
    hung = engine.proxy
    engine.signal_proxy(signal.SIGSTOP)
    until(lambda: engine.proxy not in (0, hung), "the warden may end a proxy that hangs, and start another")

    def answers():
        try:
            return client.fresh_get(vs.url).ok
        except OSError:     # what the old proxy held is reset
            return False
    until(answers, "it answers again")
    token.unlink()
    assert engine.stop() == 0
    engine.process = unit(engine, "spanwire-engine")     # joined once: the token is not needed again
    engine.wait_connected()
    assert engine.stop() == 0 and controller.stop() == 0

    # The next version: the configuration stays as it was edited, and what was kept stays too.
    before = config.read_text()
    for deb in debs:
        shutil.copy(deb, tree / "tmp" / deb.name)
    inside(tree, "dpkg", "-i", "--force-confdef", *(f"/tmp/{deb.name}" for deb in debs))
    assert config.read_text() == before and password.exists()
    inside(tree, "dpkg", "-r", *PACKAGES)
    assert config.exists() and password.exists() and not (tree / "usr/sbin/spanwire-engine").exists()
    inside(tree, "dpkg", "-P", *PACKAGES)
    left = [path for path in (tree / "etc/spanwire", tree / "var/lib/spanwire", tree / "var/lib/spanwire-engine",
                              *tree.glob("etc/systemd/system/*/spanwire*"), *tree.glob("usr/share/*/*spanwire*"))
            if path.exists() or path.is_symlink()]
    assert left == []


def test_install_below_a_prefix(tmp_path):
    """`make install` puts programs, units, manuals where the prefix says."""
    command("make", "-C", ROOT, "install", f"DESTDIR={tmp_path}", "PREFIX=/opt/spanwire", timeout=1500)
    prefix = tmp_path / "opt/spanwire"
    unit = (prefix / "lib/systemd/system/spanwire-engine.service").read_text()
    assert "ExecStart=/opt/spanwire/sbin/spanwire-engine --config /opt/spanwire/etc/spanwire/engine.conf" in unit
    assert command(prefix / "bin/spanwire", "--version").stdout.startswith("spanwire ")
    assert (prefix / "etc/spanwire/controller.conf").exists() and (prefix / "share/man/man1/spanwire.1").exists()


def test_the_journal_gets_fields(tmp_path):
    """Of journald itself: a line's event and its pairs are what `journalctl` finds it by."""
    (tmp_path / "run").mkdir()
    script = f"""
        mount --bind {tmp_path}/run /run
        mkdir -p /run/systemd/journal /run/log/journal
        test -s /etc/machine-id || {{ echo 0123456789abcdef0123456789abcdef >/run/id; mount --bind /run/id /etc/machine-id; }}
        /lib/systemd/systemd-journald & journald=$!
        trap 'kill $journald' EXIT
        for n in $(seq 1200); do test -S /run/systemd/journal/stdout && break; sleep 0.05; done
        # The service manager says which stream is the journal's.
        systemd-cat sh -c 'JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec {ROOT}/build/bin/spanwire-engine \\
            --controller https://127.0.0.1:1 --state /nowhere/state'
        for n in $(seq 1200); do
            found=$(journalctl -D /run/log/journal --no-pager -o json SPANWIRE_EVENT=cannot_start)
            test -n "$found" && break
            sleep 0.05
        done
        echo "$found" """
    done = command("unshare", "-m", "-n", "sh", "-c", script, timeout=600)
    entry = json.loads(done.stdout.splitlines()[-1])
    assert entry["SYSLOG_IDENTIFIER"] == "spanwire-warden" and entry["PRIORITY"] == "3"
    assert "/nowhere/state" in entry["SPANWIRE_REASON"]
