# frozen_string_literal: true

# A function to begin from: `/ping` answers `Pong`, any other path answers with what was asked.
def main(context)
  return context.res.text('Pong') if context.req.path == '/ping'

  context.log('asked for', context.req.path)
  context.res.json(
    { message: 'It works. Now change it.', method: context.req.method, path: context.req.path }
  )
end
