import random
import time


def main(context):
    context.log("log of", context.req.body)
    print("print of", context.req.body)
    time.sleep(random.random() / 50)
    context.error("error of", context.req.body)
    return context.res.text(context.req.body)
