# frozen_string_literal: true

require_relative 'beside'

REQUESTS = {
  '/mirror' => lambda do |context|
    context.res.json(
      {
        method: context.req.method,
        scheme: context.req.scheme,
        host: context.req.host,
        port: context.req.port,
        path: context.req.path,
        queryString: context.req.query_string,
        query: context.req.query,
        url: context.req.url,
        headers: context.req.headers,
        bodyText: context.req.body_text,
        body: context.req.body
      }
    )
  end,
  '/body-json' => ->(context) { context.res.json({ parsed: context.req.body_json }) },
  '/body-binary' => ->(context) { context.res.binary(context.req.body_binary) },
  '/body-text' => ->(context) { context.res.text(context.req.body_text) },
  '/beside' => ->(context) { context.res.text(BESIDE) },
  '/file' => ->(context) { context.res.text(File.read('greeting.txt')) },
  '/environment' => ->(context) { context.res.json(ENV.to_h) },
  '/shell' => lambda do |context|
    output = IO.popen(['/bin/sh', '-c', context.req.body_text], in: File::NULL, &:read)
    context.res.text(output)
  end,
  '/unicode' => lambda do |context|
    text = "#{context.req.body_text} ñ"
    context.log(text)
    context.error(text)
    context.res.text(text)
  end
}.freeze
