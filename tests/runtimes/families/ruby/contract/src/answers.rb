# frozen_string_literal: true

MIB = 1024 * 1024

# Returns a route that answers `x` with headers.
def headed(headers)
  ->(context) { context.res.text('x', 200, headers) }
end

ANSWERS = {
  '/text' => ->(context) { context.res.text('héllo') },
  '/text-201' => ->(context) { context.res.text('made', 201, { 'X-Kept' => 'yes' }) },
  '/json' => lambda do |context|
    value = { text: 'é', list: ['a', nil, true], empty: [] }
    context.res.json(value, 201, { 'Content-Type' => 'text/html' })
  end,
  '/binary' => ->(context) { context.res.binary((0..255).to_a.pack('C*')) },
  '/empty' => ->(context) { context.res.empty },
  '/send' => ->(context) { context.res.send('sent', 203) },
  '/redirect' => ->(context) { context.res.redirect('https://example.com/a?b=c') },
  '/redirect-302' => ->(context) { context.res.redirect('/there', 302, { 'x-why' => 'moved' }) },
  '/html' => ->(context) { context.res.text('<p>', 200, { 'Content-Type' => 'Text/HTML' }) },
  '/charset' => headed({ 'content-type' => 'text/html; charset=ISO-8859-1' }),
  '/multipart' => headed({ 'content-type' => 'multipart/form-data; boundary=AbC' }),
  '/hidden' => headed({ 'X-Open-Runtimes-Secret' => '1', 'x-seen': '2' }),
  '/cookies' => ->(context) { context.res.text('x', 200, { 'set-cookie' => ['a=1', 'b=2'] }) },
  '/number' => ->(context) { context.res.text('x', 200, { 'x-number' => 5 }) },
  '/injection' => headed({ 'x-bad' => "a\r\nx-evil: 1", 'x-good' => '1' }),
  '/handmade' => ->(_) { { 'body' => 'made', 'statusCode' => 202 } },
  '/other-keys' => ->(_) { { other: 1 } },
  '/status-text' => ->(_) { { body: 'x', statusCode: '201' } },
  '/not-modified' => ->(context) { context.res.text('dropped', 304) },
  '/twice' => lambda do |context|
    context.res.text('first')
    context.res.text('second')
  end,
  '/nothing' => ->(_) {},
  '/returns-text' => ->(_) { 'text' },
  '/returns-number' => ->(_) { 5 },
  '/status-99' => ->(context) { context.res.text('x', 99) },
  '/large' => ->(context) { context.res.binary("\0" * (20 * MIB)) },
  '/too-large' => ->(context) { context.res.binary("\0" * (20 * MIB + 1)) },
  '/many-headers' => lambda do |context|
    count, length = context.req.query_string.split(',').map(&:to_i)
    context.res.text('x', 200, (0...count).to_h { |index| ["x-#{index}", '"' * length] })
  end
}.freeze
