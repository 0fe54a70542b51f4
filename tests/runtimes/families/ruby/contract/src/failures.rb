# frozen_string_literal: true

WORKER = Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond).to_s
COUNTER = [0]

def overflow(depth)
  overflow(depth + 1) + 1
end

FAILURES = {
  '/state' => ->(context) { context.res.json({ calls: COUNTER[0] += 1, worker: WORKER }) },
  '/exit' => lambda do |context|
    context.log('called')
    STDERR.write("last words\n")
    exit(7)
  end,
  '/overflow' => ->(_) { overflow(1) },
  '/memory' => lambda do |_|
    kept = []
    loop { kept << ('x' * (1024 * 1024)) }
  end,
  '/sleep' => lambda do |context|
    context.log('begun')
    sleep(context.req.query_string.to_f)
    context.res.text(WORKER)
  end,
  '/never' => lambda do |context|
    context.log('begun')
    sleep
  end,
  '/spin' => lambda do |context|
    context.log('begun')
    loop {}
  end,
  '/echo' => lambda do |context|
    text = context.req.body_text
    context.log('first', text)
    context.error('error', text)
    sleep(context.req.query_string.to_f / 1000)
    context.log('second', text)
    context.res.text(text)
  end
}.freeze
