# frozen_string_literal: true

# One warm worker: reads requests from the inherited socket, runs the function and answers.
# minifn/workers/protocol.py describes the frames and the environment; the handler contract is that
# of Open Runtimes (runtimes/ruby/versions/latest/src). Requests run one at a time. It is started
# without RubyGems, which take longer to load than all else, and loads them for a build with gems.

require 'json'
require 'stringio'
require_relative 'connection'
require_relative 'text'
require_relative 'types'
require_relative 'result'
require_relative 'call'
require_relative 'loader'
require_relative 'worker'

# For code that names it; loads RubyGems then.
autoload :Gem, 'rubygems'

module Minifn
  # A line about a gem in Gemfile.lock.
  LOCKED_GEM = /^    \S+ \(/

  # Returns the value of a variable for the wrapper alone.
  def self.take(name)
    ENV.delete(name) || ''
  end

  # Returns the headers in OPEN_RUNTIMES_HEADERS, none when it is not a JSON object.
  def self.enforced_headers
    given = JSON.parse(ENV['OPEN_RUNTIMES_HEADERS'] || '{}')
    given.to_h { |name, value| [name.downcase, value.to_s] }
  rescue JSON::ParserError, NoMethodError, TypeError
    {}
  end

  # Makes the gems of the build loadable: those of its Gemfile as `bundle exec` does, and those that
  # `gem install` put into GEM_HOME.
  def self.use_gems(code)
    lock = File.join(code, 'Gemfile.lock')
    if File.file?(lock) && File.read(lock).match?(LOCKED_GEM)
      require 'rubygems'
      require 'bundler/setup'
    elsif Dir.exist?(File.join(ENV['GEM_HOME'] || '', 'gems'))
      require 'rubygems'
    end
  end

  connection = Connection.new(take('MINIFN_SOCKET').delete_prefix('fd:').to_i)
  code = take('MINIFN_CODE')
  ENV.each_key { |name| ENV.delete(name) if name.start_with?('MINIFN_') }
  loader = Loader.new(code, ENV['OPEN_RUNTIMES_ENTRYPOINT'] || '')
  connection.send('{"type":"ready","protocol":1,"concurrency":1}')
  worker = Worker.new(connection, loader, enforced_headers)
  Process.singleton_class.prepend(Module.new do
    define_method(:_fork) { super().tap { |child| worker.forget if child.zero? } }
  end)
  begin
    use_gems(code)
  rescue Exception => error
    loader.give_up("Failed to load the function's gems: #{Minifn.describe(error)}")
  end
  worker.run
end
