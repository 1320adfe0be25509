"""The servers that pages need; ../conftest.py tells how a page says so."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def postgresql() -> Iterator[None]:
    """A PostgreSQL of our own; the environment says where it is, so that ``psycopg.connect()`` finds it."""
    with tempfile.TemporaryDirectory(prefix="postgresql-") as home, pytest.MonkeyPatch.context() as patch:
        if owner := _owner():
            shutil.chown(home, **owner)
        _run(home, "initdb", "--pgdata=data", "--username=pages", "--auth=trust", "--encoding=UTF8", "--no-locale")
        # At no port, which somebody else might take, but a socket in a directory of ours; and never flushing to disk.
        _run(home, "pg_ctl", "start", "--wait", "--pgdata=data", "--log=log", f"--options=-k {home} -h '' -F")
        try:
            for name in [name for name in os.environ if name.startswith("PG")]:
                patch.delenv(name)
            for name, value in {"PGHOST": home, "PGUSER": "pages", "PGDATABASE": "postgres"}.items():
                patch.setenv(name, value)
            yield
        finally:
            _run(home, "pg_ctl", "stop", "--pgdata=data", "--mode=immediate")


def _run(home: str, *command: str) -> None:
    owner = _owner()
    options: dict[str, Any] = {**owner, "extra_groups": []} if owner else {}
    with open(os.path.join(home, "output"), "w+b") as output:  # no pipe: the server would keep it open
        done = subprocess.run(command, cwd=home, stdout=output, stderr=output, check=False, **options)
        output.seek(0)
        assert done.returncode == 0, f"{' '.join(command)}: {output.read().decode()}"


def _owner() -> dict[str, int]:
    """Return who is to run the server, if not we: PostgreSQL refuses to run as root."""
    if not hasattr(os, "geteuid") or os.geteuid():
        return {}
    import pwd

    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid}
