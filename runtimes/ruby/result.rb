# frozen_string_literal: true

module Minifn
  BODY_LIMIT = 20 * 1024 * 1024
  # Most bytes of headers; escaped in a frame's header they may take six times as many.
  HEADERS_LIMIT = 128 * 1024
  HEADERS_MAX = 1000
  # Bytes that JSON adds to a name and a value.
  PAIR_BYTES = 8
  NO_RETURN = 'Return statement missing. return context.res.empty() if no response is expected.'

  # The handler returned something other than a response; the message is for its author.
  class WrongResult < StandardError
  end

  # The meaning of a handler's return value.
  module Result
    class << self
      # Returns status, headers as JSON and body. Raises WrongResult.
      def read(result)
        raise WrongResult, NO_RETURN if result.nil?
        unless result.is_a?(Hash)
          raise WrongResult,
                "The function returned #{result.class}. Return what a method of context.res gives."
        end

        headers = member(result, :headers) || {}
        lines = headers.empty? ? '[]' : encode(headers)
        [status(member(result, :statusCode)), lines, body(member(result, :body))]
      end

      private

      def member(result, name)
        value = result[name.name]
        value.nil? ? result[name] : value
      end

      def status(value)
        number = value.nil? ? 200 : Integer(value, exception: false)
        return number if number&.between?(100, 999)

        raise WrongResult, "The status code #{value.inspect} is not between 100 and 999."
      end

      def body(value)
        text = value.to_s
        limit(text.bytesize, BODY_LIMIT, 'The body has %d bytes')
        text
      end

      def limit(size, most, words)
        raise WrongResult, "#{format(words, size)}, the limit is #{most}." if size > most
      end

      def encode(headers)
        pairs = headers.flat_map do |name, value|
          Array(value).compact.map { |one| [Minifn.utf8(name.to_s), Minifn.utf8(one.to_s)] }
        end
        size = pairs.sum { |name, value| name.bytesize + value.bytesize + PAIR_BYTES }
        limit(pairs.size, HEADERS_MAX, 'There are %d headers')
        limit(size, HEADERS_LIMIT, 'The headers have %d bytes')

        JSON.generate(pairs)
      rescue JSON::GeneratorError, EncodingError
        raise WrongResult, 'The headers are not UTF-8.'
      end
    end
  end
end
