"""`minifn service`: what it prints is on the page of production, and the tools can read it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from minifn import Config
from minifn.cli import service
from tests.cli.conftest import Here
from tests.docs.blocks import PAGES, blocks

#: The installation of the page.
CONFIG = Config(
    data=Path("/var/lib/minifn/data"),
    functions_domain="fn.example.com",
    proxies=("127.0.0.1", "::1"),
)
SHOWN = {
    "ini": service.systemd(CONFIG, "minifn", "/opt/minifn/.venv/bin/minifn"),
    "nginx": service.nginx(CONFIG, "api.example.com"),
    "caddy": service.caddy(CONFIG, "api.example.com"),
    "dockerfile": re.sub(r"^FROM .*", "FROM python:3.13-slim", service.docker(Config())),
}


@pytest.mark.parametrize("language", SHOWN)
def test_the_page_of_production_shows_what_is_printed(language: str) -> None:
    page = blocks((PAGES / "production.md").read_text())
    assert SHOWN[language] in [block.text for block in page if block.language == language]


def test_the_settings_of_the_environment_are_in_it_and_secrets_are_not(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIFN_BUILD_ENV_PASSTHROUGH", 'A_*,"B C"')
    monkeypatch.setenv("MINIFN_API_KEY", "the-secret-key")
    monkeypatch.setenv("MINIFN_GIT_INSTALLATIONS", "hub=https://user:hidden@example.com")
    unit = here.run("service", "systemd", "--data", "50% off", "--port", "9000").stdout
    assert f'Environment="MINIFN_DATA={here.folder}/50%% off"\n' in unit
    assert "Environment=MINIFN_PORT=9000\n" in unit
    assert r'Environment="MINIFN_BUILD_ENV_PASSTHROUGH=A_*,\"B C\""' in unit
    file = here.run("service", "docker", "--port", "9000").stdout
    assert "EXPOSE 9000" in file
    assert "the-secret-key" not in unit + file
    assert "hidden" not in unit + file
    assert (
        "proxy_pass http://127.0.0.1:9000;" in here.run("service", "nginx", "--port", "9000").stdout
    )
    assert here.run("service", "caddy", "--name", "fn.test").stdout.startswith("fn.test, *.functi")
    assert "'upstart' is not one of" in here.run("service", "upstart", status=2).stderr


def test_systemd_reads_the_unit(here: Here) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not on PATH")
    unit = here.file("minifn.service", here.run("service", "systemd", "--user", "root").stdout)
    done = subprocess.run(
        [analyze, "verify", "--recursive-errors=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    about = [line for line in done.stderr.splitlines() if "minifn" in line]
    assert about == []


def test_nginx_reads_the_server(here: Here) -> None:
    nginx, openssl = (
        shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin"),
        shutil.which("openssl"),
    )
    if nginx is None or openssl is None:
        pytest.skip("nginx or openssl is not on PATH")
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x"]
    files = ["-keyout", str(here.folder / "x.key"), "-out", str(here.folder / "x.pem")]
    subprocess.run([openssl, *made, *files], check=True, capture_output=True)
    server = here.run("service", "nginx", "--name", "x").stdout.replace(
        "/etc/ssl", str(here.folder)
    )
    whole = (
        f"pid {here.folder}/pid; error_log stderr; events {{}} http {{ access_log off; {server} }}"
    )
    config = here.file("nginx.conf", whole)
    done = subprocess.run(
        [nginx, "-t", "-p", str(here.folder), "-c", str(config)],
        capture_output=True,
        text=True,
        check=False,
    )
    # Directories of the system need not be there.
    assert "syntax is ok" in done.stderr


def test_caddy_reads_the_site(here: Here) -> None:
    caddy = shutil.which("caddy")
    if caddy is None:
        pytest.skip("caddy is not on PATH")
    site = here.run("service", "caddy", "--name", "x").stdout
    # The module of a provider is not part of the program.
    file = here.file(
        "Caddyfile", re.sub(r"tls \{.*?\n    \}", "tls internal", site, flags=re.DOTALL)
    )
    done = subprocess.run(
        [caddy, "adapt", "--config", str(file), "--adapter", "caddyfile"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
