"""A small shop: a PyPI package, sibling modules imported both ways, a file beside the module."""

from pathlib import Path

import inflection
import receipts

from .pricing import total_cents

GREETING = (Path(__file__).parent / "greeting.txt").read_text()
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452") + bytes(range(256))


def main(context):
    req, res = context.req, context.res
    if req.path == "/":
        return res.text(GREETING, 200, {"content-type": "text/html"})
    if req.path == "/receipt.png":
        return res.binary(PNG, 200, {"content-type": "image/png"})
    if req.path == "/orders" and req.method == "POST":
        lines = req.body_json["lines"]
        context.log("order", {"lines": len(lines)})
        return res.json(
            {
                "title": inflection.titleize(req.body_json["name"]),
                "receipt": receipts.number(7),
                **total_cents(lines),
            },
            201,
        )
    if req.path == "/old":
        return res.redirect("/orders", 302)
    return res.json({"error": f"nothing at {req.path}"}, 404)
