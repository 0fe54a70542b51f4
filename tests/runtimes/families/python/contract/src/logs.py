import threading


def values(context):
    context.log("text", 1, [1, {"a": "b"}], True)
    context.error("broken", {"code": 5})
    context.log()
    return context.res.empty()


def order(context):
    for number in range(100):
        context.log("log", number)
        context.error("error", number)
    return context.res.empty()


def native(context):
    context.log("before")
    print("printed", 1)
    print("printed 2")
    context.log("after")
    return context.res.empty()


def native_raise(context):
    print("printed")
    raise ValueError("went wrong")


def long(context):
    context.log("x" * 8000)
    context.log("y" * 8001)
    return context.res.empty()


def flood(context):
    for _ in range(1400):
        context.log("z" * 8000)
    return context.res.empty()


def endless(context):
    while True:
        context.log("z" * 8000)


def late(context):
    threading.Timer(0.02, lambda: context.log("late")).start()
    return context.res.empty()


ROUTES = {
    "/log-values": values,
    "/log-order": order,
    "/log-native": native,
    "/native-raise": native_raise,
    "/log-long": long,
    "/log-flood": flood,
    "/log-endless": endless,
    "/log-late": late,
}
