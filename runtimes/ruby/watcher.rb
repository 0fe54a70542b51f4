# frozen_string_literal: true

module Minifn
  # The processor time that the main thread had to wait for, by Linux's accounting.
  module Processor
    FILE = begin
      File.open('/proc/self/schedstat')
    rescue SystemCallError
      nil
    end

    # Returns the seconds that the main thread has waited for a processor, 0 where nothing tells.
    def self.waited
      FILE ? FILE.pread(64, 0).split[1].to_i / 1e9 : 0.0
    end
  end

  # A thread that watches over the calls of the main thread: it answers a call after its deadline,
  # and hands back the requests behind one that blocks. It also decides whether the server may send
  # requests ahead: while calls are fast.
  class Watcher
    # Seconds between looks; a call seen at two looks is blocking.
    TICK = 0.004
    # Seconds between looks at a blocking call.
    BLOCKED = 0.02
    # Fast calls in a row before requests may be sent ahead; doubles after each slow call.
    FAST_MIN = 8
    FAST_MAX = 64
    TIMED_OUT = 'Execution timed out.'

    def initialize(connection, frames, reading)
      @connection = connection
      @frames = frames
      @reading = reading
      @call = nil
      # Whether the call loads the function first, which may take its time.
      @loading = false
      # Whether the call was seen to block, and to run past its deadline.
      @blocked = @expired = false
      @served = 0
      # Whether the thread looks; else it waits for a call.
      @awake = false
      @wake = Thread::Queue.new
      @began = @waited = 0.0
      @ahead = false
      # Whether the server knows that calls block each other.
      @blocking = false
      # Fast calls that are needed now, and after the next slow one.
      @needed = @needed_next = FAST_MIN
    end

    def start
      Thread.new { watch }
    end

    # Says that a call begins.
    def enter(call, loading:)
      @began = Minifn.now
      @waited = Processor.waited unless @ahead
      @loading = loading
      @call = call
      return if @awake

      @awake = true
      @wake << true
    end

    # Says that the call has ended. After the deadline it does not return.
    def leave
      @call = nil
      @served += 1
      sleep(TICK) while @expired
      if @blocked
        @blocked = false
        return slow
      end
      # While requests are sent ahead, the thread alone tells which calls block.
      return if @loading || @ahead

      elapsed = Minifn.now - @began
      elapsed -= Processor.waited - @waited if elapsed > TICK
      elapsed > TICK ? slow : fast
    end

    # Hands back the requests that have not begun.
    def decline
      kept = []
      while (frame = @frames.shift)
        if frame[0]['type'] == 'request'
          @connection.send(%({"type":"decline","id":#{frame[0]['id']}}))
        else
          kept << frame
        end
      end
      @frames.unshift(*kept)
    end

    private

    def slow
      @needed = @needed_next
      @needed_next = [FAST_MAX, 2 * @needed_next].min
      tell_blocking
    end

    def fast
      return if (@needed -= 1).positive?

      @needed_next = [FAST_MIN, @needed_next / 2].max
      @ahead = true
      @blocking = false
      @connection.tell_concurrency(0)
    end

    def tell_blocking
      @ahead = false
      return if @blocking

      @blocking = true
      @connection.tell_concurrency(1)
    end

    def watch
      seen = nil
      served = -1
      began = waited = 0.0
      while true
        call = @call
        if call.nil? && served == @served
          @awake = false
          # A call may have begun meanwhile.
          @wake.pop unless @call
          @awake = true
        elsif call && call.equal?(seen)
          # A call that waits for the processor blocks nothing that could run.
          now = Minifn.now
          blocks = now - began - (Processor.waited - waited) >= TICK
          watch_blocking(call) if blocks || call.deadline <= now
        else
          began = Minifn.now
          waited = Processor.waited
          seen = call
        end
        seen = nil unless @call.equal?(seen)
        served = @served
        sleep(TICK)
      end
    end

    def watch_blocking(call)
      unless @loading
        @blocked = true
        tell_blocking
      end
      @connection.flush
      while @call.equal?(call)
        decline
        left = call.deadline - Minifn.now
        return expire(call) if left <= 0
        next unless @connection.readable?([BLOCKED, left].min)

        @reading.synchronize { @frames.concat(@connection.receive) if @call.equal?(call) }
      end
    end

    # Answers a call after its deadline. The server ends this process.
    def expire(call)
      @expired = true
      @expired = call.fail(TIMED_OUT, more: ',"failure":"timeout","stuck":true')
      while @expired
        decline
        @reading.synchronize { @frames.concat(@connection.receive) }
      end
    end
  end
end
