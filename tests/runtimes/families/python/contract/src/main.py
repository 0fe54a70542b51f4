from . import answers, failures, logs, requests

ROUTES = {**answers.ROUTES, **failures.ROUTES, **logs.ROUTES, **requests.ROUTES}


def main(context):
    # Whatever is not a route mirrors the request.
    route = ROUTES.get(context.req.path, requests.mirror)
    if context.req.path == "/raise":
        context.log("called")
        raise ValueError("went wrong")
    return route(context)
