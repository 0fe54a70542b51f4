require_relative 'sibling'

def main(context)
  context.res.empty
end
