import os
import pathlib
import subprocess
import time


def main(context):
    getattr(Greed, context.req.path[1:])()
    return context.res.text("nothing stopped it")


class Greed:
    @staticmethod
    def files():
        for _ in range(5000):
            os.open("/dev/null", os.O_RDONLY)

    @staticmethod
    def processes():
        for _ in range(1000):
            subprocess.Popen(["sleep", "5"])

    @staticmethod
    def disk():
        for number in range(200):
            pathlib.Path(os.environ["TMPDIR"], str(number)).write_bytes(b"x" * 2**20)
        # An engine may check the size only now and then.
        time.sleep(10)
