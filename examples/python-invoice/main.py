"""Makes an invoice as PDF of a JSON order, without a library: a PDF is text and a table of offsets.

The order is `{"number": "1", "to": "Ada", "items": [{"text": "Tea", "count": 2, "price": 3.5}]}`.
"""


def main(context):
    try:
        lines, total = read_order(context.req.body_json)
    except (ValueError, KeyError, TypeError):
        told = "The order needs number, to, and items with text, count, price.\n"
        return context.res.text(told, 400)
    context.log("invoice over", f"{total:.2f}")
    headers = {
        "content-type": "application/pdf",
        "content-disposition": 'inline; filename="invoice.pdf"',
    }
    return context.res.binary(make_pdf(lines), 200, headers)


def read_order(order):
    """Return the lines of the invoice, and its total."""
    lines = [f"Invoice {order['number']}", f"To {order['to']}", ""]
    total = 0.0
    for item in order["items"]:
        count, price = int(item["count"]), float(item["price"])
        total += count * price
        lines.append(f"{count} x {item['text']}: {count * price:.2f}")
    return [*lines, "", f"Total: {total:.2f}"], total


def make_pdf(lines):
    """Return a PDF with one page of text."""
    text = "".join(f"({escape(line)}) Tj T*\n" for line in lines)
    content = f"BT /F1 14 Tf 20 TL 60 770 Td\n{text}ET".encode("latin-1", "replace")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    file = b"%PDF-1.4\n"
    table = b"0000000000 65535 f \n"
    for number, body in enumerate(objects, 1):
        table += b"%010d 00000 n \n" % len(file)
        file += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    size = len(objects) + 1
    end = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, len(file))
    return file + b"xref\n0 %d\n" % size + table + end


def escape(text):
    for sign in "\\()":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\r", " ").replace("\n", " ")
