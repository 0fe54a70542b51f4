def other(context):
    return context.res.empty()
