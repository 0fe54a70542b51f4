# frozen_string_literal: true

# Values and errors as text in the logs, by the rules of Open Runtimes' logger.
module Minifn
  LINE_LIMIT = 8000
  TRUNCATED = "... Log truncated due to size limit (#{LINE_LIMIT} characters)"
  # The lines of a trace that lie in the wrapper.
  OWN_FRAMES = /^(?:\s+\d+: )?\s+from #{Regexp.escape(__dir__)}\/.*\n?/

  class << self
    # Returns the arguments of one log call as one line, without its newline.
    def format(values)
      cut(values.map { |value| utf8(as_text(value)) }.join(' '))
    end

    def cut(line)
      line.length > LINE_LIMIT ? line[0, LINE_LIMIT] + TRUNCATED : line
    end

    def as_text(value)
      case value
      when String then value
      when Array, Hash then as_json(value)
      when Exception then describe(value)
      else value.to_s
      end
    end

    # Returns an exception with its trace and causes, without the frames of the wrapper.
    def describe(error)
      utf8(error.full_message(highlight: false, order: :top)).gsub(OWN_FRAMES, '').chomp
    rescue Exception
      "#{error.class}: an exception that cannot be shown"
    end

    # Returns text that can be joined with other text; bytes are taken for UTF-8.
    def utf8(text)
      return text if text.encoding == Encoding::UTF_8
      return text.dup.force_encoding(Encoding::UTF_8) if text.encoding == Encoding::BINARY

      text.encode(Encoding::UTF_8, invalid: :replace, undef: :replace)
    end

    private

    def as_json(value)
      value.to_json
    rescue JSON::GeneratorError, JSON::NestingError, EncodingError
      value.inspect
    end
  end
end
