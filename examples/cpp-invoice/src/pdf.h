#pragma once

#include <cstdio>
#include <string>
#include <vector>

namespace pdf {

/// Returns a line as a text of a PDF in WinAnsiEncoding, which has one byte a character.
inline std::string text(const std::string &line) {
  std::string result = "(";
  for (std::size_t at = 0; at < line.size(); ++at) {
    const auto byte = static_cast<unsigned char>(line[at]);
    if (byte == '\\' || byte == '(' || byte == ')')
      result += '\\';
    if ((byte == 0xc2 || byte == 0xc3) && at + 1 < line.size())
      // UTF-8 for U+0080 to U+00FF.
      result += static_cast<char>((byte & 3) << 6 | (line[++at] & 0x3f));
    else if (byte >= 0xc0)
      result += '?';
    else if (byte < 0x80)
      result += byte < ' ' ? ' ' : line[at];
  }
  return result + ")";
}

/// Returns a PDF with one page of text.
inline std::string make(const std::vector<std::string> &lines) {
  std::string content = "BT /F1 14 Tf 20 TL 60 770 Td\n";
  for (const std::string &line : lines)
    content += text(line) + " Tj T*\n";
  content += "ET";
  const std::vector<std::string> objects = {
      "<< /Type /Catalog /Pages 2 0 R >>",
      "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
      "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
      " /Resources << /Font << /F1 5 0 R >> >> >>",
      "<< /Length " + std::to_string(content.size()) + " >>\nstream\n" + content + "\nendstream",
      "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
  };
  std::string file = "%PDF-1.4\n";
  std::string table = "0000000000 65535 f \n";
  for (std::size_t index = 0; index < objects.size(); ++index) {
    char row[32];
    std::snprintf(row, sizeof row, "%010zu 00000 n \n", file.size());
    table += row;
    file += std::to_string(index + 1) + " 0 obj\n" + objects[index] + "\nendobj\n";
  }
  const std::string size = std::to_string(objects.size() + 1);
  const std::string start = std::to_string(file.size());
  return file + "xref\n0 " + size + "\n" + table + "trailer\n<< /Size " + size +
         " /Root 1 0 R >>\nstartxref\n" + start + "\n%%EOF\n";
}

} // namespace pdf
