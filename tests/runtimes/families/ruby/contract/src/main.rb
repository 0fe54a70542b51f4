# frozen_string_literal: true

require_relative 'answers'
require_relative 'failures'
require_relative 'logs'
require_relative 'requests'

ROUTES = { **ANSWERS, **FAILURES, **LOGS, **REQUESTS }.freeze

# Whatever is not a route mirrors the request.
def main(context)
  if context.req.path == '/raise'
    context.log('called')
    raise 'went wrong'
  end
  (ROUTES[context.req.path] || ROUTES['/mirror']).call(context)
end
