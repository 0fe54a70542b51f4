"""The function under test, and the differences between versions of the package."""

import os
from pathlib import Path

from appwrite.services.functions import Functions
from client import Service, connect, response_format

FORMAT = response_format()
#: Half of the methods and fields of deployments have other names before 1.7.
OLD = FORMAT < (1, 7)
RUNTIME, ENTRYPOINT = os.environ["RUNTIME"], os.environ["ENTRYPOINT"]
SMALL, LARGE, CHUNK = (
    Path(os.environ[name]) for name in ("CODE_SMALL", "CODE_LARGE", "CODE_CHUNK")
)
ID = os.environ["FUNCTION"]
SIZE, ACTIVE = ("size", "deployment") if OLD else ("sourceSize", "deploymentId")

functions = Service(Functions(connect(key=os.environ["KEY"])))


def shape(answer, present, absent):
    """Check an answer's keys in this version's format; clients of newer versions get all."""
    assert set(present.split()) <= set(answer), set(present.split()) - set(answer)
    if FORMAT < (1, 10):
        assert not set(absent.split()) & set(answer), set(absent.split()) & set(answer)


def names_of_versions(old, new):
    """Return the keys of this version, and those of other versions."""
    return (old, new) if OLD else (new, old)
