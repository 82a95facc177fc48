"""A PostgreSQL server for the tests of studies."""

import os
import shutil
import signal
import subprocess
from importlib.util import find_spec

import pytest


@pytest.fixture
def postgres(tmp_path, monkeypatch):
    if not (find_spec("psycopg") and shutil.which("initdb") and shutil.which("postgres")):
        pytest.skip("needs psycopg, and initdb and postgres on PATH")
    user = {"user": "postgres"} if os.geteuid() == 0 else {}  # the server refuses to run as root
    folder = tmp_path / "pg"
    folder.mkdir()
    if user:
        for place in (folder, *(one for one in folder.parents if one.is_relative_to(tmp_path.parents[1]))):
            place.chmod(0o755)
        shutil.chown(folder, "postgres")
    secret = tmp_path / "password"
    secret.write_text("secret\n")
    secret.chmod(0o644)
    words = ["initdb", "-D", folder / "data", "-U", "tfm", "-A", "scram-sha-256", f"--pwfile={secret}"]
    subprocess.run(words, check=True, capture_output=True, cwd="/", **user)
    port = 50000 + os.getpid() % 10000
    options = ["-p", str(port), "-k", str(folder), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    server = subprocess.Popen(
        ["postgres", "-D", folder / "data", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd="/",
        **user,
    )
    for line in server.stderr:
        if b"ready to accept" in line:
            break
    monkeypatch.setenv("PGPASSWORD", "secret")
    yield f"postgresql://tfm@127.0.0.1:{port}/postgres"
    server.send_signal(signal.SIGINT)  # fast shutdown: open connections are closed
    server.communicate()
