# frozen_string_literal: true

require_relative 'watcher'

module Minifn
  # Reads requests and runs the function, one call at a time on the main thread.
  class Worker
    # Most answers that wait for the rest of a batch of requests.
    BATCH_ANSWERS = 8
    ENDED = "The function ended its process: it called exit().\n"

    def initialize(connection, loader, enforced_headers)
      @connection = connection
      @loader = loader
      @enforced_headers = enforced_headers
      @response = RuntimeResponse.new
      # Frames that were read but not handled. `@reading` guards the socket, not the frames.
      @frames = []
      @reading = Mutex.new
      @batched = 0
      @call = nil
      # Output of the load ahead of requests.
      @printed_ahead = nil
      @watcher = Watcher.new(connection, @frames, @reading)
      @forked = false
    end

    # Serves until the server sends `stop` or closes the connection.
    def run
      $stdout = $stderr = Native.new(self)
      @watcher.start
      handle(*next_frame) while true
    rescue SystemExit => error
      leave(error.status)
    end

    # Takes printed text.
    def print(text)
      @call&.print(text)
    end

    # In a forked child: leaves the server and the calls to the parent.
    def forget
      @forked = true
      @call = nil
      @connection.forget
    end

    private

    def next_frame
      while true
        frame = @frames.shift
        return frame if frame

        @connection.flush
        @batched = 0
        @reading.synchronize do
          # The watcher may have read meanwhile.
          @frames.concat(@connection.receive) if @frames.empty?
        end
      end
    end

    def handle(frame, body)
      case frame['type']
      when 'request' then run_call(frame, body)
      when 'load' then load_ahead
      when 'stop'
        @connection.flush
        exit(0)
      end
    end

    def run_call(frame, body)
      frame['headers'].merge!(@enforced_headers) unless @enforced_headers.empty?
      call = @call = Call.new(@connection, frame)
      first = @loader.main.nil?
      @watcher.enter(call, loading: first)
      call.print(@printed_ahead) if @printed_ahead
      @printed_ahead = nil
      if !first || load_for(call)
        context = RuntimeContext.new(RuntimeRequest.new(frame, body), @response, call)
        status, headers, content = Result.read(@loader.main.call(context))
        exit!(0) if @forked
        call.answer(status, headers, content, wait: may_wait?)
      end
    rescue SystemExit
      # The call stays: what `at_exit` prints belongs to it.
      raise
    rescue WrongResult => error
      call.fail(error.message)
      @call = nil
    rescue NoMemoryError => error
      GC.start
      # The objects that the function keeps may leave too little for the next call: a new process
      # serves that.
      reason = "The function took more memory than it has: #{error.message} (NoMemoryError)"
      call.fail(reason, more: ',"stuck":true')
      decline_all
    rescue Exception => error
      exit!(1) if @forked
      call.fail(Minifn.describe(error))
      @call = nil
    else
      @call = nil
    ensure
      @watcher.leave
    end

    # Loads the function during a call, and answers the call when that fails.
    def load_for(call)
      problem = @loader.load
      call.fail(problem, 503, more: @loader.spent? ? ',"stuck":true' : '') unless problem.empty?
      problem.empty?
    end

    def load_ahead
      @call = ahead = Ahead.new
      problem = @loader.load
      # After a failure the next attempt prints it again.
      again = problem != '' && !@loader.spent?
      @printed_ahead = ahead.printed unless again || ahead.printed.empty?
      @call = nil
    end

    # Tells whether an answer may wait for the next ones of the same batch.
    def may_wait?
      return false if @frames.empty? || @batched >= BATCH_ANSWERS

      @batched += 1
      true
    end

    # Declines every request until the server ends this process.
    def decline_all
      @watcher.decline
      read_and_decline while true
    end

    def read_and_decline
      @reading.synchronize { @frames.concat(@connection.receive) }
      @watcher.decline
    end

    # Ends the process, as the function has asked for during a call, or the server.
    def leave(status)
      if @call && !@forked
        @call.finish_line
        # The call that is still open keeps the server from sending more.
        @connection.tell_concurrency(1)
        @watcher.decline
        read_and_decline while @connection.readable?(0)
        STDERR.write(ENDED)
      end
      exit(status)
    end
  end
end
