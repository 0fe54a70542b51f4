"""Tries to gain more rights from the key and the JWT that a function gets."""

import base64
import json
import os
import urllib.error
import urllib.request

ENDPOINT = os.environ["APPWRITE_FUNCTION_API_ENDPOINT"]
OWN = os.environ["APPWRITE_FUNCTION_ID"]
PROJECT = os.environ["APPWRITE_FUNCTION_PROJECT_ID"]


def ask(method, path, body=None, **headers):
    """Return the status and the JSON of an answer of the API."""
    given = {"x-appwrite-project": PROJECT, "content-type": "application/json"}
    given.update((name.replace("_", "-"), value) for name, value in headers.items())
    request = urllib.request.Request(
        ENDPOINT + path, json.dumps(body or {}).encode(), given, method=method
    )
    if method == "GET":
        request.data = None
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            request, timeout=20
        ) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def ends(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=="))["exp"]


def seen(key, jwt):
    """Return the status of every attack by name."""
    wrapped = base64.b64encode(json.dumps({"id": "x", "secret": jwt}).encode()).decode()
    functions = (
        "functions",
        "proxy/rules",
        "project/variables",
        f"functions/{OWN}/variables",
        f"functions/{OWN}/executions",
    )
    found = {f"read {path}": ask("GET", f"/{path}", x_appwrite_key=key)[0] for path in functions}
    found["write a function"] = ask(
        "POST", "/functions", {"functionId": "more"}, x_appwrite_key=key
    )[0]
    found["widen its own scopes"] = ask(
        "PUT", f"/functions/{OWN}", {"name": "x", "scopes": ["functions.write"]}, x_appwrite_key=key
    )[0]
    found["emit an event"] = ask(
        "POST", "/events", {"event": "orders.1.create"}, x_appwrite_key=key
    )[0]
    found["another prefix"] = ask(
        "GET", "/functions", x_appwrite_key="dynamic_" + key.partition("_")[2]
    )[0]
    found["the JWT as a key"] = ask("GET", "/functions", x_appwrite_key=f"ephemeral_{jwt}")[0]
    found["the key as a JWT"] = ask("GET", "/account", x_appwrite_jwt=key.partition("_")[2])[0]
    found["the key as a session"] = ask(
        "GET", "/account", x_appwrite_session=key.partition("_")[2]
    )[0]
    found["both at once"] = ask("GET", "/account", x_appwrite_key=key, x_appwrite_jwt=jwt)[0]
    found["a JWT of the JWT"] = ask(
        "POST", "/account/jwts", {"duration": 3600}, x_appwrite_jwt=jwt
    )[0]
    found["the JWT as a session"] = ask("GET", "/account", x_appwrite_session=wrapped)[0]
    found["the JWT as a cookie"] = ask("GET", "/account", cookie=f"a_session_{PROJECT}={wrapped}")[
        0
    ]
    found["the operator's cookie"] = ask(
        "GET", "/account", cookie=f"a_session_console={jwt}", x_appwrite_mode="admin"
    )[0]
    found["what it is for"] = ask("GET", "/account", x_appwrite_jwt=jwt)[0]
    return found


def main(context):
    headers = context.req.headers
    key, jwt = headers["x-appwrite-key"], headers["x-appwrite-user-jwt"]
    if context.req.path == "/again":
        # An execution queued with the first call's JWT: when does its JWT expire?
        context.log(ends(jwt) if jwt else 0)
        return context.res.empty()
    status, execution = ask(
        "POST",
        f"/functions/{OWN}/executions",
        {"async": True, "path": "/again"},
        x_appwrite_jwt=jwt,
    )
    return context.res.json(
        {"seen": seen(key, jwt), "queued": [status, execution.get("$id", "")], "ends": ends(jwt)}
    )
