LINE = "x" * 1000


def main(context):
    for number in range(10_000):
        context.log(f"{number:06d} {LINE}")
    return context.res.text("flooded")
