"""Runs a program as its unit file says, where there is no systemd to do it.

    unit_run.py ROOT UNIT

Takes of the unit: ExecStart, User, capabilities, NoNewPrivileges, StateDirectory, ProtectSystem, ProtectProc, ProcSubset,
PrivateTmp, PrivateDevices, BindPaths, RestrictAddressFamilies, SystemCallFilter, MemoryDenyWriteExecute, UMask, LimitNOFILE. ROOT is the tree in which
the packages are installed. What it does not know it refuses, so that a new line of a unit is not passed over in silence.
"""

import ctypes
import errno
import os
import pathlib
import resource
import socket
import subprocess
import sys

import seccomp

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 1, 32, 4096, 16384, 1 << 18
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_MDWE = 24, 38, 65
CAPABILITIES = {name: number for number, name in enumerate(
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
    "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE "
    "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE".split())}

# Without a manager, or without a kernel of one's own, they change nothing that the program could notice.
NOTHING_TO_DO = {
    "Type", "NotifyAccess", "Restart", "RestartSec", "RestartPreventExitStatus", "KillMode", "StateDirectoryMode", "Group",
    "LimitMEMLOCK", "AmbientCapabilities", "DeviceAllow", "PrivateIPC", "PrivateMounts", "PrivateUsers", "ProtectHome", "ProtectClock",
    "ProtectHostname", "ProtectControlGroups", "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables",
    "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "LockPersonality", "RemoveIPC", "SystemCallArchitectures"}


def check(result):
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def mount(source, target, kind=None, flags=0, data=None):
    check(libc.mount(*(None if w is None else str(w).encode() for w in (source, target, kind)), flags,
                     None if data is None else data.encode()))


def read_unit(path):
    """[Service] as {name: [values]}."""
    settings, section = {}, ""
    for line in path.read_text().splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and line and not line.startswith("#"):
            name, value = line.split("=", 1)
            settings.setdefault(name, []).append(value)
    return settings


def system_calls(words):
    """Names that the list allows or, after ~, takes away; groups as systemd has them."""
    allowed = set()
    for word in words:
        takes, names = word.startswith("~"), word.lstrip("~").split()
        for name in names:
            members = {name}
            if name.startswith("@"):
                out = subprocess.run(["systemd-analyze", "syscall-filter", name], text=True, capture_output=True, check=True).stdout
                lines = [line.strip() for line in out.splitlines()[1:]]
                members = {m for line in lines if line and line[0] not in "#@" for m in line.split()}
                for group in [line for line in lines if line.startswith("@")]:
                    members |= system_calls([group])
            allowed = allowed - members if takes else allowed | members
    return allowed


def filter_calls(words, families):
    allowed = system_calls(words) | system_calls(["@default"])
    f = seccomp.SyscallFilter(seccomp.KILL_PROCESS)
    for name in sorted(allowed - {"socket"}):
        try:
            f.add_rule(seccomp.ALLOW, name)
        except (RuntimeError, OSError, ValueError):
            pass        # not of this architecture
    for family in families:
        f.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, getattr(socket, family)))
    f.add_rule(seccomp.ERRNO(errno.EAFNOSUPPORT), "socket", seccomp.Arg(0, seccomp.EQ, 40))     # AF_VSOCK, for one
    f.load()


def enter_root(root, s):
    check(libc.unshare(CLONE_NEWNS))
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    mount(root, root, None, MS_BIND)
    if s.pop("ProtectSystem") != ["strict"]:
        raise SystemExit("ProtectSystem: only strict is known")
    mount(None, root, None, MS_REMOUNT | MS_BIND | MS_RDONLY)
    options = [{"invisible": "hidepid=invisible"}[v] for v in s.pop("ProtectProc", [])]
    options += [{"pid": "subset=pid"}[v] for v in s.pop("ProcSubset", [])]
    mount("proc", root / "proc", "proc", 0, ",".join(options))
    mount("sysfs", root / "sys", "sysfs")
    mount("tmpfs", root / "run", "tmpfs")
    s.pop("PrivateTmp")
    mount("tmpfs", root / "tmp", "tmpfs")
    s.pop("PrivateDevices")
    mount("tmpfs", root / "dev", "tmpfs", 0, "mode=755")
    for device in ("null", "zero", "urandom", "random"):
        (root / "dev" / device).touch()
        mount(f"/dev/{device}", root / "dev" / device, None, MS_BIND)
    for path in map(pathlib.Path, s.pop("BindPaths", [])):
        source = pathlib.Path(str(path).removeprefix("-"))
        if source.exists() or not str(path).startswith("-"):
            place = root / source.relative_to("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
            mount(source, place, None, MS_BIND)
    if "NOTIFY_SOCKET" in os.environ:
        (root / "run" / "notify").touch()
        mount(os.environ["NOTIFY_SOCKET"], root / "run" / "notify", None, MS_BIND)


def main():
    root, unit = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    s = read_unit(unit)
    argv = s.pop("ExecStart")[0].split()
    user = s.pop("User", ["root"])[0]
    account = next(line.split(":") for line in (root / "etc/passwd").read_text().splitlines()
                   if line.startswith(f"{user}:"))
    uid, gid = int(account[2]), int(account[3])
    [state] = s.pop("StateDirectory")
    folder = root / "var/lib" / state
    folder.mkdir(mode=0o700, exist_ok=True)
    os.chown(folder, uid, gid)
    enter_root(root, s)
    mount(folder, folder, None, MS_BIND)
    mount(None, folder, None, MS_REMOUNT | MS_BIND)

    keep = {word.removeprefix("CAP_") for value in s.pop("CapabilityBoundingSet") for word in value.split()}
    calls, families = s.pop("SystemCallFilter"), s.pop("RestrictAddressFamilies")[0].split()
    no_new, mdwe = s.pop("NoNewPrivileges"), s.pop("MemoryDenyWriteExecute", [])
    os.umask(int(s.pop("UMask")[0], 8))
    files = int(s.pop("LimitNOFILE")[0])
    limit = min(files, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    if set(s) - NOTHING_TO_DO:
        raise SystemExit(f"{unit}: unit_run does not know {sorted(set(s) - NOTHING_TO_DO)}")

    os.chroot(root)
    os.chdir("/")
    for name, number in CAPABILITIES.items():
        if name not in keep:
            check(libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0))
    if uid:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    have = next(line for line in open("/proc/self/status") if line.startswith("CapPrm:"))
    mask = sum(1 << CAPABILITIES[name] for name in keep) & int(have.split()[1], 16)
    words = (ctypes.c_uint32 * 6)(mask & 0xffffffff, mask & 0xffffffff, 0, mask >> 32, mask >> 32, 0)
    if not uid:
        check(libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), words))
    if no_new == ["yes"]:
        check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if mdwe == ["yes"]:
        libc.prctl(PR_SET_MDWE, 1, 0, 0, 0)     # since Linux 6.3
    environment = {"PATH": "/usr/sbin:/usr/bin", "NOTIFY_SOCKET": "/run/notify"}
    filter_calls(calls, families)
    os.execve(argv[0], argv, environment)


if __name__ == "__main__":
    main()
