def number(sequence):
    return f"R-{sequence:05d}"
