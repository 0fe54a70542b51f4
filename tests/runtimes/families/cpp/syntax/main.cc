def main(context:
