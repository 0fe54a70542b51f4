async def main(context):
    return context.res.json({"hello": context.req.body_json["name"]})
