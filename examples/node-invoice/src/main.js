// Makes an invoice as PDF of a JSON order, without a library: a PDF is text and a table of offsets.
// The order is {"number": "1", "to": "Ada", "items": [{"text": "Tea", "count": 2, "price": 3.5}]}.

export default async ({ req, res, log }) => {
  let invoice;
  try {
    invoice = readOrder(req.bodyJson);
  } catch {
    return res.text("The order needs number, to, and items with text, count, price.\n", 400);
  }
  log("invoice over", invoice.total.toFixed(2));
  return res.binary(makePdf(invoice.lines), 200, {
    "content-type": "application/pdf",
    "content-disposition": 'inline; filename="invoice.pdf"',
  });
};

/** Returns the lines of the invoice, and its total. Throws TypeError for another order. */
function readOrder({ number, to, items }) {
  let total = 0;
  const rows = items.map(({ text, count, price }) => {
    const sum = count * price;
    if (text === undefined || !Number.isFinite(sum)) throw new TypeError("a number is missing");
    total += sum;
    return `${count} x ${text}: ${sum.toFixed(2)}`;
  });
  if (number === undefined || to === undefined) throw new TypeError("number and to are missing");
  const lines = [`Invoice ${number}`, `To ${to}`, "", ...rows, "", `Total: ${total.toFixed(2)}`];
  return { lines, total };
}

/** Returns a PDF with one page of text. Every character is one byte, as in the font's encoding. */
function makePdf(lines) {
  const text = lines.map((line) => `(${escape(line)}) Tj T*\n`).join("");
  const content = `BT /F1 14 Tf 20 TL 60 770 Td\n${text}ET`;
  const objects = [
    "<< /Type /Catalog /Pages 2 0 R >>",
    "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
    "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R" +
      " /Resources << /Font << /F1 5 0 R >> >> >>",
    `<< /Length ${content.length} >>\nstream\n${content}\nendstream`,
    "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
  ];
  let file = "%PDF-1.4\n";
  let table = "0000000000 65535 f \n";
  objects.forEach((body, index) => {
    table += `${String(file.length).padStart(10, "0")} 00000 n \n`;
    file += `${index + 1} 0 obj\n${body}\nendobj\n`;
  });
  const size = objects.length + 1;
  const end = `trailer\n<< /Size ${size} /Root 1 0 R >>\nstartxref\n${file.length}\n%%EOF\n`;
  return Buffer.from(`${file}xref\n0 ${size}\n${table}${end}`, "latin1");
}

function escape(text) {
  return text
    .replace(/[\\()]/g, "\\$&")
    .replace(/[\r\n]/g, " ")
    .replace(/[^\x00-\xff]/g, "?");
}
