"""The control group of a process: the directory that stands for it, and the texts in it.

Also used by the launcher, which has the standard library alone.
"""

# A small process, which does without pathlib.
# ruff: noqa: PTH123


def own_group(cgroup: str, mountinfo: str, controller: str = "") -> str:
    """Return the directory of the group that a process is in, "" for none.

    `cgroup` and `mountinfo` are texts of /proc/PID. `controller` names a hierarchy of version 1 by
    what it controls; without it the group is one of version 2.
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
