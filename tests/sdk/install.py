"""Install the real Appwrite SDKs side by side into `.sdk/`, each version in a directory of its own.

Run as `python tests/sdk/install.py`; what is there already is left alone. Python SDKs come by pip, Node's by npm.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2] / ".sdk"
PYTHON_VERSIONS = ("6.1.0", "27.0.0")
NODE_VERSIONS = ("14.2.0", "27.1.0")


def place(language: str, version: str) -> Path:
    """Where a version of the SDK lies: for Python a folder for PYTHONPATH, for Node the parent of node_modules."""
    return ROOT / f"{language}-{version}"


def command(language: str, version: str, target: Path) -> list[str]:
    """Return the argv that installs a version of the SDK into `target`."""
    if language == "python":
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        return [*pip, "--target", str(target), f"appwrite=={version}"]
    npm = shutil.which("npm") or "npm"
    return [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(target), f"node-appwrite@{version}"]


def install(language: str, version: str) -> None:
    """Install a version of the SDK unless it is there. Raises CalledProcessError."""
    target = place(language, version)
    if target.exists():
        return
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    subprocess.run(command(language, version, partial), check=True)
    partial.rename(target)


def main() -> None:
    """Install every version; without npm only the Python ones."""
    for version in PYTHON_VERSIONS:
        install("python", version)
    if shutil.which("npm") is None:
        print("npm is not on PATH: the Node SDKs are left out")
        return
    for version in NODE_VERSIONS:
        install("node", version)


if __name__ == "__main__":
    main()
