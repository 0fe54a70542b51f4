"""Install the real Appwrite SDKs and CLIs into `.sdk/`, each version in its own directory.

Run `python tests/sdk/install.py`; it installs only missing versions. Python SDKs come by pip, the
others by npm.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2] / ".sdk"
PYTHON_VERSIONS = ("6.1.0", "9.0.3", "22.2.0", "27.0.0")
NODE_VERSIONS = ("14.2.0", "20.3.0", "27.1.0")
WEB_VERSIONS = ("16.1.0", "27.0.0", "28.0.0")
CLI_VERSIONS = ("6.2.3", "12.0.1")
PACKAGES = {"python": "appwrite", "node": "node-appwrite", "web": "appwrite", "cli": "appwrite-cli"}


def place(client: str, version: str) -> Path:
    """Return the folder of a version: for PYTHONPATH, or the parent of node_modules."""
    return ROOT / f"{client}-{version}"


def command(client: str, version: str, target: Path) -> list[str]:
    """Return the argv that installs a version of a client into `target`."""
    if client == "python":
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        return [*pip, "--target", str(target), f"{PACKAGES[client]}=={version}"]
    npm = shutil.which("npm") or "npm"
    return [
        npm,
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
        "--prefix",
        str(target),
        f"{PACKAGES[client]}@{version}",
    ]


def install(client: str, version: str) -> None:
    """Install a version of a client if it is missing. Raises CalledProcessError."""
    target = place(client, version)
    if target.exists():
        return
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    subprocess.run(command(client, version, partial), check=True)
    partial.rename(target)


def main() -> None:
    """Install every version; without npm only the Python ones."""
    for version in PYTHON_VERSIONS:
        install("python", version)
    if shutil.which("npm") is None:
        print("npm is not on PATH: the Node SDKs and the CLIs are left out")
        return
    for client, versions in (("node", NODE_VERSIONS), ("web", WEB_VERSIONS), ("cli", CLI_VERSIONS)):
        for version in versions:
            install(client, version)


if __name__ == "__main__":
    main()
