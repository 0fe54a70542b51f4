"""Uses a PyPI package: answers with the QR code of `?text=`, or of the body, as SVG."""

import io
from urllib.parse import unquote_plus

import segno


async def main(context):
    text = (
        context.req.body_text or unquote_plus(context.req.query.get("text", "")) or context.req.url
    )
    picture = io.BytesIO()
    segno.make(text).save(picture, kind="svg", scale=6)
    return context.res.binary(picture.getvalue(), 200, {"content-type": "image/svg+xml"})
