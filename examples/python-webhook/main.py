"""Takes webhooks in GitHub's format: the body is signed with the variable WEBHOOK_SECRET."""

import hashlib
import hmac
import json
import os

SIGNATURE = "x-hub-signature-256"


def main(context):
    secret = os.environ.get("WEBHOOK_SECRET", "")
    if not secret:
        context.error("Set the function's variable WEBHOOK_SECRET to the secret of the webhook.")
        return context.res.text("The webhook is not set up.\n", 500)
    # The signature is that of the bytes: parsing and writing JSON again would change them.
    body = context.req.body_binary
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    given = context.req.headers.get(SIGNATURE, "")
    if not hmac.compare_digest(given.encode(), f"sha256={digest}".encode()):
        return context.res.text("The signature is wrong.\n", 401)
    try:
        repository = json.loads(body)["repository"]["full_name"]
    except (ValueError, KeyError, TypeError):
        return context.res.text("The body names no repository.\n", 400)
    event = context.req.headers.get("x-github-event", "")
    context.log(event, "of", repository)
    return context.res.json({"event": event, "repository": repository})
