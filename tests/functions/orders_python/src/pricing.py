def total_cents(lines):
    return {"total_cents": sum(line["quantity"] * line["cents"] for line in lines)}
