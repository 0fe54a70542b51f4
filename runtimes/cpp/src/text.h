#ifndef MINIFN_TEXT_H
#define MINIFN_TEXT_H

#include <string>
#include <string_view>

namespace minifn {

/// Returns the text as a JSON string; it is UTF-8.
std::string jsonText(std::string_view text);
/// Returns the text in lower case, ASCII only.
std::string lower(std::string_view text);
/// Tells whether the text is UTF-8.
bool isUtf8(std::string_view text);
/// Returns a line of a log, cut to 8,000 characters, with its newline.
std::string logLine(std::string_view line);

} // namespace minifn

#endif
