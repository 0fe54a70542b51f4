def main(context:
def main(context:
