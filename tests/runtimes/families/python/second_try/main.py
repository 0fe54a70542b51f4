import os
from pathlib import Path

marker = Path(os.environ["TMPDIR"]) / "tried"
if not marker.exists():
    marker.touch()
    raise RuntimeError("not yet")


def main(context):
    return context.res.text("now")
