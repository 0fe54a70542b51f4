"""The control group of a process: its directory, and the texts of the files in it.

The launcher uses this module too, so it imports only the standard library.
"""

# The launcher is a small process that does not import pathlib.
# ruff: noqa: PTH123


def own_group(cgroup: str, mountinfo: str, controller: str = "") -> str:
    """Return the directory of the group that a process is in, "" for none.

    `cgroup` and `mountinfo` are texts of /proc/PID. `controller` names the controller of a version
    1 hierarchy; without it the group is one of version 2.
    """
    groups = (line.split(":", 2) for line in cgroup.splitlines())
    inside = next((path for _, names, path in groups if controller in names.split(",")), "")
    for line in mountinfo.splitlines():
        fields, _, kind = line.partition(" - ")
        root, place = fields.split()[3:5]
        filesystem, *_, options = kind.split(" ")
        wanted = filesystem == "cgroup" if controller else filesystem == "cgroup2"
        if controller and controller not in options.split(","):
            continue
        if wanted and inside and (inside + "/").startswith(root.rstrip("/") + "/"):
            return (place + inside.removeprefix(root.rstrip("/"))).rstrip("/")
    return ""


def read(path: str) -> str:
    """Return a file's text, "" when there is none."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""
