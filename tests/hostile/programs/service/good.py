"""The good function beside the others: it answers and logs its caller's secret."""


def main(context):
    context.log(context.req.body_text)
    return context.res.text(context.req.body_text)
