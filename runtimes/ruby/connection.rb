# frozen_string_literal: true

module Minifn
  # The socket to the server: u32 header length, u32 body length (big-endian), header, body.
  class Connection
    READ_BYTES = 256 * 1024
    LENGTHS = 8

    def initialize(descriptor)
      @io = IO.for_fd(descriptor, 'r+b')
      @io.close_on_exec = true
      @io.sync = true
      @buffer = String.new(encoding: Encoding::BINARY)
      @piece = String.new(encoding: Encoding::BINARY)
      @waiting = []
      @writing = Mutex.new
    end

    # Reads once and returns the complete frames as [header, body] pairs. Ends the process when the
    # server is gone.
    def receive
      read
      frames = []
      start = 0
      while @buffer.bytesize - start >= LENGTHS
        header_bytes, body_bytes = @buffer.unpack('NN', offset: start)
        body_start = start + LENGTHS + header_bytes
        frame_end = body_start + body_bytes
        read while @buffer.bytesize < frame_end
        header = @buffer.byteslice(start + LENGTHS, header_bytes).force_encoding(Encoding::UTF_8)
        frames << [JSON.parse(header), @buffer.byteslice(body_start, body_bytes)]
        start = frame_end
      end
      @buffer = start == @buffer.bytesize ? @buffer.clear : @buffer.byteslice(start..)
      frames
    end

    # Waits up to some seconds, and tells whether there is something to read.
    def readable?(seconds)
      !IO.select([@io], nil, nil, seconds).nil?
    end

    # Writes a frame; with `wait`, keeps it until the next frame or `flush`.
    def send(header, body = '', wait: false)
      @writing.synchronize do
        @waiting << [header.bytesize, body.bytesize].pack('NN') << header << body
        write unless wait
      end
    end

    def flush
      @writing.synchronize { write unless @waiting.empty? }
    end

    # Tells the server how many requests it may send at once; 0 = any number.
    def tell_concurrency(concurrency)
      send(%({"type":"capacity","concurrency":#{concurrency}}))
    end

    # In a forked child: drops the socket; later frames are lost.
    def forget
      @io.close
      @io = File.open(File::NULL, 'r+b')
    end

    private

    def read
      @io.readpartial(READ_BYTES, @piece)
      @buffer << @piece
    rescue EOFError, SystemCallError
      exit!(0)
    end

    def write
      @io.write(*@waiting)
      @waiting.clear
    end
  end
end
