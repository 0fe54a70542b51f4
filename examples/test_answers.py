"""Tests of functions, with the fixture that minifn brings along for pytest: `pytest examples`."""

import hashlib
import hmac
import shutil

import pytest


@pytest.mark.parametrize(
    "folder",
    [
        "python-hello",
        pytest.param(
            "node-hello",
            marks=pytest.mark.skipif(
                shutil.which("node") is None, reason="node is not on PATH: install Node.js"
            ),
        ),
    ],
)
def test_hello(minifn, folder):
    hello = minifn.deploy(folder)
    answer = hello.run("Ada", path="/greet", method="PUT")
    assert answer.json() == {"message": "Hello, Ada!", "method": "PUT", "path": "/greet"}
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.logs == "greeting Ada\n"
    assert hello.run(path="/?name=Bob").json()["message"] == "Hello, Bob!"


def test_webhook(minifn):
    webhook = minifn.deploy("python-webhook", secrets={"WEBHOOK_SECRET": "sesame"})
    body = '{"repository": {"full_name": "ada/site"}}'
    digest = hmac.new(b"sesame", body.encode(), hashlib.sha256).hexdigest()
    headers = {"x-hub-signature-256": f"sha256={digest}", "x-github-event": "push"}
    assert webhook.run(body, headers=headers).json() == {"event": "push", "repository": "ada/site"}
    assert webhook.run(f"{body} ", headers=headers).status == 401


def test_invoice(minifn):
    invoice = minifn.deploy("python-invoice")
    order = {"number": "7", "to": "Ada", "items": [{"text": "Tea", "count": 2, "price": 3.5}]}
    answer = invoice.run(json=order)
    assert answer.content.startswith(b"%PDF-1.4\n")
    assert answer.logs == "invoice over 7.00\n"
    assert invoice.run(json={"number": "7"}).status == 400
