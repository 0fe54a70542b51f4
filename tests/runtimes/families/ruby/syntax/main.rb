def broken(
def broken(
