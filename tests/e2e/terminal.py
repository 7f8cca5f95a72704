"""A terminal with a program in it, by tmux: what a user types, and what he sees."""

import os
import pathlib
import re
import subprocess
import time

ENDED = re.compile(r"^ended with (\d+)$")
PROMPT = re.compile(r"^\[\S+:controller\]: \S*> ?$")


class Terminal:
    """Until `close()`."""

    count = 0

    def __init__(self, words, environment, width=140, height=45):
        Terminal.count += 1
        self.socket = f"spanwire-test-{os.getpid()}-{Terminal.count}"
        settings = [f"{name}={value}" for name, value in environment.items() if value is not None]
        unset = [word for name, value in environment.items() if value is None for word in ("-u", name)]
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", width, "-y", height, "-s", "t",
                  # tmux misses the end of one program in ten: it is told.
                  "sh", "-c", 'trap : INT; "$@"; printf "\\nended with %d\\n" $?; exec cat', "sh", "env", *unset, *settings, *words)
        self.tmux("set-option", "-t", "t", "history-limit", "20000")

    def tmux(self, *words, check=True):
        done = subprocess.run(["tmux", "-u", "-L", self.socket, *map(str, words)], text=True, capture_output=True,
                              timeout=60, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def close(self):
        self.tmux("kill-server", check=False)
        # tmux leaves its socket.
        path = pathlib.Path(os.environ.get("TMUX_TMPDIR", "/tmp")) / f"tmux-{os.getuid()}" / self.socket
        path.unlink(missing_ok=True)

    def screen(self):
        """All lines that were ever there, wrapped ones joined."""
        lines = [line.rstrip() for line in self.tmux("capture-pane", "-p", "-J", "-S", "-", "-t", "t").split("\n")]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def wait(self, condition, what, limit=60):
        end = time.monotonic() + limit
        while True:
            lines = self.screen()
            if condition(lines):
                return lines
            assert time.monotonic() < end, f"no {what} within {limit} s:\n" + "\n".join(lines[-45:])
            time.sleep(0.02)

    def type(self, text):
        self.tmux("send-keys", "-t", "t", "-l", "--", text)

    def key(self, *names):
        self.tmux("send-keys", "-t", "t", *names)

    def sees(self, text, limit=60):
        """Waits for `text` somewhere in the newest screen; all lines."""
        return self.wait(lambda lines: any(text in line for line in lines[-45:]), repr(text), limit)

    def prompts(self, limit=60):
        """Waits until a line can be typed."""
        return self.wait(lambda lines: lines and PROMPT.match(lines[-1]), "prompt", limit)

    def run(self, line, limit=60):
        """Types a line; what was answered until the next prompt, as lines."""
        before = len(self.prompts(limit))
        # tmux takes a ; at the end of a word for its own.
        self.tmux("send-keys", "-t", "t", "-l", "--", line, ";", "send-keys", "-t", "t", "Enter")
        lines = self.wait(lambda lines: len(lines) > before and PROMPT.match(lines[-1]), f"prompt after {line!r}", limit)
        return lines[before:-1]

    def prompt(self):
        return self.prompts()[-1]

    def exit_status(self, limit=60):
        """Of the program, once it has ended."""
        lines = self.wait(lambda lines: lines and ENDED.match(lines[-1]), "end", limit)
        return int(ENDED.match(lines[-1])[1])
