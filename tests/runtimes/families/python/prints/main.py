print("loaded")
calls = 0


def main(context):
    global calls
    calls += 1
    return context.res.text(str(calls))
