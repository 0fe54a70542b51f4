"""`minifn service`: configurations of systemd, nginx, Caddy and Docker for this installation."""

import dataclasses
import getpass
import os
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import click

from minifn.cli.options import FIELDS, OPTIONS, WITH_PASSWORDS, configuration, settings
from minifn.config import Config, authority, variable

#: Settings that a configuration may need.
SETTINGS = ("data", "host", "port", "functions_domain", "endpoint", "upload_limit", "sync_timeout")
#: Directory whose folders systemd makes for a service.
STATE = Path("/var/lib")
#: Bytes of a request besides its archive.
FORM_BYTES = 2_000_000
#: Least seconds that a proxy waits for an answer.
PROXY_SECONDS = 120

SYSTEMD = """\
[Unit]
Description=minifn
After=network-online.target
Wants=network-online.target

[Service]
User={user}
{state}{environment}
ExecStart={program} serve
Restart=on-failure
Delegate=yes
LimitNOFILE=65536
TimeoutStopSec=30

[Install]
WantedBy=multi-user.target
"""
NGINX = """\
server {{
    listen 443 ssl;
    server_name {name} *.{domain};
    ssl_certificate     /etc/ssl/{name}.pem;
    ssl_certificate_key /etc/ssl/{name}.key;

    client_max_body_size {megabytes}m;
    proxy_request_buffering off;
    proxy_buffering off;

    location / {{
        proxy_pass http://{address};
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_read_timeout {seconds}s;
    }}
}}
"""
CADDY = """\
{name}, *.{domain} {{
    tls {{
        dns PROVIDER TOKEN
    }}
    reverse_proxy {address}
}}
"""
DOCKER = """\
FROM python:{python}-slim
RUN apt-get update && apt-get install -y --no-install-recommends nodejs npm git \\
    && rm -rf /var/lib/apt/lists/*
COPY . /src
RUN pip install --no-cache-dir '/src[sandbox]'
VOLUME /data
ENV MINIFN_DATA=/data MINIFN_HOST=0.0.0.0{environment}
EXPOSE {port}
CMD ["minifn", "serve"]
"""
DOCKER_LINES = """\
# In a checkout of minifn:
#   docker build -t minifn -f Dockerfile .
#   docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined \\
#       -v fn:/data -p 127.0.0.1:{port}:{port} minifn
"""


@click.command()
@click.argument("kind", type=click.Choice(("systemd", "nginx", "caddy", "docker")))
@click.option("--user", metavar="NAME", help="user of the service  [default: you; minifn for root]")
@click.option(
    "--name", metavar="HOST", help="host of the API  [default: that of --endpoint, or this machine]"
)
@settings(SETTINGS)
def service(kind: str, user: str | None, name: str | None, **flags: str | None) -> None:
    """Print a configuration for systemd, nginx, Caddy or Docker.

    It serves this installation with these settings and those of the environment, but for secret
    ones. The page on production says where the file goes.
    """
    config = configuration(**flags)
    proxied = dataclasses.replace(config, proxies=config.proxies or ("127.0.0.1", "::1"))
    host = name or urlsplit(config.endpoint).hostname or socket.getfqdn()
    printers: dict[str, Callable[[], str]] = {
        "systemd": lambda: systemd(proxied, user or default_user(), program()),
        "nginx": lambda: nginx(config, host),
        "caddy": lambda: caddy(config, host),
        "docker": lambda: DOCKER_LINES.format(port=config.port) + docker(config),
    }
    click.echo(printers[kind](), nl=False)


def systemd(config: Config, user: str, program: str) -> str:
    """Return a unit."""
    state = ""
    if config.data.is_relative_to(STATE) and config.data != STATE:
        folder = config.data.relative_to(STATE).parts[0]
        state = f"StateDirectory={folder}\nStateDirectoryMode=0700\n"
    pairs = {"MINIFN_DATA": str(config.data), **changed(config)}
    lines = [f"Environment={quoted(f'{key}={value}')}" for key, value in pairs.items()]
    return SYSTEMD.format(
        user=user, state=state, environment="\n".join(lines), program=quoted(program)
    )


def nginx(config: Config, name: str) -> str:
    """Return a server of nginx."""
    return NGINX.format(
        name=name,
        domain=config.functions_domain,
        address=authority(config.host, config.port),
        megabytes=-(-(config.upload_limit + FORM_BYTES) // 10**6),
        seconds=max(PROXY_SECONDS, config.sync_timeout + 30),
    )


def caddy(config: Config, name: str) -> str:
    """Return a site of Caddy."""
    address = authority(config.host, config.port)
    return CADDY.format(name=name, domain=config.functions_domain, address=address)


def docker(config: Config) -> str:
    """Return a Dockerfile."""
    inside = ("MINIFN_DATA", "MINIFN_HOST", "MINIFN_RUNTIME_PATHS")
    pairs = {key: value for key, value in changed(config).items() if key not in inside}
    more = "".join(f' \\\n    {key}="{_escaped(value)}"' for key, value in pairs.items())
    python = "{}.{}".format(*sys.version_info)
    return DOCKER.format(python=python, environment=more, port=config.port)


def changed(config: Config) -> dict[str, str]:
    """Return the variables of the settings that are not the default, except data and secrets."""
    return {
        variable(item): _text(getattr(config, name))
        for name, item in FIELDS.items()
        if name in OPTIONS
        and name not in (*WITH_PASSWORDS, "data")
        and getattr(config, name) != item.default
    }


def quoted(text: str) -> str:
    """Return a word of a unit (systemd.syntax(7)): a % is doubled, quotes are for spaces."""
    text = text.replace("%", "%%")
    if not any(char.isspace() or char in "\"'\\" for char in text):
        return text
    return f'"{_escaped(text)}"'


def default_user() -> str:
    """Return the user who should run the service."""
    if os.geteuid() == 0:
        return "minifn"
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A user without a name, as in a container.
        return str(os.geteuid())


def program() -> str:
    """Return the path of the command `minifn` of this installation."""
    beside = Path(sys.executable).with_name("minifn")
    return str(beside) if beside.exists() else shutil.which("minifn") or str(beside)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
