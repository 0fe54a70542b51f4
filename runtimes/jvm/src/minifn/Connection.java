package minifn;

import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;

/**
 * The inherited socket and its frames: {@code u32 header length | u32 body length | JSON header |
 * body}, big-endian.
 */
final class Connection implements Runnable {
  private static final int LENGTHS = 8;
  private static final int BUFFER_BYTES = 65536;
  /** Unwritten bytes from which on a thread that sends more waits. */
  private static final int WAITING_BYTES_MAX = 1024 * 1024;

  private final FileInputStream input;
  private final FileOutputStream output;
  private byte[] buffer = new byte[BUFFER_BYTES];
  private int start;
  private int end;

  private final Object lock = new Object();
  private final byte[] block = new byte[BUFFER_BYTES];
  private Piece first;
  private Piece last;
  private int waitingBytes;
  private boolean writing;

  /** Bytes that wait to be written. */
  private static final class Piece {
    final byte[] bytes;
    Piece next;

    Piece(byte[] bytes) {
      this.bytes = bytes;
    }
  }

  /** A frame of the server. */
  static final class Frame {
    final String header;
    final byte[] body;

    Frame(String header, byte[] body) {
      this.header = header;
      this.body = body;
    }
  }

  /**
   * Opens an inherited descriptor. The JDK has no public way to; a FileDescriptor is used because
   * its reads and writes lock nothing, and an interrupted thread does not close it as it would a
   * channel.
   */
  Connection(int descriptor) throws ReflectiveOperationException {
    FileDescriptor opened = new FileDescriptor();
    Field number = FileDescriptor.class.getDeclaredField("fd");
    number.setAccessible(true);
    number.setInt(opened, descriptor);
    input = new FileInputStream(opened);
    output = new FileOutputStream(opened);
  }

  /** Returns the next frame, null at the end of the stream. */
  Frame read() throws IOException {
    if (!fill(LENGTHS)) return null;
    int headerBytes = number(start);
    int bodyBytes = number(start + 4);
    start += LENGTHS;
    if (!fill(headerBytes)) return null;
    String header = new String(buffer, start, headerBytes, StandardCharsets.UTF_8);
    start += headerBytes;
    byte[] body = new byte[bodyBytes];
    int present = Math.min(bodyBytes, end - start);
    System.arraycopy(buffer, start, body, 0, present);
    start += present;
    while (present < bodyBytes) {
      int count = input.read(body, present, Math.min(bodyBytes - present, BUFFER_BYTES));
      if (count < 0) return null;
      present += count;
    }
    return new Frame(header, body);
  }

  /** Reads until the buffer holds {@code bytes} from {@code start} on; false at the end. */
  private boolean fill(int bytes) throws IOException {
    if (end - start >= bytes) return true;
    if (start + bytes > buffer.length) {
      byte[] roomy = bytes > buffer.length ? new byte[bytes] : buffer;
      System.arraycopy(buffer, start, roomy, 0, end - start);
      buffer = roomy;
      end -= start;
      start = 0;
    } else if (start == end) {
      start = end = 0;
    }
    while (end - start < bytes) {
      int count = input.read(buffer, end, buffer.length - end);
      if (count < 0) return false;
      end += count;
    }
    return true;
  }

  private int number(int at) {
    return (buffer[at] & 0xff) << 24
        | (buffer[at + 1] & 0xff) << 16
        | (buffer[at + 2] & 0xff) << 8
        | buffer[at + 3] & 0xff;
  }

  /**
   * Sends a frame soon, from any thread; waits while much is unwritten.
   *
   * <p>A thread whose stack is about to overflow may log: only whole frames are added, by a block
   * that calls no method, and another thread writes them.
   */
  void send(String header, byte[] body) {
    add(header, body);
    synchronized (lock) {
      if (!writing) lock.notifyAll();
      boolean interrupted = false;
      while (waitingBytes > WAITING_BYTES_MAX) {
        try {
          lock.wait();
        } catch (InterruptedException later) {
          interrupted = true;
        }
      }
      if (interrupted) Thread.currentThread().interrupt();
    }
  }

  /** Adds a frame to those that the next {@link #flush} writes. */
  void add(String header, byte[] body) {
    Piece head = new Piece(frameHead(header, body.length));
    Piece tail = body.length > 0 ? new Piece(body) : head;
    if (tail != head) head.next = tail;
    synchronized (lock) {
      if (last == null) first = head;
      else last.next = head;
      last = tail;
      waitingBytes += head.bytes.length + body.length;
    }
  }

  private static byte[] frameHead(String header, int bodyBytes) {
    byte[] text = header.getBytes(StandardCharsets.UTF_8);
    byte[] head = new byte[LENGTHS + text.length];
    putNumber(head, 0, text.length);
    putNumber(head, 4, bodyBytes);
    System.arraycopy(text, 0, head, LENGTHS, text.length);
    return head;
  }

  private static void putNumber(byte[] bytes, int at, int number) {
    bytes[at] = (byte) (number >> 24);
    bytes[at + 1] = (byte) (number >> 16);
    bytes[at + 2] = (byte) (number >> 8);
    bytes[at + 3] = (byte) number;
  }

  /** Writes the frames of {@link #send}, for ever. */
  @Override
  public void run() {
    for (; ; ) {
      synchronized (lock) {
        while (writing || first == null) {
          try {
            lock.wait();
          } catch (InterruptedException ignored) {
            // Functions may interrupt any thread they find; this one goes on.
            continue;
          }
        }
      }
      flush();
    }
  }

  /**
   * Writes all that waits, unless another thread does: the first of several writes for all, so that
   * answers which end together leave in one write.
   */
  void flush() {
    synchronized (lock) {
      if (writing) return;
      writing = true;
    }
    try {
      Piece piece = null;
      int done = 0;
      for (; ; ) {
        int size = 0;
        synchronized (lock) {
          while (size < block.length) {
            if (piece == null) {
              piece = first;
              if (piece == null) break;
              first = piece.next;
              if (first == null) last = null;
              done = 0;
            }
            int count = Math.min(piece.bytes.length - done, block.length - size);
            System.arraycopy(piece.bytes, done, block, size, count);
            size += count;
            done += count;
            if (done == piece.bytes.length) piece = null;
          }
          boolean full = waitingBytes > WAITING_BYTES_MAX;
          waitingBytes -= size;
          if (full && waitingBytes <= WAITING_BYTES_MAX) lock.notifyAll();
          if (size == 0) {
            writing = false;
            lock.notifyAll();
            return;
          }
        }
        output.write(block, 0, size);
      }
    } catch (IOException | Error broken) {
      // The server has gone, or it is unknown how much of a frame it got.
      Runtime.getRuntime().halt(1);
    }
  }

  /** Waits until all frames are written. */
  void drain() throws InterruptedException {
    flush();
    synchronized (lock) {
      while (writing) lock.wait();
    }
  }
}
