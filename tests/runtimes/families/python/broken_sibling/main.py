import sibling  # noqa: F401


def main(context):
    return context.res.empty()
