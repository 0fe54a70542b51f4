import beside
import top_level
from function.src import beside as absolute

from . import parts
from .parts.deep import NAME


def main(context):
    return context.res.json([beside.NAME, absolute.NAME, top_level.NAME, parts.NAME, NAME])
