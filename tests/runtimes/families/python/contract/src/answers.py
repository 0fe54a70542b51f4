MIB = 1024 * 1024


def many_headers(context):
    count, length = map(int, context.req.query_string.split(","))
    return context.res.text("x", 200, {f"x-{number}": '"' * length for number in range(count)})


HELPERS = {
    "/text": lambda res: res.text("héllo"),
    "/text-201": lambda res: res.text("made", 201, {"X-Kept": "yes"}),
    "/json": lambda res: res.json(
        {"text": "é", "list": ["a", None, True], "empty": []}, 201, {"Content-Type": "text/html"}
    ),
    "/binary": lambda res: res.binary(bytes(range(256))),
    "/empty": lambda res: res.empty(),
    "/send": lambda res: res.send("sent", 203),
    "/redirect": lambda res: res.redirect("https://example.com/a?b=c"),
    "/redirect-302": lambda res: res.redirect("/there", 302, {"x-why": "moved"}),
    "/html": lambda res: res.text("<p>", 200, {"Content-Type": "Text/HTML"}),
    "/charset": lambda res: res.text("x", 200, {"content-type": "text/html; charset=ISO-8859-1"}),
    "/multipart": lambda res: res.text(
        "x", 200, {"content-type": "multipart/form-data; boundary=AbC"}
    ),
    "/hidden": lambda res: res.text("x", 200, {"X-Open-Runtimes-Secret": "1", "x-seen": "2"}),
    "/cookies": lambda res: res.text("x", 200, {"set-cookie": ["a=1", "b=2"]}),
    "/number": lambda res: res.text("x", 200, {"x-number": 5}),
    "/injection": lambda res: res.text("x", 200, {"x-bad": "a\r\nx-evil: 1", "x-good": "1"}),
    "/handmade": lambda res: {"body": "made", "statusCode": 202},
    "/other-keys": lambda res: {"other": 1},
    "/status-text": lambda res: {"body": "x", "statusCode": "201"},
    "/not-modified": lambda res: res.text("dropped", 304),
    "/twice": lambda res: [res.text("first"), res.text("second")][1],
    "/nothing": lambda res: None,
    "/returns-text": lambda res: "text",
    "/returns-number": lambda res: 5,
    "/status-99": lambda res: res.text("x", 99),
    "/large": lambda res: res.binary(bytes(20 * MIB)),
    "/too-large": lambda res: res.binary(bytes(20 * MIB + 1)),
}


def route(helper):
    return lambda context: helper(context.res)


ROUTES = {
    "/many-headers": many_headers,
    **{path: route(helper) for path, helper in HELPERS.items()},
}
