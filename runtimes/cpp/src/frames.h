#ifndef MINIFN_FRAMES_H
#define MINIFN_FRAMES_H

#include <atomic>
#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

// The frames of a worker's socket: u32 header length | u32 body length | JSON header | body,
// big-endian. An error of the socket, or its end, ends the process.

namespace minifn {

/// Writes frames, from any thread.
class Writer {
public:
  explicit Writer(int descriptor) : descriptor(descriptor) {}

  /// Writes a frame after all that wait. `later`: it may wait for the next write, if it is small.
  void send(std::string_view header, std::string_view body, bool later = false);
  void flush();
  /// Tells whether frames wait.
  bool waits() const { return waits_; }
  /// In a forked child: leaves the socket to the parent. Further writes end the child.
  void abandon();

private:
  void write(std::string_view body);

  int descriptor;
  std::mutex mutex;
  std::string waiting;
  std::atomic<bool> waits_ = false;
};

struct Frame {
  std::string header;
  std::string body;
  /// Whether the body was dropped, because there is no memory for it.
  bool bodyLost = false;
};

/// Reads frames, in one thread.
class Reader {
public:
  explicit Reader(int descriptor);

  /// Reads what has arrived, once, waiting for at least one byte.
  void receive();
  /// Tells whether a frame has begun to arrive.
  bool begun() const { return end - start >= LENGTHS; }
  /// Returns the frame that has begun, waiting for the rest of it.
  Frame next();

private:
  static constexpr std::size_t LENGTHS = 8;

  std::size_t length(std::size_t offset) const;
  void fill(char *to, std::size_t size);
  void discard(std::size_t size);

  int descriptor;
  std::vector<char> buffer;
  std::size_t start = 0;
  std::size_t end = 0;
};

} // namespace minifn

#endif
