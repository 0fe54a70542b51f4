#include "text.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>

namespace minifn {

namespace {

constexpr std::size_t LINE_LIMIT = 8000;
constexpr std::string_view TRUNCATED = "... Log truncated due to size limit (8000 characters)";

/// Returns the bytes of the UTF-8 character at the beginning of a text, 0 when there is none.
std::size_t characterBytes(std::string_view text) {
  const auto byte = [&](std::size_t place) -> std::uint8_t {
    return place < text.size() ? static_cast<std::uint8_t>(text[place]) : 0;
  };
  const auto follows = [&](std::size_t place, std::uint8_t least = 0x80, std::uint8_t most = 0xbf) {
    return byte(place) >= least && byte(place) <= most;
  };
  const std::uint8_t first = byte(0);
  if (first < 0x80)
    return 1;
  if (first >= 0xc2 && first <= 0xdf)
    return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const std::uint8_t least = first == 0xe0 ? 0xa0 : 0x80, most = first == 0xed ? 0x9f : 0xbf;
    return follows(1, least, most) && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const std::uint8_t least = first == 0xf0 ? 0x90 : 0x80, most = first == 0xf4 ? 0x8f : 0xbf;
    return follows(1, least, most) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

} // namespace

std::string jsonText(std::string_view text) {
  std::string result;
  result.reserve(text.size() + 2);
  result += '"';
  for (const char character : text) {
    if (character == '"' || character == '\\') {
      result += '\\';
      result += character;
    } else if (static_cast<unsigned char>(character) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", character);
      result += escape;
    } else {
      result += character;
    }
  }
  result += '"';
  return result;
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), [](char character) {
    return character >= 'A' && character <= 'Z' ? static_cast<char>(character + 'a' - 'A')
                                                : character;
  });
  return result;
}

bool isUtf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t bytes = characterBytes(text);
    if (bytes == 0)
      return false;
    text.remove_prefix(bytes);
  }
  return true;
}

std::string logLine(std::string_view line) {
  std::size_t end = 0;
  std::size_t characters = 0;
  if (line.size() <= LINE_LIMIT)
    end = line.size();
  while (end < line.size() && characters < LINE_LIMIT) {
    // A byte that is not a character counts as one: it is shown as one.
    end += std::max<std::size_t>(1, characterBytes(line.substr(end)));
    ++characters;
  }
  std::string result(line.substr(0, end));
  if (end < line.size())
    result += TRUNCATED;
  result += '\n';
  return result;
}

} // namespace minifn
