"""A PostgreSQL server of a test's own on the loopback, which can be stopped and started again."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path


def programs() -> Path | None:
    """The folder of the server's programs; None where it is not installed."""
    found = shutil.which("initdb") or next(Path("/usr/lib/postgresql").glob("*/bin/initdb"), None)
    return None if found is None else Path(found).resolve().parent


class PostgresqlServer:
    """A server with one empty database, whose user is `diet`.

    Args:
        folder: for everything that it writes.
        password: of the user; without one everybody on the loopback is trusted.
        settings: of the server, as `max_connections`.
    """

    def __init__(self, folder: Path, password: str | None = None, **settings: object):
        found = programs()
        assert found is not None
        self.programs, self.folder, self.settings = found, folder, settings
        # The server refuses to run as root.
        self.user = pwd.getpwnam("nobody").pw_name if os.getuid() == 0 else None
        if self.user is not None:
            shutil.chown(folder, self.user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"postgresql://diet@127.0.0.1:{self.port}/postgres"
        self.server: subprocess.Popen | None = None
        if not (folder / "data" / "PG_VERSION").is_file():
            self._create(password)

    def _create(self, password: str | None) -> None:
        folder = self.folder
        words = [self.programs / "initdb", "-D", folder / "data", "-U", "diet", "--no-sync"]
        words += ["--locale=C", "-A", "trust" if password is None else "scram-sha-256"]
        if password is not None:
            (folder / "password").write_text(password)
            if self.user is not None:
                shutil.chown(folder / "password", self.user)
            words.append(f"--pwfile={folder / 'password'}")
        subprocess.run(words, check=True, cwd=folder, **self._quiet())

    def _quiet(self):
        nothing = subprocess.DEVNULL
        return {"user": self.user, "stdout": nothing, "stderr": nothing}

    def start(self) -> None:
        """Starts it, and waits until it takes connections."""
        words = [self.programs / "postgres", "-D", self.folder / "data", "-k", self.folder, "-F"]
        words += ["-h", "127.0.0.1", "-p", str(self.port)]
        words += [word for pair in self.settings.items() for word in ("-c", "{}={}".format(*pair))]
        self.server = subprocess.Popen(words, cwd=self.folder, **self._quiet())
        ready = [self.programs / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port), "-q"]
        deadline = time.monotonic() + 60
        while subprocess.run(ready, check=False).returncode:
            assert time.monotonic() < deadline, "PostgreSQL did not start"
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Its fast shutdown, which ends all connections; SIGQUIT is that of a crash."""
        assert self.server is not None
        self.server.send_signal(how)
        self.server.wait(60)

    def restart(self, seconds: float = 2, how: signal.Signals = signal.SIGINT) -> None:
        """Is away for some seconds, and comes back."""
        self.stop(how)
        time.sleep(seconds)
        self.start()


@contextlib.contextmanager
def postgresql_server(password: str | None = None, **settings: object) -> Iterator:
    """A running one, which ends with the block."""
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        server = PostgresqlServer(Path(folder), password, **settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()
