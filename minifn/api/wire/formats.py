"""Shapes of answers: the contract of one Appwrite version, chosen by `x-appwrite-response-format`.

Each SDK sends the version it was generated for. Appwrite converts answers step by step
(`src/Appwrite/Utopia/Response/Filters`); here an answer is made once, with every key, and the keys
that a version lacks are then removed.
"""

import enum
import functools
from typing import Any


class Shape(enum.IntEnum):
    """Shapes by age.

    FULL has the keys of all versions: for 2.0 to 2.7, and for clients that name no version.
    """

    V0_7 = 0
    V0_8 = 1
    V1_3 = 3
    V1_4 = 4
    V1_5 = 5
    V1_6 = 6
    V1_8 = 8
    V1_9 = 9
    FULL = 100


#: (first version as (major, minor), the shape of its clients), newest first.
_SHAPES = (
    ((1, 10), Shape.FULL),
    ((1, 9), Shape.V1_9),
    ((1, 7), Shape.V1_8),
    ((1, 6), Shape.V1_6),
    ((1, 5), Shape.V1_5),
    ((1, 4), Shape.V1_4),
    ((0, 12), Shape.V1_3),
    ((0, 8), Shape.V0_8),
    ((0, 0), Shape.V0_7),
)

_DATES_1_8 = (
    "deploymentCreatedAt",
    "latestDeploymentId",
    "latestDeploymentCreatedAt",
    "latestDeploymentStatus",
)
_NEW_1_9 = (
    "buildSpecification",
    "runtimeSpecification",
    "providerBranches",
    "providerPaths",
    "deploymentRetention",
)
_NEW_2_0 = ("description", "interval", "emailEnabled")
_SCHEDULE_1_3 = ("scheduleNext", "schedulePrevious")
_RULES_1_8 = (
    "type", "trigger", "redirectUrl", "redirectStatusCode", "deploymentId",
    "deploymentResourceType", "deploymentResourceId", "deploymentVcsProviderBranch", "protocol",
)  # fmt: skip

#: model -> shape -> the keys that the shape lacks.
_ABSENT: dict[str, dict[Shape, tuple[str, ...]]] = {
    "function": {
        Shape.FULL: _SCHEDULE_1_3,
        Shape.V1_9: ("deployment", "specification", *_SCHEDULE_1_3, *_NEW_2_0),
        Shape.V1_8: ("deployment", *_NEW_1_9, *_SCHEDULE_1_3, *_NEW_2_0),
        **dict.fromkeys(
            (Shape.V1_6, Shape.V1_5, Shape.V1_4),
            ("deploymentId", *_DATES_1_8, *_NEW_1_9, *_SCHEDULE_1_3, *_NEW_2_0),
        ),
        Shape.V1_3: ("deploymentId", *_DATES_1_8, *_NEW_1_9, *_NEW_2_0),
    },
    "deployment": {
        Shape.FULL: ("buildStdout", "buildStderr"),
        Shape.V1_9: ("size", "buildTime", "buildStdout", "buildStderr"),
        Shape.V1_8: ("size", "buildTime", "buildStdout", "buildStderr"),
        **dict.fromkeys(
            (Shape.V1_6, Shape.V1_5, Shape.V1_4),
            (
                "sourceSize", "buildDuration", "totalSize", "screenshotLight", "screenshotDark",
                "buildStdout", "buildStderr",
            ),
        ),
        Shape.V1_3: (
            "sourceSize", "buildDuration", "totalSize", "screenshotLight", "screenshotDark",
            "buildLogs", "buildSize",
        ),
    },
    "execution": {
        Shape.FULL: (),
        Shape.V1_9: (),
        Shape.V1_8: ("resourceId", "resourceType"),
        Shape.V1_6: ("resourceId", "resourceType", "deploymentId"),
        **dict.fromkeys(
            (Shape.V1_5, Shape.V1_4, Shape.V1_3),
            ("resourceId", "resourceType", "deploymentId", "scheduledAt"),
        ),
    },
    "variable": {
        Shape.FULL: (),
        **dict.fromkeys((Shape.V1_9, Shape.V1_8), ("description",)),
        **dict.fromkeys((Shape.V1_6, Shape.V1_5, Shape.V1_4), ("description", "secret")),
        Shape.V1_3: ("description", "secret", "resourceId"),
    },
    "runtime": {
        **dict.fromkeys((Shape.FULL, Shape.V1_9, Shape.V1_8, Shape.V1_6), ()),
        **dict.fromkeys((Shape.V1_5, Shape.V1_4, Shape.V1_3), ("key",)),
    },
    "rule": {
        Shape.FULL: (),
        **dict.fromkeys((Shape.V1_9, Shape.V1_8), ("resourceType", "resourceId", "protocol")),
        **dict.fromkeys((Shape.V1_6, Shape.V1_5, Shape.V1_4, Shape.V1_3), _RULES_1_8),
    },
}  # fmt: skip


@functools.lru_cache(maxsize=64)
def shape_of(header: str) -> Shape:
    """Return the shape for a value of `x-appwrite-response-format`.

    It is FULL when the value is not a version.
    """
    parts = header.strip().split(".")
    if not all(part.isascii() and part.isdecimal() and len(part) < 6 for part in parts):
        return Shape.FULL
    version = (int(parts[0]), int(parts[1]) if len(parts) > 1 else 0)
    return next(shape for first, shape in _SHAPES if version >= first)


def cut(model: str, answer: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """Remove the keys that a shape lacks from `answer` and return it.

    Shapes of 0.x are cut like 1.3, from which they are made.
    """
    for key in _ABSENT[model][max(shape, Shape.V1_3)]:
        answer.pop(key, None)
    return answer
