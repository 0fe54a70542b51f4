# frozen_string_literal: true

LOGS = {
  '/log-values' => lambda do |context|
    context.log('text', 1, [1, { a: 'b' }], true)
    context.error('broken', { code: 5 })
    context.log
    context.res.empty
  end,
  '/log-order' => lambda do |context|
    100.times do |number|
      context.log('log', number)
      context.error('error', number)
    end
    context.res.empty
  end,
  '/log-native' => lambda do |context|
    context.log('before')
    print 'printed ', 1, "\n"
    warn 'printed 2'
    context.log('after')
    context.res.empty
  end,
  '/native-raise' => lambda do |_|
    print 'printed'
    raise 'went wrong'
  end,
  '/log-long' => lambda do |context|
    context.log('x' * 8000)
    context.log('y' * 8001)
    context.res.empty
  end,
  '/log-flood' => lambda do |context|
    1400.times { context.log('z' * 8000) }
    context.res.empty
  end,
  '/log-endless' => ->(context) { loop { context.log('z' * 8000) } },
  '/log-late' => lambda do |context|
    Thread.new do
      sleep(0.02)
      context.log('late')
    end
    context.res.empty
  end
}.freeze
