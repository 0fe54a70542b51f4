# frozen_string_literal: true

# The handler's argument, with the names of Open Runtimes
# (runtimes/ruby/versions/latest/src/types.rb).

class RuntimeRequest
  attr_accessor :body_binary, :headers, :method, :scheme, :host, :port, :path, :query_string
  attr_writer :url, :query

  def initialize(frame, body)
    @body_binary = body
    @headers = frame['headers']
    @method = frame['method']
    @scheme = frame['scheme']
    @host = frame['host']
    @port = frame['port']
    @path = frame['path']
    @query_string = frame['query']
  end

  def url
    @url ||= begin
      port = @port == (@scheme == 'https' ? 443 : 80) ? '' : ":#{@port}"
      query = @query_string.empty? ? '' : "?#{@query_string}"
      "#{@scheme}://#{@host}#{port}#{@path}#{query}"
    end
  end

  def query
    @query ||= @query_string.split('&').each_with_object({}) do |pair, found|
      name, value = pair.split('=', 2)
      found[name] = value || '' unless name.nil? || name.empty?
    end
  end

  def body_text
    @body_binary.dup.force_encoding(Encoding::UTF_8)
  end

  def body_raw
    body_text
  end

  def body_json
    JSON.parse(body_text)
  end

  def body
    type = (@headers['content-type'] || '').downcase
    return body_text unless type.start_with?('application/json')

    @body_binary.empty? ? {} : body_json
  end
end

# Its methods only describe a response; the handler's result counts.
class RuntimeResponse
  def binary(bytes, status_code = 200, headers = {})
    { 'body' => bytes, 'statusCode' => status_code, 'headers' => headers }
  end

  def text(body, status_code = 200, headers = {})
    binary(body.to_s, status_code, headers)
  end

  def send(body, status_code = 200, headers = {})
    binary(body.to_s, status_code, headers)
  end

  def json(obj, status_code = 200, headers = {})
    binary(obj.to_json, status_code, with_header(headers, 'content-type', 'application/json'))
  end

  def empty
    binary('', 204, {})
  end

  def redirect(url, status_code = 301, headers = {})
    binary('', status_code, with_header(headers, 'location', url))
  end

  private

  # Returns a copy of headers with one of them set, whatever case it was given in.
  def with_header(headers, name, value)
    headers.reject { |other, _| other.to_s.downcase == name }.merge(name => value)
  end
end

class RuntimeContext
  attr_accessor :req, :res

  def initialize(req, res, call)
    @req = req
    @res = res
    @call = call
  end

  def log(*messages)
    @call.log('logs', messages)
  end

  def error(*messages)
    @call.log('errors', messages)
  end

  def inspect
    "#<RuntimeContext #{@req.method} #{@req.path}>"
  end
end
