# frozen_string_literal: true

module Minifn
  NATIVE_NOTICE =
    'Native logs detected. Use context.log() or context.error() for better experience.'

  # One request in flight: its logs and its answer.
  class Call
    attr_reader :id, :deadline

    def initialize(connection, frame)
      @connection = connection
      @id = frame['id']
      @logging = frame['logging']
      timeout = frame['timeout']
      @deadline = timeout.zero? ? Float::INFINITY : Minifn.now + timeout
      @done = false
      @noticed = false
      @unfinished = nil
    end

    def log(stream, values)
      write(stream, Minifn.format(values)) if @logging
    end

    # Logs printed text line by line, after one notice.
    def print(text)
      *lines, rest = "#{@unfinished}#{Minifn.utf8(text)}".split("\n", -1)
      @unfinished = rest.nil? || rest.empty? ? nil : rest[0, LINE_LIMIT + 1]
      lines.each do |line|
        write('logs', NATIVE_NOTICE) unless @noticed
        @noticed = true
        write('logs', Minifn.cut(line))
      end
    end

    # Answers once, and tells whether it did. `more` holds further members of the frame's header;
    # with `wait`, the frame may wait for the next.
    def answer(status, headers = '[]', body = '', more: '', wait: false)
      finish_line
      return false if @done

      @done = true
      members = %("statusCode":#{status},"headers":#{headers}#{more})
      @connection.send(%({"type":"response","id":#{@id},#{members}}), body, wait: wait)
      true
    end

    def fail(reason, status = 500, more: '')
      finish_line
      write('errors', Minifn.cut(reason))
      answer(status, more: more)
    end

    def finish_line
      print("\n") if @unfinished
    end

    private

    def write(stream, line)
      return if @done || !@logging

      @connection.send(%({"type":"log","id":#{@id},"stream":"#{stream}"}), "#{line}\n")
    end
  end

  # Replaces the call while the function is loaded ahead of requests, and keeps its output.
  class Ahead
    PRINTED_LIMIT = 1_000_000

    attr_reader :printed

    def initialize
      @printed = +''
    end

    def print(text)
      @printed = (@printed + Minifn.utf8(text))[0, PRINTED_LIMIT]
    end

    # Nothing is answered.
    def finish_line; end
  end

  # `$stdout` and `$stderr`: what is printed belongs to the call that runs.
  class Native < StringIO
    def initialize(worker)
      super()
      @worker = worker
    end

    def write(*texts)
      text = texts.join
      @worker.print(text)
      text.bytesize
    end

    def putc(character)
      write(character.is_a?(String) ? character[0] : (character & 0xff).chr)
      character
    end

    alias syswrite write
    alias write_nonblock write

    def tty?
      false
    end
    alias isatty tty?
  end

  # Returns the seconds of the monotonic clock.
  def self.now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
