"""A machine: a state folder, and the processes that share it."""
import os
import pathlib
import shutil
import signal
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ROLES = {"listen": ["listen"], "drain": ["drain", "--watch"]}


class Machine:
    """Started and killed by name of what its processes do."""

    def __init__(self, name, home, program, variables):
        self.name, self.program = name, program
        self.folder = home / name
        (self.folder / "jobs").mkdir(parents=True)
        shutil.copy(ROOT / "sluicegate.toml", self.folder)
        shutil.copy(ROOT / "jobs/invoices.toml", self.folder / "jobs")
        self.logs = home / "logs"
        self.logs.mkdir(exist_ok=True)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLUICEGATE_", "AWS_", "PG"))}
        self.environment = kept | {
            "SLUICEGATE_STATE": str(self.folder / "var"),
            "SLUICEGATE_WINDOW": "0 * * * * *",
        } | variables
        self.running = {}
        self.by_themselves = []

    def start(self, role):
        log = open(self.logs / f"{self.name}-{role}.log", "ab")
        self.running[role] = subprocess.Popen(
            [self.program, *ROLES[role]], cwd=self.folder, env=self.environment,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )
        log.close()

    def kill(self, role):
        """SIGKILL. A process that had ended before is a finding."""
        process = self.running.pop(role)
        if process.poll() is not None:
            self.by_themselves.append((role, process.returncode))
        process.kill()
        process.wait()

    def lose_state(self):
        for role in list(self.running):
            self.kill(role)
        shutil.rmtree(self.folder / "var", ignore_errors=True)
        for role in ROLES:
            self.start(role)

    def stop(self):
        """SIGTERM, to which they end with 0."""
        for role, process in self.running.items():
            if process.poll() is not None:
                self.by_themselves.append((role, process.returncode))
            process.send_signal(signal.SIGTERM)
        for role, process in self.running.items():
            if process.wait(timeout=60) != 0:
                self.by_themselves.append((role, process.returncode))
        self.running.clear()

    def end(self):
        """Whatever still runs, when the soak itself was interrupted."""
        for process in self.running.values():
            process.kill()
            process.wait()

    def run(self, *words, errors=subprocess.STDOUT):
        return subprocess.run(
            [self.program, *words], cwd=self.folder, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
        )
