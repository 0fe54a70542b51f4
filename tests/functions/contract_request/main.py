import os


def main(context):
    req = context.req
    if req.path == "/body-json":
        return context.res.json({"parsed": req.body_json})
    if req.path == "/binary":
        return context.res.binary(req.body_binary)
    if req.path == "/environment":
        return context.res.json(dict(os.environ))
    return context.res.json(
        {
            "method": req.method,
            "scheme": req.scheme,
            "host": req.host,
            "port": req.port,
            "path": req.path,
            "queryString": req.query_string,
            "query": req.query,
            "url": req.url,
            "headers": req.headers,
            "body": req.body,
            "bodyText": req.body_text,
            "bodyRaw": req.body_raw,
            "bodyBytes": len(req.body_binary),
        }
    )
