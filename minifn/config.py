"""The settings of one server: a frozen record made from an environment by a pure function.

Each setting is declared once, here; the command line, the page of settings and the errors derive
from the declaration.
"""

import dataclasses
import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from minifn.ids import is_domain, is_id

#: The isolation engines by strength, strongest first; `auto` takes the first whose probe passes.
ENGINES = ("bwrap", "sandlock", "process", "none")

#: Networks of functions, the most restricted first.
NETWORKS = ("none", "isolated", "host")

#: Variables that builds inherit by default: proxies, CA bundles and package indexes.
BUILD_PASSTHROUGH = (
    "http_proxy", "https_proxy", "no_proxy", "all_proxy",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
    "PIP_*", "UV_*", "npm_config_*", "NPM_CONFIG_*", "YARN_*", "COREPACK_*",
    "GOPROXY", "GONOSUMDB", "GOFLAGS", "CARGO_*",
)  # fmt: skip


#: Texts of a yes-or-no setting -> its value.
SWITCH = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}

#: Pattern of an installation's base.
_GIT_BASE = re.compile(r"(/|file:///|https?://[^/])[^\s\x00-\x1f\x7f\"\\?#]*")


#: The API's URL: an origin, perhaps a prefix, and `/v1`.
_ENDPOINT = re.compile(r"https?://[^\s/?#@\x00-\x1f\x7f]+(/[^\s?#\x00-\x1f\x7f]*)?/v1")

VARIABLES_KEY = re.compile(r"[0-9a-fA-F]{64}")


class ConfigError(ValueError):
    """A setting has a bad value; the message is one line that names the setting."""


def _setting(default: Any, help: str, **metadata: Any) -> Any:
    return field(default=default, metadata={"help": help, **metadata})


@dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of `minifn serve`. Each field is the environment variable `MINIFN_<FIELD>`."""

    host: str = _setting("127.0.0.1", "bind address")
    port: int = _setting(8000, "port; 0 = any free one", minimum=0, maximum=65535)
    endpoint: str = _setting(
        "",
        "URL of the API that functions are told, `/v1` included",
        shown="where it is served",
    )
    data: Path = _setting(Path("minifn-data"), "data directory, created with mode 0700")
    project: str = _setting("minifn", "project id that clients send in x-appwrite-project")
    api_key: str = _setting(
        "", "key with every scope; made at first start and kept in admin.key", secret=True
    )
    jwt_secret: str = _setting(
        "", "signs client JWTs; made at first start and kept in jwt.secret", secret=True
    )
    variables_key: str = _setting(
        "",
        "encrypts variables, 64 hexadecimal digits; made at first start and kept in variables.key",
        secret=True,
    )
    sandbox: str = _setting("auto", "isolation engine", choices=("auto", *ENGINES))
    cluster: str = _setting(
        "",
        "functions run on the nodes of a Ray cluster: the address of its head, or `auto`",
        shown="this machine alone",
    )
    cluster_public: bool = _setting(False, "accept a cluster whose head has a public address")
    runtime_paths: tuple[str, ...] = _setting(
        (), "directories with interpreters and compilers, searched before PATH"
    )
    network: str = _setting(
        "host", "most that functions may reach; builds reach what the host does", choices=NETWORKS
    )
    durability: str = _setting(
        "power",
        "answered work survives a power failure, or only a crash of the server",
        choices=("power", "crash"),
    )
    functions_domain: str = _setting(
        "functions.localhost", "domain below which functions have their own"
    )
    origins: tuple[str, ...] = _setting(
        (), "hosts of web pages that may call, besides its own address and localhost; * = all"
    )
    proxies: tuple[str, ...] = _setting(
        (),
        "addresses and networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are"
        " believed",
    )
    timeout_max: int = _setting(900, "largest function timeout, seconds", minimum=1)
    sync_timeout: int = _setting(30, "largest time of a synchronous execution, seconds", minimum=1)
    build_timeout: int = _setting(900, "deadline of a build, seconds", minimum=1)
    build_concurrency: int = _setting(
        os.cpu_count() or 1, "builds at once", minimum=1, shown="CPU count"
    )
    async_concurrency: int = _setting(
        4 * (os.cpu_count() or 1), "queued executions run at once", minimum=1, shown="4 x CPU count"
    )
    queue_limit: int = _setting(
        100_000, "most waiting executions, and most scheduled ones", minimum=1
    )
    queue_bytes: int = _setting(
        1_000_000_000, "most bytes of the bodies of queued executions", minimum=1
    )
    upload_limit: int = _setting(30_000_000, "largest deployment archive, bytes", minimum=1)
    build_limit: int = _setting(4_000_000_000, "largest build, bytes of its files", minimum=1)
    idle_seconds: int = _setting(60, "seconds until an idle worker is stopped", minimum=1)
    template_memory: int = _setting(
        -1,
        "most MiB of templates, from which workers are forked, and of spares; 0 = none, -1 = an"
        " eighth of the memory limit",
        minimum=-1,
    )
    function_workers: int = _setting(32, "most workers of one function", minimum=1)
    tmp: int = _setting(512, "most MB in the /tmp of a function", minimum=1)
    cpus: float = _setting(0.0, "largest specification offered, CPUs; 0 = no limit", minimum=0)
    memory: int = _setting(0, "largest specification offered, MB; 0 = no limit", minimum=0)
    retention_days: int = _setting(14, "days until an execution is deleted; 0 = keep", minimum=0)
    retention_count: int = _setting(
        0, "newest executions kept of each function; 0 = keep all", minimum=0
    )
    builds_kept: int = _setting(
        5,
        "newest inactive builds kept of each function; 0 = keep all",
        minimum=0,
    )
    git_installations: tuple[str, ...] = _setting(
        (), "NAME=BASE pairs: places of repositories to deploy from", password=True
    )
    templates: str = _setting(
        "", "directory or URL of repositories with more templates", password=True
    )
    git_poll: int = _setting(60, "seconds between looks at connected repositories", minimum=1)
    build_env_passthrough: tuple[str, ...] = _setting(
        BUILD_PASSTHROUGH,
        "names (globs) of server variables that builds get",
        shown="proxy, CA and package-index names",
    )
    access_log: bool = _setting(False, "write a line for every request, with its duration")

    def __post_init__(self) -> None:
        """Check each field against its declared rule; raises ConfigError."""
        object.__setattr__(self, "data", Path(self.data).absolute())
        for item in dataclasses.fields(self):
            check(item, getattr(self, item.name))
        object.__setattr__(self, "functions_domain", self.functions_domain.lower())
        if not is_domain(f"id.{self.functions_domain}"):
            raise ConfigError(
                "MINIFN_FUNCTIONS_DOMAIN must be a domain without a port, not"
                f" {self.functions_domain!r}"
            )
        if self.endpoint and not (_ENDPOINT.fullmatch(self.endpoint) and has_host(self.endpoint)):
            raise ConfigError(
                "MINIFN_ENDPOINT must be a URL such as http://127.0.0.1:8000/v1, not "
                f"{self.endpoint!r}"
            )
        if self.variables_key and not VARIABLES_KEY.fullmatch(self.variables_key):
            raise ConfigError("MINIFN_VARIABLES_KEY must be 64 hexadecimal digits")
        for proxy in self.proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError as exc:
                raise ConfigError(
                    f"MINIFN_PROXIES must be IP addresses and networks, not {proxy!r}: {exc}"
                ) from None
        for pair in self.git_installations:
            name, _, base = pair.partition("=")
            if not name or not base:
                raise ConfigError(f"MINIFN_GIT_INSTALLATIONS must be NAME=BASE pairs, not {pair!r}")
            if not is_id(name):
                raise ConfigError(
                    f"MINIFN_GIT_INSTALLATIONS: {name!r} cannot be the name of an installation"
                )
            check_git_base(base, f"MINIFN_GIT_INSTALLATIONS: the base of {name!r}")
        if self.templates:
            check_git_base(self.templates, "MINIFN_TEMPLATES")

    @classmethod
    def from_env(cls, environ: Mapping[str, str], **flags: Any) -> "Config":
        """Return the settings of `environ`, overridden by the `flags` that are not None.

        Raises ConfigError.
        """
        values: dict[str, Any] = {
            item.name: parse(item, environ[variable(item)])
            for item in dataclasses.fields(cls)
            if environ.get(variable(item), "") != ""
        }
        values.update({name: value for name, value in flags.items() if value is not None})
        return cls(**values)


def is_weaker(engine: str, other: str) -> bool:
    """Tell whether an engine isolates less than another; an unknown one is not weaker."""
    return engine in ENGINES and other in ENGINES and ENGINES.index(engine) > ENGINES.index(other)


def variable(item: "dataclasses.Field[Any]") -> str:
    """Return the environment variable of a setting."""
    return f"MINIFN_{item.name.upper()}"


def parse(item: "dataclasses.Field[Any]", text: str) -> Any:
    """Return `text` as the setting's type. Raises ConfigError."""
    default = item.default
    try:
        if isinstance(default, tuple):
            return tuple(part.strip() for part in text.split(",") if part.strip())
        if isinstance(default, bool):
            return SWITCH[text.lower()]
        kind: Callable[[str], Any] = Path if isinstance(default, Path) else type(default)
        return kind(text)
    except (ValueError, KeyError):
        wanted = {bool: "true or false", int: "a whole number"}.get(type(default), "a number")
        raise ConfigError(f"{variable(item)} must be {wanted}, not {text!r}") from None


def check_git_base(base: str, name: str) -> None:
    """Raise ConfigError for a bad base of repositories, and hide it: it may have a password."""
    if not _GIT_BASE.fullmatch(base):
        raise ConfigError(
            f"{name} must be an absolute path, or begin with file:///, https:// or http://"
        )


def check(item: "dataclasses.Field[Any]", value: Any) -> None:
    """Raise ConfigError unless `value` follows the setting's declared rule."""
    rule = item.metadata
    if "choices" in rule and value not in rule["choices"]:
        raise ConfigError(
            f"{variable(item)} must be one of {', '.join(rule['choices'])}, not {value!r}"
        )
    if "minimum" in rule and not value >= rule["minimum"]:
        raise ConfigError(f"{variable(item)} must be at least {rule['minimum']}, not {value!r}")
    if "maximum" in rule and value > rule["maximum"]:
        raise ConfigError(f"{variable(item)} must be at most {rule['maximum']}, not {value!r}")


def has_host(url: str) -> bool:
    """Tell whether a URL has a host, and a port only if it is one."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def authority(host: str, port: int) -> str:
    """Return `host:port` for clients on this machine; a wildcard becomes loopback."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{reached}]:{port}" if ":" in reached else f"{reached}:{port}"
