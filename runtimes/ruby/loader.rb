# frozen_string_literal: true

module Minifn
  # Loads the user's file, once; after a failure it is tried again.
  class Loader
    NO_FUNCTION = "Function signature invalid. Did you forget to export a 'main' function?"

    # The handler, nil before it is loaded.
    attr_reader :main

    def initialize(code, entrypoint)
      @entrypoint = entrypoint
      @path = File.join(code, entrypoint)
      @failure = ''
      @spent = false
    end

    # Tells whether a new process may succeed where this one cannot.
    def spent?
      @spent
    end

    # Ends the attempts of this process with a reason.
    def give_up(failure)
      @failure = failure
      @spent = true
    end

    # Returns why there is no function, "" when there is one.
    #
    # The file is loaded again after a failure. When that fails in another way, because of what the
    # first attempt left behind, the reason stays the first one.
    def load
      return @failure if @main || @spent

      problem = attempt
      give_up(@failure) if @failure != '' && problem != '' && problem != @failure
      @failure = problem unless @spent
      @failure
    end

    private

    def attempt
      unless File.file?(@path)
        return "Failed to load entrypoint, file #{@entrypoint} does not exist."
      end

      quietly { Kernel.load(@path) }
      top = TOPLEVEL_BINDING.receiver
      return NO_FUNCTION unless top.respond_to?(:main, true)

      @main = top.method(:main)
      ''
    rescue SyntaxError => error
      "Syntax error in #{Minifn.utf8(error.message)}"
    rescue SystemExit
      raise
    rescue Exception => error
      "Failed to load module: #{Minifn.describe(error)}"
    end

    # Runs the block; a second run has no warnings about constants that the first has set.
    def quietly
      verbose = $VERBOSE
      $VERBOSE = nil unless @failure.empty?
      yield
    ensure
      $VERBOSE = verbose
    end
  end
end
